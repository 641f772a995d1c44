"""What comes out of nbgrader's exchange, what never replaces what is there, and what a class's
status says of it. (tests/nbgrader has the same with accounts and nbgrader's own commands.)"""

import os

import pytest

from course_utils.grading import classes

EARLY, LATE = "2026-01-01 10:00:00.500000 UTC", "2026-01-02 10:00:00.500000 UTC"


@pytest.fixture
def inbound(folder, tmp_path):
    """Where students put what they hand in."""
    place = tmp_path / "exchange" / folder.name / "inbound"
    place.mkdir(parents=True)
    with (folder / classes.CONFIG).open("a", encoding="utf-8") as config:
        config.write(f"\nc.Exchange.root = {str(tmp_path / 'exchange')!r}\n")
    return place


def submit(inbound, student: str, when: str, secret: str = "") -> None:
    """As `nbgrader submit` does: a folder with a secret of its own."""
    place = inbound / f"{student}+01+{when}+x1"
    place.mkdir()
    (place / "work.ipynb").write_text(f"{student}, {when}", encoding="utf-8")
    (place / "submission_secret.txt").write_text(secret or f"{student} {when}", encoding="utf-8")


def collect(folder) -> str:
    """`nbgrader collect 01 --update`, and what it says."""
    from nbgrader.auth import Authenticator
    from nbgrader.coursedir import CourseDirectory

    from course_utils.grading.collecting import Collect

    log = folder / ".grading" / "nbgrader.log"
    with classes.nbgrader(folder) as app:
        before = log.stat().st_size
        course = CourseDirectory(parent=app, assignment_id="01")
        Collect(
            coursedir=course, authenticator=Authenticator(parent=app), parent=app, update=True
        ).start()
    return log.read_text(encoding="utf-8")[before:]


def submitted(folder, student: str) -> str:
    return (folder / "submitted" / student / "01" / "work.ipynb").read_text(encoding="utf-8")


def waiting(folder) -> str:
    """Whom the class's status names."""
    said = []
    classes.status(folder, say=said.append)
    start = "\nStill in the exchange, until `nbgrader collect 01 --update`: "
    return "".join(line.removeprefix(start) for line in said if line.startswith(start))


def test_status_names_whose_work_is_still_to_be_collected(folder, inbound):
    assert waiting(folder) == ""
    submit(inbound, "ann", EARLY)
    submit(inbound, "bob", EARLY)
    assert waiting(folder) == "ann, bob."
    collect(folder)
    assert waiting(folder) == ""
    submit(inbound, "ann", LATE)
    assert waiting(folder) == "ann."
    collect(folder)
    assert waiting(folder) == ""
    assert submitted(folder, "ann") == f"ann, {LATE}"


def test_where_there_is_no_exchange_status_says_nothing_of_it(folder):
    with (folder / classes.CONFIG).open("a", encoding="utf-8") as config:
        config.write(f"\nc.Exchange.root = {str(folder / 'nowhere')!r}\n")
    assert waiting(folder) == ""


def test_what_came_another_way_is_neither_replaced_nor_named(folder, inbound):
    mailed = folder / "submitted" / "ann" / "01"
    mailed.mkdir(parents=True)
    (mailed / "work.ipynb").write_text("by mail", encoding="utf-8")
    submit(inbound, "ann", LATE)
    assert waiting(folder) == ""
    assert f"{mailed} stays as it is: what lies there came another way" in collect(folder)
    assert submitted(folder, "ann") == "by mail"


@pytest.mark.parametrize("given", [EARLY.replace("2026", "2025"), "", None])
def test_a_time_that_the_instructor_gave_stays(folder, inbound, given):
    submit(inbound, "ann", EARLY)
    collect(folder)
    stamp = folder / "submitted" / "ann" / "01" / "timestamp.txt"
    stamp.unlink() if given is None else stamp.write_text(given, encoding="utf-8")
    assert waiting(folder) == ""
    assert "stays as it is" not in collect(folder), "nothing new was there"
    assert (stamp.read_text(encoding="utf-8") if stamp.exists() else None) == given
    submit(inbound, "ann", LATE)
    assert waiting(folder) == "ann."


def test_a_time_that_cannot_be_read_stops_nobody(folder, inbound):
    for student in ("ann", "bob"):
        submit(inbound, student, EARLY)
    collect(folder)
    stamp = folder / "submitted" / "ann" / "01" / "timestamp.txt"
    stamp.write_text("tomorrow", encoding="utf-8")
    for student in ("ann", "bob"):
        submit(inbound, student, LATE)
    assert waiting(folder) == "bob."
    assert "timestamp.txt there cannot be read" in collect(folder)
    assert submitted(folder, "ann") == f"ann, {EARLY}"
    assert submitted(folder, "bob") == f"bob, {LATE}"


def test_what_no_student_can_have_handed_in_is_nobodys(folder, inbound):
    submit(inbound, "root", EARLY)
    os.chown(inbound / f"root+01+{EARLY}+x1", 12345, 12345)
    for name in ("nobody+01+zzz+q", f"+01+{EARLY}+x", f"a+b+01+{EARLY}", ".x+01+" + EARLY):
        (inbound / name).mkdir()
    (inbound / f"file+01+{EARLY}+x").touch()
    (inbound / f"link+01+{EARLY}+x").symlink_to(folder / ".grading")
    assert waiting(folder) == ""
    assert collect(folder).count("was not collected") == 5
    assert not (folder / "submitted").exists() or not any((folder / "submitted").iterdir())


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_secret_that_is_no_file_of_theirs_is_not_read(folder, inbound, kind):
    submit(inbound, "ann", EARLY)
    collect(folder)
    submit(inbound, "ann", LATE)
    secret = inbound / f"ann+01+{LATE}+x1" / "submission_secret.txt"
    secret.unlink()
    if kind == "pipe":
        os.mkfifo(secret)
    else:
        secret.symlink_to(folder / "submitted" / "ann" / "01" / "submission_secret.txt")
    assert waiting(folder) == "ann."
