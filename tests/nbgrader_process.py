"""nbgrader's own commands, run as an instructor runs them."""

import subprocess
import sys
from pathlib import Path


def nbgrader(environment: dict, place: Path, command: str, *arguments: str) -> str:
    """Run one command in a folder; returns what it said, and fails with that if it failed."""
    done = subprocess.run(
        [sys.executable, "-m", "nbgrader", command, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"nbgrader {command}: {said}"
    return said
