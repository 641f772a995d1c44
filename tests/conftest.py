"""What every test runs under: one thread, nobody reading along, and nothing of this user's touched.

Set before anything else is imported, because torch and Jupyter read these variables only once.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import system_packages

_home = Path(tempfile.mkdtemp(prefix="pruning-course-tests-"))
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "PRUNING_COURSE_AUTOMATED": "1",
    "PRUNING_COURSE_HOME": str(_home / "learner"),
    "IPYTHONDIR": str(_home / "ipython"),
    "JUPYTER_CONFIG_DIR": str(_home / "jupyter" / "config"),
    "JUPYTER_DATA_DIR": str(_home / "jupyter" / "data"),
    "JUPYTER_RUNTIME_DIR": str(_home / "jupyter" / "runtime"),
}


def pytest_unconfigure():
    shutil.rmtree(_home, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Two processes share the tests: file by file, so that what a file sets up is set up once, and
    one by one where single tests take long and set up nothing."""
    for item in items:
        if item.path.parent.name not in ("exercises", "notebooks"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_collection_finish(session):
    """Versions of pytest and pytest-xdist that do not fit give up these groups without a word, and
    every file is set up in both processes (pytest-xdist's issue 1386)."""
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if session.config.getoption("loadgroup", False) and not all("@" in i.nodeid for i in grouped):
        raise pytest.UsageError("pytest-xdist does not keep the tests of a file together.")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium. Without one the test is skipped; with CI=true it fails."""
    return system_packages.need("chromium")
