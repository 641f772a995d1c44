import pytest

from course_utils.study import log


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A learner of one's own for every test, who reads along."""
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path))
    monkeypatch.setattr(log, "_in_memory", [])
    monkeypatch.setattr(log, "_warned", False)
    return tmp_path


@pytest.fixture
def reader(monkeypatch):
    """Nothing says that this run is automated."""
    monkeypatch.setattr("course_utils.study.predictions.automated", lambda: False)
