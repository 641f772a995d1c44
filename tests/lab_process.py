"""`course lab` and its two sisters for classes as people start them: what is said, the address, the
end."""

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

# What would tell the course that nobody is reading, or offer it a screen.
_NOT_A_LEARNERS = {
    "CI",
    "DISPLAY",
    "NBGRADER_EXECUTION",
    "PRUNING_COURSE_AUTOMATED",
    "PYTEST_CURRENT_TEST",
    "WAYLAND_DISPLAY",
}


class Lab:
    """A server that runs: `address` is what it printed, `said` all its lines so far."""

    def __init__(self, process: subprocess.Popen, work: Path):
        self.process = process
        self.work = work
        self.said: list[str] = []
        self.address = ""
        self._spoken = threading.Event()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self.said.append(line.rstrip())
            if found := re.search(r"https?://\S+", line):
                self.address = found.group()
                self._spoken.set()
        self._spoken.set()

    def wait_for_address(self) -> None:
        assert self._spoken.wait(timeout=90) and self.address, "\n".join(self.said)

    def stop(self) -> int:
        """Ends it as ctrl-C does; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


@contextmanager
def course_lab(folder: Path, *options: str, environment: dict[str, str] | None = None):
    """Runs `course lab` on `folder`/work, with a home and settings of its own beside it."""
    work = folder / "work"
    command = ["lab", "--work", str(work), *options]
    with _served(command, folder, work, environment or {}) as lab:
        yield lab


@contextmanager
def course_class_open(folder: Path, home: Path):
    """Runs `course class open` in a class folder, with the instructor's home and settings apart."""
    with _served(["class", "open", "--no-browser"], home, folder, {}, cwd=folder) as lab:
        yield lab


@contextmanager
def course_class_homework(folder: Path):
    """Runs `course class homework` on `folder`/homework."""
    work = folder / "homework"
    with _served(["class", "homework", str(work), "--no-browser"], folder, work, {}) as lab:
        yield lab


@contextmanager
def _served(command: list[str], folder: Path, work: Path, environment: dict, cwd=None):
    home = {
        "PRUNING_COURSE_HOME": str(folder / "learner"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter" / "config"),
        "JUPYTER_DATA_DIR": str(folder / "jupyter" / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter" / "runtime"),
        "PYTHONUNBUFFERED": "1",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_A_LEARNERS}
    process = subprocess.Popen(
        [sys.executable, "-m", "course_utils.cli", *command],
        cwd=cwd,
        env=inherited | home | environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    lab = Lab(process, work)
    try:
        lab.wait_for_address()
        yield lab
    finally:
        if process.poll() is None:
            lab.stop()
