"""The capstone's judge: three honest ways earn their points, cheats do not, and the images that
decide are a secret of the judge's."""

from contextlib import suppress

import answers_lesson10 as bank
import numpy
import pytest
import torch
from torch import nn

from course_utils import data, models
from course_utils.exercises import find, grade, lesson10
from course_utils.exercises.engine import Outcome, materialise
from course_utils.exercises.plain import Withheld, encode

NAME = "prune_to_budget"


def first_case(seed=0):
    return find(NAME).cases(numpy.random.default_rng(seed))["50 % of the multiplications"][0]


@bank.for_all_budgets
def plainly_trained(model, example, train_batches, budget):
    """No augmentation, six epochs."""
    return bank.train(bank.fitting(model, example, 0.1), train_batches, 6)


@pytest.mark.parametrize(
    ("answer", "least"),
    [
        (bank.distilled_and_small_enough_for_all, 1.0),
        (bank.another_network_from_scratch, 1.0),
        (plainly_trained, 0.95),
    ],
)
def test_three_honest_ways_earn_their_points(answer, least):
    assert grade(NAME, answer, "a seed of its own").score >= least


def unpruned(model, example, train_batches, budget):
    return model


@pytest.mark.parametrize(
    ("cheat", "most"),
    [
        (bank.trained_on_the_test_images, 0.0),
        (unpruned, 0.0),
        (bank.the_training_images, 0.15),
        (bank.multiplications_in_hiding, 0.0),
    ],
)
def test_four_cheats_earn_next_to_nothing(cheat, most):
    assert grade(NAME, cheat, "a seed of its own").score <= most


@pytest.mark.parametrize("way", ["final_test", "decisions_are_made", "load_digits", "test_images"])
def test_every_ordinary_way_to_the_test_images_is_closed(way):
    from sklearn.datasets import load_digits

    ways = {
        "final_test": data.final_test,
        "decisions_are_made": data.decisions_are_made,
        "load_digits": load_digits,
        "test_images": lesson10.test_images,
    }

    def looks(model, example, train_batches, budget):
        with suppress(Exception):
            ways[way]()
        return model

    result = grade(NAME, looks)
    assert result.score == 0
    assert f"opens the test images ({way})" in result.messages[0]
    assert lesson10.test_images()[0].shape == (500, 1, 8, 8)  # open again for the judge


def test_what_decides_never_reaches_the_answers_side():
    case = first_case()
    assert isinstance(case[-1], Withheld)
    sent = materialise(case)
    assert sent[-1] is None
    encode(sent)
    with pytest.raises(TypeError):
        encode(case)
    assert torch.equal(sent[1], data.digits().x_train)  # and none of the images that are held out


def test_the_withheld_images_depend_on_the_seed_alone_and_are_none_of_the_visible():
    (x, y), (again, _), (other, _) = (lesson10.withheld_images(seed) for seed in (1, 1, 2))
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    assert x.shape == (1500, 1, 8, 8) and len(y) == 1500
    images = data.digits()
    for visible in (images.x_train, images.x_val, lesson10.test_images()[0]):
        assert torch.cdist(x.flatten(1), visible.flatten(1)).min() > 0.5
    assert first_case(1)[-1] != first_case(2)[-1]


def test_the_test_images_are_those_that_the_lessons_open_last(monkeypatch):
    monkeypatch.setattr(data, "_decided", True)
    for one, other in zip(lesson10.test_images(), data.final_test(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("file", [torch.zeros(9, dtype=torch.uint8), torch.ones(3), 5, None])
def test_what_is_no_file_is_told_so(file):
    outcome = Outcome({"file": file}, [], None)
    assert "cannot be judged" in find(NAME).verify(first_case(), outcome)


def test_a_huge_file_is_not_even_run():
    file = torch.zeros(10**7 + 1, dtype=torch.uint8)
    said = find(NAME).verify(first_case(), Outcome({"file": file}, [], None))
    assert "many times larger" in said


def test_the_reference_reaches_the_front():
    """On other networks and images than the front was recorded with; see benchmarks/capstone.py."""
    x, y = data.digits().x_train, data.digits().y_train
    batches = list(data.batches(x, y))
    for budget, front in lesson10.FRONT.items():
        torch.manual_seed(0)
        small = lesson10.prune_to_budget(models.load("cnn", 40), x[:1], batches, budget)
        with torch.no_grad():
            for seed in range(5):
                images, labels = lesson10.withheld_images(seed)
                right = (small(images).argmax(1) == labels).double().mean()
                assert front <= right < front + 0.06


def test_a_network_that_is_not_in_eval_mode_is_judged_as_if_it_were():
    class Noisy(nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model, self.dropout = model, nn.Dropout(0.9)

        def forward(self, x):
            return self.dropout(self.model(x))

    def forgotten(model, example, train_batches, budget):
        return Noisy(
            bank.another_network_from_scratch(model, example, train_batches, budget)
        ).train()

    assert grade(NAME, forgotten).status == "correct"
