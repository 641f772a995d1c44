"""Grades as files for other programs, from a class in which everything occurs: full and partial
points, a zero, work that could not be graded, work never handed in, and a name from hell."""

import csv

import a_class
import pytest
from a_class import WHY, graded, hand_in, worth

from course_utils.grading import classes, export, running

FORMULA = '=HYPERLINK("http://elsewhere.example")'


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = a_class.make(tmp_path_factory.mktemp("exported") / "pruning")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(running, "perform", a_class.perform)
        hand_in(folder, "ann", first=worth(1), second=worth(0.5), stamp="2026-01-01 10:00:00 UTC")
        hand_in(folder, "bob", first=worth(1), second="# crashes", why="So.")
        hand_in(folder, "cem")
        graded(folder)
        with classes.nbgrader(folder) as app, classes.gradebook_of(app) as gradebook:
            gradebook.update_or_create_student("eve", first_name=FORMULA, last_name="Ev, a")
            gradebook.update_or_create_student("ann", first_name="Ann", email="ann@x.example")
    return folder


def exported(folder, form):
    said = export.write(folder, form)
    with open(folder / f"grades-{form}.csv", encoding="utf-8", newline="") as file:
        return said, list(csv.reader(file))


def test_the_plain_table_says_everything(folder):
    _, (headings, *lines) = exported(folder, "csv")
    rows = {line[1]: dict(zip(headings, line, strict=True)) for line in lines}
    assert set(rows) == {"ann", "bob", "cem", "eve"}
    assert (rows["ann"]["score"], rows["ann"]["max_score"]) == ("4", "9")
    assert rows["ann"]["submitted_utc"] == "2026-01-01 10:00:00"
    assert (rows["ann"]["first_name"], rows["ann"]["email"]) == ("Ann", "ann@x.example")
    assert (rows["cem"]["score"], rows["cem"]["not_graded"]) == ("0", "")
    assert rows["bob"]["to_grade_by_hand"] == "1"


def test_could_not_be_graded_and_not_handed_in_are_no_zeros(folder):
    said, (headings, *lines) = exported(folder, "csv")
    rows = {line[1]: dict(zip(headings, line, strict=True)) for line in lines}
    assert (rows["bob"]["score"], rows["bob"]["raw_score"]) == ("", "")
    assert rows["bob"]["not_graded"] == f"check-second: {WHY}"
    assert (rows["eve"]["score"], rows["eve"]["not_graded"]) == ("", "nothing handed in")
    assert said[0].endswith("grades-csv.csv: 2 scores.")
    assert "Could not be graded, and left empty: 1." in said
    assert "Not handed in, and left empty: 1." in said


def test_what_has_not_been_graded_yet_is_told_apart_from_what_could_not_be(folder, tmp_path):
    folder = a_class.copied(folder, tmp_path / "pruning")
    hand_in(folder, "dan", first=worth(1))
    said, (headings, *lines) = exported(folder, "csv")
    rows = {line[1]: dict(zip(headings, line, strict=True)) for line in lines}
    assert said[0].endswith("grades-csv.csv: 2 scores.")
    assert "Handed in and not graded yet, and left empty: 1." in said
    assert "Could not be graded, and left empty: 1." in said
    assert (rows["dan"]["score"], rows["dan"]["not_graded"]) == ("", "not graded yet")


def test_canvas_finds_people_by_their_login_and_leaves_open_scores_alone(folder):
    _, (headings, possible, *lines) = exported(folder, "canvas")
    assert headings == ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", "01"]
    assert possible == ["    Points Possible", "", "", "", "", "9"]
    assert {line[3]: line[5] for line in lines} == {"ann": "4", "bob": "", "cem": "0", "eve": ""}


def test_moodle_gets_one_line_a_person(folder):
    _, (headings, *lines) = exported(folder, "moodle")
    assert headings == ["Username", "First name", "Last name", "Email address", "01"]
    assert {line[0]: line[4] for line in lines} == {"ann": "4", "bob": "", "cem": "0", "eve": ""}


@pytest.mark.parametrize("form", export.FORMATS)
def test_no_cell_is_a_formula(folder, form):
    _, lines = exported(folder, form)
    cells = [cell for line in lines for cell in line]
    assert any("HYPERLINK" in cell for cell in cells)
    assert not [cell for cell in cells if cell[:1] in ("=", "+", "@")]


def test_another_file_may_be_named(folder, tmp_path):
    said = export.write(folder, "csv", tmp_path / "out.csv")
    assert str(tmp_path / "out.csv") in said[0]
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_a_folder_is_no_file_to_write_to(folder, tmp_path):
    with pytest.raises(ValueError, match="is a folder: name a file in it"):
        export.write(folder, "csv", tmp_path)
    with pytest.raises(ValueError, match=r"no folder .*nowhere to write g\.csv"):
        export.write(folder, "csv", tmp_path / "nowhere" / "g.csv")
    assert list(tmp_path.iterdir()) == []
    assert not list(tmp_path.parent.glob(".*.new"))


def test_scores_count_what_a_human_gave(folder, tmp_path):
    copy = a_class.copied(folder, tmp_path / "pruning")
    with classes.nbgrader(copy) as app, classes.gradebook_of(app) as gradebook:
        grade = gradebook.find_grade("check-second", a_class.LESSON, "01", "bob")
        grade.manual_score, grade.needs_manual_grade = 3, False
        gradebook.db.commit()
    _, (headings, *lines) = exported(copy, "csv")
    rows = {line[1]: dict(zip(headings, line, strict=True)) for line in lines}
    assert (rows["bob"]["score"], rows["bob"]["not_graded"]) == ("5", "")


def test_a_class_without_submissions_has_nothing_to_export(tmp_path):
    folder = a_class.make(tmp_path / "pruning")
    with pytest.raises(ValueError, match=r"nothing to export: .* `course class grade ASSIGNMENT`"):
        export.write(folder, "csv")
    hand_in(folder, "dan", first=worth(1))
    with pytest.raises(ValueError, match=r"nothing to export: .* `course class grade 01`"):
        export.write(folder, "csv")
    assert not list(folder.glob("*.csv"))
