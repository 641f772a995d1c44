"""A machine with several people on it, for a test that is root: accounts with homes of their own,
which nobody but the commands run here can see.

    python tests/accounts.py FOLDER USER PROGRAM [ARGUMENT ...]

runs one command as one of them, in a mount namespace of its own where FOLDER's passwd and group
stand in place of the machine's. Nothing of the machine changes.
"""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
FIRST_ID = 54400  # no account has these numbers
KEPT = ("LANG", "CI")


class Machine:
    """`folder` may be anywhere; people's homes are in its home/."""

    def __init__(self, folder: Path, people: list[str]):
        self.folder = folder
        folder.chmod(0o755)
        users, groups = (
            (Path("/etc") / name).read_text(encoding="utf-8") for name in ("passwd", "group")
        )
        for number, person in enumerate(people, FIRST_ID):
            home = self.home(person)
            home.mkdir(parents=True, mode=0o755)
            os.chown(home, number, number)
            users += f"{person}:x:{number}:{number}:{person}:{home}:/bin/sh\n"
            groups += f"{person}:x:{number}:\n"
        (folder / "passwd").write_text(users, encoding="utf-8")
        (folder / "group").write_text(groups, encoding="utf-8")

    def home(self, person: str) -> Path:
        return self.folder / "home" / person

    def try_(self, person: str, place: Path, *command: str) -> subprocess.CompletedProcess:
        """Run a command as this person, in a folder; what it said is in `stdout`."""
        return subprocess.run(
            [sys.executable, __file__, str(self.folder), person, *command],
            cwd=place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
        )

    def run(self, person: str, place: Path, *command: str) -> str:
        """The same, for a command that has to succeed; returns what it said."""
        done = self.try_(person, place, *command)
        assert done.returncode == 0, f"{person}: {' '.join(command)}\n{done.stdout}"
        return done.stdout


def main(folder: str, person: str, *command: str) -> None:
    sys.path.insert(0, str(HOUSE / "tests" / "grading"))
    from as_ordinary_user import open_the_way_to

    from course_utils.grading import namespaces

    place = Path.cwd()
    namespaces.new_mounts()
    for name in ("passwd", "group"):
        namespaces.mount(f"{folder}/{name}", f"/etc/{name}", flags=namespaces.BIND)
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, HOUSE, folder)}
    open_the_way_to(sorted(needed))
    user = pwd.getpwnam(person)
    os.initgroups(person, user.pw_gid)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    os.umask(0o022)
    os.chdir(place)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.defpath, "/usr/local/bin"])
    own = {"HOME": user.pw_dir, "USER": person, "LOGNAME": person, "PATH": path}
    own |= {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    program = shutil.which(command[0], path=path)
    os.execve(program, list(command), kept | own)


if __name__ == "__main__":
    main(*sys.argv[1:])
