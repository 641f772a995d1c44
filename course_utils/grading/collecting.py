"""Collecting what students put into nbgrader's exchange, where each of them owns a folder and may
have put anything there; and giving feedback back to those who used it.

nbgrader copies with the instructor's rights: it follows links, to the class's seed and solutions
as well, takes a folder for the work of whomever its name says, and stops for everybody at a name,
a time or a file that it cannot read. Only regular files of the student's own are copied here.
"""

import os
import pwd
import stat
from datetime import datetime
from fnmatch import fnmatch
from pathlib import Path

from nbgrader.exchange.default import ExchangeCollect, ExchangeReleaseFeedback

_DEEPEST = 5  # folders within folders; homework is flat
_MOST = 1000  # files
_STAMP = "timestamp.txt"
_SECRET = "submission_secret.txt"  # nbgrader's own, another one for each time it is handed in


class Collect(ExchangeCollect):
    """In place of nbgrader's own, through `c.ExchangeFactory.collect`."""

    def init_src(self):
        super().init_src()
        known = [record for record in self.src_records if record["username"]]
        self.src_records = [record for record in known if not self._stays(record)]

    def waiting(self) -> list[str]:
        """Whose work this would collect, if it were to update."""
        self.init_src()
        return sorted(record["username"] for record in self.src_records if self._is_new(record))

    def _is_new(self, record) -> bool:
        known = self.coursedir.get_existing_timestamp(self._there(record))
        return known is None or record["timestamp"] > known

    def _there(self, record) -> str:
        student, assignment = record["username"], self.coursedir.assignment_id
        return self.coursedir.format_path(self.coursedir.submitted_directory, student, assignment)

    def _stays(self, record) -> bool:
        """Whether to keep what lies in submitted/, which an update would remove for this."""
        there = Path(self._there(record))
        if not os.path.lexists(there):
            return False
        kept = _secret(there)
        if kept and kept == _secret(Path(self.inbound_path, record["filename"])):
            return True  # it is this, whatever time the instructor has given it since
        why = "" if kept else "what lies there came another way"
        try:
            self.coursedir.get_existing_timestamp(str(there))
        except Exception:
            why = f"{_STAMP} there cannot be read"
        if why:
            said = "%r was not collected. %s stays as it is: %s"
            self.log.warning(said, record["filename"], there, why)
        return bool(why)

    def _path_to_record(self, path):
        try:
            record = super()._path_to_record(path)
            found = os.stat(path, follow_symlinks=False)
        except Exception:
            return self._left_out(path, "its name does not say whose it is, and when it came")
        if os.path.basename(path).rsplit("+", 3)[1] != self.coursedir.assignment_id:
            return self._left_out(path, "its name does not say for what it was handed in")
        if not stat.S_ISDIR(found.st_mode) or record["username"].startswith("."):
            return self._left_out(path, "it is no student's folder")
        if self.check_owner and not _may_be(found.st_uid, record["username"]):
            return self._left_out(path, f"it says {record['username']}, and belongs to another")
        return record

    def _left_out(self, path: str, why: str) -> dict:
        self.log.warning("%r was not collected: %s", path, why)
        return {"username": "", "filename": "", "timestamp": datetime.min}

    def do_copy(self, src, dest, log=None):
        left = self.coursedir.max_dir_size * 1000
        count = 0
        Path(dest).mkdir(parents=True)
        for place, folders, names, handle in os.fwalk(src, onerror=self._unread):
            inside = os.path.relpath(place, src)
            folders[:] = folders if inside.count(os.sep) < _DEEPEST else []
            for name in names:
                if any(fnmatch(name, pattern) for pattern in self.coursedir.ignore):
                    continue
                content = _regular(handle, name, min(left, self.coursedir.max_file_size * 1000))
                count += 1
                if content is None or count > _MOST:
                    self.log.warning("%r was not collected", os.path.join(place, name))
                    continue
                left -= len(content)
                copy = Path(dest, inside, name)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
        # What nbgrader reads the time from: the student owns that file, and might write nonsense.
        Path(dest, _STAMP).write_text(Path(src).name.rsplit("+", 3)[2], encoding="utf-8")

    def _unread(self, error: OSError) -> None:
        self.log.warning("%r was not collected: %s", error.filename, error.strerror)


class ReleaseFeedback(ExchangeReleaseFeedback):
    """In place of nbgrader's own, which stops for everybody at the first whose work did not come
    through the exchange."""

    def copy_files(self):
        before = self.coursedir.student_id_exclude
        pages = Path(
            self.coursedir.format_path(
                self.coursedir.feedback_directory, "*", self.coursedir.assignment_id
            )
        )
        needed = (_STAMP, _SECRET)
        others = {
            folder.parent.name
            for folder in pages.parents[1].glob(f"*/{pages.name}")
            if not all((folder / name).is_file() for name in needed)
        }
        for student in sorted(others):
            self.log.warning("%s handed in another way: give feedback back that way", student)
        self.coursedir.student_id_exclude = ",".join(filter(None, [before, *sorted(others)]))
        try:
            super().copy_files()
        finally:
            self.coursedir.student_id_exclude = before


def _may_be(owner: int, student: str) -> bool:
    """Whether a folder of this account can be this student's: theirs, or handed in for them. Where
    students have no accounts of their own, nothing can be told apart."""
    try:
        return owner in (pwd.getpwnam(student).pw_uid, os.getuid(), 0)
    except KeyError:
        return True


def _secret(folder: Path) -> bytes | None:
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        return _regular(handle, _SECRET, 1000)
    finally:
        os.close(handle)


def _regular(folder: int, name: str, limit: int) -> bytes | None:
    """What is in a regular file, and in no link: nothing to wait for, and nothing of others."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with open(os.open(name, flags, dir_fd=folder), "rb") as file:
            found = os.fstat(file.fileno())
            plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
            content = file.read(limit + 1) if plain else None
    except OSError:
        return None
    return content if content is not None and len(content) <= limit else None
