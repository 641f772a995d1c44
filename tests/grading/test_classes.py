"""Class folders: made, found, graded and looked at. Running students' code is stood in for here
(`a_class.perform`); everything else is real."""

import csv
import json
import os
import re
import shlex
import stat
import sys
import time
from pathlib import Path

import a_class
import pytest
from a_class import LESSON, WHY, graded, hand_in, standing, worth

from course_utils import cli
from course_utils.authoring import build, notebooks, source
from course_utils.grading import classes, execution, frames, intake, notes, running
from course_utils.grading.sandbox import Limits


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A class with all lessons, as `course class new` makes it, and the CPU seconds that took."""
    files = sorted((build.ROOT / "solutions").glob("[0-9][0-9]_*.py"))
    lessons = {file.stem: notebooks.instructor(source.read(file)) for file in files}
    folder = tmp_path_factory.mktemp("whole") / "pruning-2026"
    started = time.process_time()
    classes.new(folder, lessons)
    return folder, time.process_time() - started


# --- The folder -----------------------------------------------------------------------------------


def test_a_new_class_holds_every_lesson_as_students_get_it(whole):
    """With no links to the glossary, which is not among them."""
    folder, _ = whole
    texts = {
        path.stem: notebooks.to_text(notebooks.student(source.read(path)))
        for path in (build.ROOT / "solutions").glob("[0-9][0-9]_*.py")
    }
    ours = {f"{name}.ipynb": text.encode() for name, text in texts.items()}
    released = {path.name: path.read_bytes() for path in (folder / "release").glob("*/*.ipynb")}
    assert released == ours
    assert len(ours) == 12
    with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
        assert {assignment.name for assignment in gradebook.assignments} == {
            name[:2] for name in ours
        }
        assert app.coursedir.course_id == "pruning-2026"


def test_a_new_class_takes_seconds(whole):
    assert whole[1] < 20


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_only_its_owner_can_read_a_class_and_its_seed(whole):
    folder, _ = whole
    modes = {
        name: stat.S_IMODE((folder / name).stat().st_mode)
        for name in ("", ".grading", ".grading/seed", ".grading/results", ".grading/notes")
    }
    assert modes.pop(".grading/seed") == 0o600
    assert set(modes.values()) == {0o700}


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_a_folder_that_was_there_is_closed_to_others_as_well(tmp_path):
    tmp_path.chmod(0o755)
    classes.new(tmp_path, {LESSON: a_class.lesson()})
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


def test_a_new_class_says_what_to_type_so_that_the_shell_finds_our_commands(tmp_path, monkeypatch):
    def said(name: str) -> list[str]:
        return classes.new(tmp_path / name, {LESSON: a_class.lesson()})

    programs = Path(sys.executable).parent
    monkeypatch.setenv("PATH", os.defpath)
    told = said("a b")
    shells = {"nt": f"  $env:Path = '{programs};' + $env:Path"}
    assert f"  cd '{tmp_path / 'a b'}'" in told
    assert shells.get(os.name, f"  export PATH={shlex.quote(str(programs))}:$PATH") in told
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.defpath}")
    told = said("c")
    assert f"  cd {shlex.quote(str(tmp_path / 'c'))}" in told
    assert not [line for line in told if "PATH" in line]


def test_every_class_has_its_own_seed(whole, template):
    seeds = [(place / ".grading" / "seed").read_text("utf-8") for place in (whole[0], template)]
    assert all(len(seed.strip()) == 32 for seed in seeds)
    assert seeds[0] != seeds[1]


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("a year's work", encoding="utf-8")
    with pytest.raises(ValueError, match=r"not an empty folder\. Name another\."):
        classes.new(tmp_path, {LESSON: a_class.lesson()})
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path):
    broken = a_class.lesson()
    broken.cells[2].metadata.nbgrader.points = "many"
    with pytest.raises(Exception):  # noqa: B017 (whatever nbgrader raises)
        classes.new(tmp_path / "pruning", {LESSON: broken})
    assert list(tmp_path.iterdir()) == []


def test_a_class_is_found_from_anywhere_inside(template, tmp_path):
    assert classes.find(template / "release" / "01") == template
    with pytest.raises(ValueError, match="course class new DIR"):
        classes.find(tmp_path)


def test_a_class_can_move_to_another_folder(folder):
    hand_in(folder, "ann", first=worth(1))
    moved = folder.rename(folder.with_name("elsewhere"))
    graded(moved)
    assert standing(moved, "ann").points == 2


@pytest.mark.parametrize(
    "change, sentence",
    [
        (lambda text: text + "\nthis is no python", "has a mistake in it"),
        (lambda text: text.replace("configure(c", "print(c"), "must call configure"),
        (lambda text: text + "\nc.ExecuteIsolated.seconds = 'many'", "has a mistake in it"),
        (lambda text: text + "\nc.ExecuteIsolated.processes = 0", "has a mistake in it"),
        (lambda text: text + "\nc.Autograde.autograde_preprocessors = []", "must call configure"),
    ],
)
def test_a_config_that_would_run_code_without_isolation_is_refused(folder, change, sentence):
    config = folder / "nbgrader_config.py"
    config.write_text(change(config.read_text(encoding="utf-8")), encoding="utf-8")
    hand_in(folder, "ann", first=worth(1))
    with pytest.raises(running.Problem, match=sentence):
        graded(folder)
    assert not (folder / "autograded").exists()


def test_a_class_is_graded_by_one_command_at_a_time(folder):
    hand_in(folder, "ann", first=worth(1))
    with classes._alone(folder), pytest.raises(ValueError, match="is being graded already"):
        graded(folder)
    assert graded(folder)[1] == 0


def test_a_mistake_of_ours_shows_in_the_exit_status(folder):
    hand_in(folder, "ann", first="# explodes")
    said, status = graded(folder)
    assert status == 1
    assert "the grader failed (RuntimeError: a mistake of ours)" in "\n".join(said)


def test_what_a_damaged_file_has_lost_is_no_zero(folder):
    place = hand_in(folder, "ann", first=worth(1), second=worth(1), why="Because.")
    file = place / f"{LESSON}.ipynb"
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: text.index('"id": "second"')], encoding="utf-8")
    graded(folder)
    found = standing(folder, "ann")
    assert found.points is None
    assert found.raw == 2
    assert found.ungraded == {"check-second": execution.DAMAGED}
    assert found.by_hand == 1  # the written answer, which is lost as well


# --- Grading --------------------------------------------------------------------------------------


def test_one_line_per_student_and_a_summary(folder):
    hand_in(folder, "ann", first=worth(1), second=worth(0.5), why="Because.")
    hand_in(folder, "bob", first=worth(1), second="# crashes")
    hand_in(folder, "cem")
    said, status = graded(folder)
    assert [line.split("  ")[0] for line in said[:3]] == ["ann", "bob", "cem"]
    assert "4 of 9" in said[0] and "1 to grade by hand" in said[0]
    assert "? of 9" in said[1] and f"1 check could not be graded: {WHY}" in said[1]
    assert "0 of 9" in said[2] and "could not" not in said[2]
    text = "\n".join(said)
    summary = dict(re.findall(r"^(\S.*?) {2,}(.+)$", text.partition("Assignment 01")[2], re.M))
    assert summary == {
        "handed in": "3",
        "graded": "2",
        "could not be graded, in whole or in part": "1",
        "to grade by hand, in whole or in part": "1",
        "points: lowest, median, highest": "0, 2, 4 of 9",
    }
    assert f"  bob: `second` could not be graded: {WHY}" in text
    assert "is no zero" in text
    assert status == 0


def test_a_submission_without_any_notebook_is_recorded(folder):
    (folder / "submitted" / "dan" / "01").mkdir(parents=True)
    hand_in(folder, "ann", first=worth(1))
    said, status = graded(folder)
    dan = standing(folder, "dan")
    assert dan.points is None
    assert set(dan.ungraded) == {"check-first", "check-second"}
    assert standing(folder, "ann").points == 2
    assert any(line.startswith("dan") and "could not be graded" in line for line in said)
    assert status == 0


def test_what_a_killed_run_left_half_written_is_gone_after_the_next(folder):
    hand_in(folder, "ann", first=worth(1))
    graded(folder)
    for half in ("notes/01/.ann.json.7.new", "results/0.json.7.8.new", "backups/gradebook-7.new"):
        (folder / ".grading" / half).write_text("{", encoding="utf-8")
    graded(folder)
    assert list((folder / ".grading").rglob("*.new")) == []
    assert standing(folder, "ann").points == 2


def test_only_the_students_asked_for_are_graded(folder):
    for student in ("ann", "bob"):
        hand_in(folder, student, first=worth(1))
    said, _ = graded(folder, ["bob"])
    assert said[0].startswith("bob") and not any("ann" in line for line in said)
    assert not (folder / "autograded" / "ann").exists()
    with pytest.raises(ValueError, match="eve handed in nothing for 01"):
        graded(folder, ["ann", "eve"])


def test_isolation_and_limits_are_what_the_class_says(folder, monkeypatch):
    seen = set()

    def perform(packed):
        header, _ = frames.unpack(packed)
        limits = Limits(*header["terms"][1])
        seen.add((header["isolated"], limits.step, limits.memory))
        return a_class.perform(packed)

    monkeypatch.setattr(running, "perform", perform)
    monkeypatch.chdir(folder)
    hand_in(folder, "ann", first=worth(1))
    graded(folder)
    assert seen == {(True, 60, 4 * 2**30)}
    config = folder / "nbgrader_config.py"
    text = config.read_text(encoding="utf-8").replace("# c.ExecuteIsolated", "c.ExecuteIsolated")
    config.write_text(text.replace("cell = 60", "cell = 5"), encoding="utf-8")
    seen.clear()
    assert cli.main(["class", "grade", "01", "--not-isolated"]) == 0
    assert seen == {(False, 5, 4 * 2**30)}


def test_nothing_handed_in_and_no_such_assignment_are_said(folder):
    said, status = graded(folder)
    assert (said, status) == (
        [
            "Nobody has handed in 01 yet: there is nothing in submitted/*/01; with an exchange, "
            "`nbgrader collect 01` brings it."
        ],
        0,
    )
    with pytest.raises(ValueError, match="The assignments are 01; a new one"):
        classes.grade(folder, "99")


def test_what_the_instructor_has_to_mend_stops_the_run_before_anything_is_written(folder):
    hand_in(folder, "ann", first="# no bubblewrap")
    hand_in(folder, "bob", first=worth(1))
    with pytest.raises(running.Problem, match="bubblewrap is missing"):
        graded(folder)
    assert not (folder / "autograded").exists()


def test_what_fails_inside_nbgrader_costs_one_student_and_is_the_instructors(folder, monkeypatch):
    real = intake.receive

    def receive(place, name, release):
        found = real(place, name, release)
        if place.parent.name == "ann":
            found.notebook.cells[1].metadata.nbgrader.pop("grade_id")
        return found

    hand_in(folder, "ann", first=worth(1))
    hand_in(folder, "bob", first=worth(1))
    with monkeypatch.context() as patched:
        patched.setattr(intake, "receive", receive)
        said, status = graded(folder)
    assert status == 1
    assert standing(folder, "bob").points == 2
    ann = standing(folder, "ann")
    assert ann.points is None and "nbgrader.log" in ann.failed
    assert any(line.startswith("  ann: grading failed: ") for line in said)
    graded(folder)
    assert (standing(folder, "ann").points, standing(folder, "ann").failed) == (2, "")


def test_names_that_people_have_do_no_harm(folder):
    strange = ["O'Neil", "[a-z]*", "мария", "x y", "\x1b[31mred"]
    for student in strange:
        hand_in(folder, student, first=worth(1))
    said, _ = graded(folder)
    assert [standing(folder, student).points for student in strange] == [2] * 5
    assert not any("\x1b" in line for line in said)


def test_the_notes_of_a_damaged_file_are_started_anew(folder):
    hand_in(folder, "ann", second="# crashes")
    graded(folder)
    (folder / ".grading" / "notes" / "01" / "ann.json").write_text("{", encoding="utf-8")
    ann = standing(folder, "ann")
    assert ann.points is None and ann.ungraded == {"check-second": "nobody wrote down why"}
    graded(folder)
    assert standing(folder, "ann").ungraded == {"check-second": WHY}


# --- Status ---------------------------------------------------------------------------------------


def status(folder) -> list[str]:
    said = []
    classes.status(folder, say=said.append)
    return "\n".join(said).splitlines()


def test_status_tells_zero_from_not_graded_from_not_graded_yet(folder):
    hand_in(folder, "ann", why="So.")
    hand_in(folder, "bob", first="# crashes")
    graded(folder)
    hand_in(folder, "cem", first=worth(1))
    lines = status(folder)
    row = next(line for line in lines if line.startswith("01"))
    assert row.split() == ["01", "3", "1", "1", "1", "1"]
    assert [line for line in lines if line.startswith("  01 ")] == [
        f"  01 bob: `first` could not be graded: {WHY}"
    ]


def test_status_does_not_name_what_a_human_has_decided(folder):
    hand_in(folder, "ann", first="# crashes", second="# crashes")
    hand_in(folder, "bob", first="# crashes")
    (folder / "submitted" / "dan" / "01").mkdir(parents=True)
    graded(folder)

    def give_points(student, *checks):
        with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
            for check in checks:
                grade = gradebook.find_grade(check, LESSON, "01", student)
                grade.manual_score, grade.needs_manual_grade = 1, False
            gradebook.db.commit()

    def named():
        return [line.split()[1] for line in status(folder) if line.startswith("  01 ")]

    assert named() == ["ann:", "bob:", "dan:"]
    give_points("bob", "check-first")
    give_points("ann", "check-first")  # the other one still waits
    assert named() == ["ann:", "dan:"]
    give_points("ann", "check-second")
    give_points("dan", "check-first", "check-second")
    assert named() == []


def test_what_lies_in_the_folder_of_no_assignment_is_named(folder):
    assert "no assignment" not in "".join(status(folder))
    for place in ("new1/1/mine.ipynb", "new2/mine.ipynb", "new3/notes.txt", "new4/.git/x.ipynb"):
        file = folder / "submitted" / place
        file.parent.mkdir(parents=True)
        file.touch()
    named = "so that nobody grades it: submitted/new1/1, submitted/new2/mine.ipynb."
    assert named in status(folder)[-1]
    assert status(folder)[-1].endswith("submitted/STUDENT/ and there into one of: 01.")
    said, _ = graded(folder)
    assert named in said[-1], "nobody has handed in where it is looked for"
    hand_in(folder, "ann", first=worth(1))
    said, _ = graded(folder)
    assert any(named in line for line in said)


def test_status_knows_who_handed_in_again(folder):
    hand_in(folder, "ann", first=worth(1), stamp="2026-01-01 10:00:00 UTC")
    graded(folder)
    assert "01          1       1" in "\n".join(status(folder))
    hand_in(folder, "ann", first=worth(1), stamp="2026-01-02 10:00:00 UTC")
    row = next(line for line in status(folder) if line.startswith("01"))
    assert row.split() == ["01", "1", "1"]
    heading = "not graded yet"
    headings = next(line for line in status(folder) if heading in line)
    assert row.rindex("1") == headings.index(heading) + len(heading) - 1


# --- The command ----------------------------------------------------------------------------------


def test_the_commands_work_from_inside_the_folder(folder, monkeypatch, capsys):
    hand_in(folder, "ann", first=worth(1))
    monkeypatch.chdir(folder / "release")
    assert cli.main(["class", "grade", "01", "--students", "ann"]) == 0
    assert cli.main(["class", "status"]) == 0
    assert cli.main(["class", "export"]) == 0
    said = capsys.readouterr().out
    assert "2 of 9" in said and "handed in" in said
    with open(folder / "grades-csv.csv", encoding="utf-8", newline="") as file:
        assert [row["score"] for row in csv.DictReader(file)] == ["2"]


def test_outside_a_class_one_is_told_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for verb in (["status"], ["grade", "01"], ["export"], ["open"]):
        assert cli.main(["class", *verb]) == 1
        assert "is not in a class folder" in capsys.readouterr().err


def test_course_class_alone_lists_its_verbs(capsys):
    assert cli.main(["class"]) == 2
    said = capsys.readouterr().out
    assert all(verb in said for verb in ("new", "grade", "status", "export", "open"))


def test_notes_are_plain_files(folder):
    hand_in(folder, "ann", second="# crashes")
    graded(folder)
    text = (folder / notes.SECRETS / "notes" / "01" / "ann.json").read_text(encoding="utf-8")
    assert json.loads(text)[LESSON]["not graded"] == {"check-second": WHY}
