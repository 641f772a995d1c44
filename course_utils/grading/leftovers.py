"""What a process that is killed would leave behind: temporary folders, files half written."""

import os
import shutil
import tempfile
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def remove_unfinished(folder: Path) -> None:
    """Files that were being written when somebody was killed, and never got their names. For when
    nobody writes there."""
    for path in folder.rglob("*.new"):
        path.unlink(missing_ok=True)


class Folder:
    """A temporary one, locked as long as this process lives. Who makes the next one removes those
    that nobody locks, which is all that can be done about a process that is killed."""

    def __init__(self, prefix: str):
        _remove_abandoned(prefix)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=prefix))
            self._lock = _locked(self.path)
            if self.path.exists():  # nobody has taken it for abandoned just now
                return

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)


def _remove_abandoned(prefix: str) -> None:
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        lock = _locked(path)
        if lock is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _locked(path: Path) -> int | None:
    """A handle that holds the lock of a folder of ours, if nobody else does."""
    if fcntl is None:
        return None
    try:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(handle).st_uid == os.geteuid():
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return handle
    except OSError:
        pass
    os.close(handle)
    return None
