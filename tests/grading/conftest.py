"""A class for every test that wants one; and what a file's tests have started and kept warm ends
with them."""

import a_class
import pytest

from course_utils.grading import running


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A class in which nobody has handed in anything: to look at, and to copy."""
    return a_class.make(tmp_path_factory.mktemp("template") / "pruning")


@pytest.fixture
def folder(template, tmp_path, monkeypatch):
    """A class of one's own, in which running students' code is stood in for."""
    monkeypatch.setattr(running, "perform", a_class.perform)
    return a_class.copied(template, tmp_path / "pruning")


@pytest.fixture(scope="module", autouse=True)
def nothing_stays_warm():
    yield
    running.abandon()
