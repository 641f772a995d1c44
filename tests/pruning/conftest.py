"""What every test of a technique starts from. (One thread is set in the conftest above.)"""

import pytest
import torch


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    torch.manual_seed(0)
