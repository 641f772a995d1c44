"""What every test runs under: one thread, nobody reading along, and nothing of this user's touched.

Set before anything else is imported, because torch and Jupyter read these variables only once.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
import system_packages
from hypothesis import settings

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

# The same examples in every run, however busy the machine is.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

# A shell that starts the tests in the background lets them, and all that they start, ignore ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure():
    shutil.rmtree(_home, ignore_errors=True)


ONE_BY_ONE = ("tests/exercises/", "tests/notebooks/")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Two processes share the tests: file by file, so that what a file sets up is set up once, and
    one by one where single tests take long and set up nothing."""
    for item in items:
        if not item.nodeid.startswith(ONE_BY_ONE):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node, ids):
    """Versions of pytest and pytest-xdist that do not fit give up these groups without a word, and
    every file is set up in both processes (pytest-xdist's issue 1386)."""
    apart = [id_ for id_ in ids if "@" not in id_ and not id_.startswith(ONE_BY_ONE)]
    if node.config.getoption("dist") == "loadgroup" and apart:
        pytest.exit("pytest-xdist does not keep the tests of a file together.", returncode=1)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium. Without one the test is skipped; with CI=true it fails."""
    return system_packages.need("chromium")
