"""Run a Python module as a user without any rights, when the tests themselves run as root.

    python tests/grading/as_ordinary_user.py pytest tests/grading/test_sandbox.py

An ordinary user could not enter a Python that lies in root's home, so the folders on the way to it
are covered, in a mount namespace of this process alone, by ones that show nothing else.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from course_utils.grading import namespaces

HOUSE = Path(__file__).resolve().parents[2]
NOBODY_ELSE = 54321  # no account has this number


def closed_folder_above(path: Path) -> Path | None:
    folders = [folder for folder in reversed(path.parents) if not folder.stat().st_mode & 0o001]
    return folders[0] if folders else None


def open_the_way_to(needed: list[Path]) -> None:
    """Show these, and nothing else, in the folders that only their owner may enter."""
    handles = {path: os.open(path, os.O_PATH) for path in needed if closed_folder_above(path)}
    for folder in {closed_folder_above(path) for path in handles}:
        namespaces.mount("tmpfs", str(folder), "tmpfs", options="mode=0755")
    for path, handle in handles.items():
        path.mkdir(parents=True, exist_ok=True)
        namespaces.mount(f"/proc/self/fd/{handle}", str(path), flags=namespaces.BIND)
        os.close(handle)


def main(module: str, *arguments: str) -> int:
    namespaces.new_mounts()
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, HOUSE)}
    open_the_way_to(sorted(needed))
    home = Path(tempfile.mkdtemp(prefix="pruning-course-user-"))
    child = os.fork()
    if child == 0:
        os.chown(home, NOBODY_ELSE, NOBODY_ELSE)
        os.setgroups([])
        os.setresgid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
        os.setresuid(NOBODY_ELSE, NOBODY_ELSE, NOBODY_ELSE)
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "CI") if name in os.environ}
        own = {"HOME": str(home), "TMPDIR": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
        os.execve(sys.executable, [sys.executable, "-m", module, *arguments], kept | own)
    _, status = os.waitpid(child, 0)
    shutil.rmtree(home, ignore_errors=True)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
