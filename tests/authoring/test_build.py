import json

import nbformat
import pytest

from course_utils.authoring import build as building
from course_utils.authoring.build import build
from course_utils.authoring.source import AuthoringError
from course_utils.quiz import glossary
from course_utils.quiz.sources import Problem


@pytest.fixture
def runs(monkeypatch):
    """The lessons that were run, in order."""
    ran = []
    execute = building.execute

    def count(lesson, notebook):
        ran.append(lesson.path.stem)
        execute(lesson, notebook)

    monkeypatch.setattr(building, "execute", count)
    return ran


@pytest.fixture
def quick(monkeypatch):
    """Lessons are not run: every code cell says that it was."""

    def execute(lesson, notebook):
        for number, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
            cell.execution_count = number
            cell.outputs = [nbformat.v4.new_output("stream", text=f"ran {lesson.number}\n")]

    monkeypatch.setattr(building, "execute", execute)


def contents(root):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in root.rglob("*.ipynb")}


TOUCHED = "is not as `course build` left it"
WHAT_TO_DO = "`course build` makes these again; an edit by hand is lost."


def check_lines(root, capsys):
    """What is stale; a last line says what to do about it."""
    capsys.readouterr()
    status = build(check=True, root=root)
    *lines, last = capsys.readouterr().out.splitlines() or [None]
    assert last == (WHAT_TO_DO if lines else None)
    assert status == (1 if lines else 0)
    return lines


def test_a_lesson_becomes_an_executed_notebook_and_a_students(course, tmp_path, capfd):
    course()
    assert build(root=tmp_path) == 0
    solution = nbformat.read(tmp_path / "solutions/07_doubling.ipynb", as_version=4)
    student = nbformat.read(tmp_path / "notebooks/07_doubling.ipynb", as_version=4)
    nbformat.validate(solution)
    nbformat.validate(student)
    assert solution.cells[3].outputs[0].text == "double 6\n"
    assert [c.execution_count for c in solution.cells if c.cell_type == "code"] == [*range(1, 7)]
    assert [c.id for c in solution.cells] == [c.id for c in student.cells]
    assert all(not c.outputs and c.execution_count is None for c in student.cells if "outputs" in c)
    assert "execution" not in json.dumps([c.metadata for c in solution.cells])
    assert set(student.metadata) == {"kernelspec", "language_info"}
    assert capfd.readouterr().err == ""


def test_building_twice_changes_no_byte_and_runs_nothing(course, tmp_path, runs, capsys):
    course()
    build(root=tmp_path)
    before = contents(tmp_path)
    assert build(root=tmp_path) == 0
    assert contents(tmp_path) == before
    assert runs == ["07_doubling"]
    assert check_lines(tmp_path, capsys) == []


def test_the_same_source_gives_the_same_bytes_elsewhere(course, tmp_path, source):
    lesson = course(source.replace("print(random.random())", "print(1)"))
    build(root=tmp_path)
    first = {path.name: path.read_bytes() for path in contents(tmp_path)}
    for path in contents(tmp_path):
        path.unlink()
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "solutions").mkdir(parents=True)
    lesson.rename(elsewhere / "solutions" / lesson.name)
    build(root=elsewhere)
    assert {path.name: path.read_bytes() for path in contents(elsewhere)} == first


def test_check_names_a_lesson_in_which_one_word_was_touched(
    course, tmp_path, quick, source, capsys
):
    course()
    course("# %% demo\n1\n", "08_other.py")
    build(root=tmp_path)
    assert check_lines(tmp_path, capsys) == []
    course(source.replace("Some words", "More words"))
    assert check_lines(tmp_path, capsys) == [
        "solutions/07_doubling.ipynb is stale: the lesson source changed",
        "notebooks/07_doubling.ipynb is stale: the lesson source changed",
    ]


def test_a_changed_solution_leaves_the_students_notebook_as_it_is(
    course, tmp_path, quick, source, capsys
):
    course()
    build(root=tmp_path)
    course(source.replace("twice = x + x", "twice = 2 * x"))
    assert check_lines(tmp_path, capsys) == [
        "solutions/07_doubling.ipynb is stale: the lesson source changed"
    ]


def test_changed_text_runs_nothing_and_changed_code_does(course, tmp_path, runs, source, capsys):
    course()
    build(root=tmp_path)
    course(source.replace("Some words", "More words"))
    build(root=tmp_path)
    assert runs == ["07_doubling"]
    assert check_lines(tmp_path, capsys) == []
    solution = nbformat.read(tmp_path / "solutions/07_doubling.ipynb", as_version=4)
    assert "More words" in solution.cells[0].source
    assert solution.cells[3].outputs[0].text == "double 6\n"

    course(source.replace("answer(3)", "answer(4)"))
    build(root=tmp_path)
    assert runs == ["07_doubling"] * 2
    solution = nbformat.read(tmp_path / "solutions/07_doubling.ipynb", as_version=4)
    assert solution.cells[3].outputs[0].text == "double 8\n"


def test_check_says_which_part_of_the_package_changed(course, tmp_path, quick, monkeypatch, capsys):
    course()
    now = {"course_utils/measure.py": "1", "course_utils/plots.py": "1"}
    whole = building.made_from
    monkeypatch.setattr(building, "made_from", lambda lesson: {**whole(lesson), **now})
    build(root=tmp_path)
    assert check_lines(tmp_path, capsys) == []
    now.update({"course_utils/measure.py": "2", "course_utils/data.py": "1"})
    del now["course_utils/plots.py"]
    assert check_lines(tmp_path, capsys) == [
        "solutions/07_doubling.ipynb is stale: course_utils/measure.py changed, "
        "course_utils/plots.py is not used any more, course_utils/data.py is used now"
    ]


def test_a_changed_part_of_the_package_runs_the_lesson_again(course, tmp_path, runs, monkeypatch):
    course()
    build(root=tmp_path)
    whole = building.made_from
    monkeypatch.setattr(building, "made_from", lambda lesson: {**whole(lesson), "a.py": "1"})
    build(root=tmp_path)
    assert runs == ["07_doubling"] * 2


@pytest.mark.parametrize("folder", ["solutions", "notebooks"])
def test_an_edit_by_hand_is_seen_and_undone(course, tmp_path, quick, capsys, folder):
    course()
    build(root=tmp_path)
    before = {path: data for path, (data, _) in contents(tmp_path).items()}
    path = tmp_path / folder / "07_doubling.ipynb"
    path.write_text(path.read_text().replace("Some words", "Some other words"))
    assert check_lines(tmp_path, capsys) == [f"{folder}/07_doubling.ipynb {TOUCHED}"]
    build(root=tmp_path)
    assert {path: data for path, (data, _) in contents(tmp_path).items()} == before


def test_a_recorded_output_that_was_edited_is_not_kept(course, tmp_path, quick, capsys):
    course()
    build(root=tmp_path)
    path = tmp_path / "solutions/07_doubling.ipynb"
    path.write_text(path.read_text().replace("ran 07", "ran 08"))
    assert check_lines(tmp_path, capsys) == [f"solutions/07_doubling.ipynb {TOUCHED}"]
    build(root=tmp_path)
    assert "ran 08" not in path.read_text()


@pytest.mark.parametrize("broken", ["", "{}", "[1]", "not a notebook", '{"cells": 1}'])
def test_a_broken_notebook_is_made_again(course, tmp_path, quick, capsys, broken):
    course()
    build(root=tmp_path)
    path = tmp_path / "solutions/07_doubling.ipynb"
    whole = path.read_bytes()
    path.write_text(broken)
    assert check_lines(tmp_path, capsys) == [f"solutions/07_doubling.ipynb {TOUCHED}"]
    build(root=tmp_path)
    assert path.read_bytes() == whole


def test_check_says_what_is_missing_and_what_has_no_source(course, tmp_path, quick, capsys):
    lesson = course()
    assert check_lines(tmp_path, capsys) == [
        "solutions/07_doubling.ipynb is missing",
        "notebooks/07_doubling.ipynb is missing",
        "notebooks/glossary.md is missing",
    ]
    build(root=tmp_path)
    lesson.rename(lesson.with_name("07_doubled.py"))
    build(["07"], root=tmp_path)
    moved = "notebooks/glossary.md is stale: `course build` makes it differently now"
    orphans = [
        "notebooks/07_doubling.ipynb has no lesson source: delete it.",
        "solutions/07_doubling.ipynb has no lesson source: delete it.",
    ]
    assert check_lines(tmp_path, capsys) == [moved, *orphans]
    assert build(root=tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[2:] == orphans
    assert build(check=True, root=tmp_path) == 1
    assert capsys.readouterr().out.splitlines() == orphans, "building again mends none of these"


def test_check_runs_nothing_and_writes_nothing(course, tmp_path, runs, capsys):
    course()
    check_lines(tmp_path, capsys)
    assert runs == []
    assert contents(tmp_path) == {}


def test_a_mistake_costs_its_own_lesson_alone(course, tmp_path, quick, source, capsys):
    course()
    build(root=tmp_path)
    before = contents(tmp_path)
    course(source.replace("    ### END SOLUTION\n", ""))
    course("# %% demo\n1\n", "08_other.py")
    capsys.readouterr()
    assert build(root=tmp_path) == 1
    said = capsys.readouterr()
    assert said.err.startswith("solutions/07_doubling.py:26: this solution is never closed")
    assert said.out.startswith("solutions/08_other.py: ")
    after = contents(tmp_path)
    assert {path: after[path] for path in before} == before
    assert len(after) == 4

    assert build(check=True, root=tmp_path) == 1
    said = capsys.readouterr()
    assert said.err.startswith("solutions/07_doubling.py:26: ")
    assert WHAT_TO_DO not in said.out, "building again does not mend this"


def test_one_lesson_is_chosen_by_number_name_or_path(course, tmp_path, quick, capsys):
    course()
    course("# %% demo\n1\n", "08_other.py")
    for asked in ("08", "08_other", "solutions/08_other.py"):
        assert build([asked], root=tmp_path) == 0
        assert not (tmp_path / "solutions/07_doubling.ipynb").exists()
        assert (tmp_path / "solutions/08_other.ipynb").exists()
    with pytest.raises(AuthoringError, match=r"no lesson '9'. There are: 07_doubling, 08_other\."):
        build(["08", "9"], root=tmp_path)


def test_without_sources_it_says_where_to_run(tmp_path):
    with pytest.raises(AuthoringError, match="run this in a clone"):
        build(root=tmp_path)


def test_a_build_that_is_cut_off_leaves_whole_notebooks(
    course, tmp_path, quick, source, monkeypatch
):
    course()
    build(root=tmp_path)
    before = contents(tmp_path)
    course(source.replace("Some words", "More words"))

    def cut_off(*places):
        raise KeyboardInterrupt

    monkeypatch.setattr(building.os, "replace", cut_off)
    with pytest.raises(KeyboardInterrupt):
        build(root=tmp_path)
    assert contents(tmp_path) == before
    assert not list(tmp_path.rglob("*.new"))


def test_what_changes_while_a_lesson_runs_makes_it_stale(
    course, tmp_path, source, monkeypatch, capsys
):
    def execute(lesson, notebook):
        now["a.py"] = "2"

    now = {"a.py": "1"}
    whole = building.made_from
    monkeypatch.setattr(building, "made_from", lambda lesson: {**whole(lesson), **now})
    monkeypatch.setattr(building, "execute", execute)
    course()
    build(root=tmp_path)
    assert check_lines(tmp_path, capsys) == ["solutions/07_doubling.ipynb is stale: a.py changed"]


# --- The glossary ---------------------------------------------------------------------------------

CONCEPTS = "# %% [markdown]\n# # 07 Sensitivity\n#\n# ## Key concepts\n#\n# - **Ratio**: a share.\n"


@pytest.fixture
def terms(monkeypatch):
    """The glossary's terms, which a test may change. The course's own are right."""
    terms = list(glossary.every())
    monkeypatch.setattr(glossary, "every", lambda: tuple(terms))
    return terms


def test_all_lessons_together_make_the_glossary_and_one_leaves_it_alone(
    course, tmp_path, quick, capsys
):
    course(CONCEPTS)
    page = tmp_path / "notebooks/glossary.md"
    build(["07"], root=tmp_path)
    assert not page.exists()
    assert build(["07"], check=True, root=tmp_path) == 0
    build(root=tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "## 07 Sensitivity\n" in text
    assert "](07_doubling.ipynb#Key-concepts)" in text
    assert "03_" not in text
    assert check_lines(tmp_path, capsys) == []
    written = page.stat().st_mtime_ns
    build(root=tmp_path)
    assert page.stat().st_mtime_ns == written
    assert "notebooks/glossary.md: nothing to do" in capsys.readouterr().out


def test_check_names_a_page_that_was_edited_and_build_mends_it(course, tmp_path, quick, capsys):
    course(CONCEPTS)
    build(root=tmp_path)
    page = tmp_path / "notebooks/glossary.md"
    whole = page.read_bytes()
    page.write_bytes(b"mine")
    assert check_lines(tmp_path, capsys) == [
        "notebooks/glossary.md is stale: `course build` makes it differently now"
    ]
    build(root=tmp_path)
    assert page.read_bytes() == whole


def test_a_changed_glossary_makes_links_and_page_stale_and_runs_nothing(
    course, tmp_path, runs, terms, capsys
):
    course(CONCEPTS)
    build(root=tmp_path)
    notebook = tmp_path / "notebooks/07_doubling.ipynb"
    assert "**[Ratio](glossary.md#ratio)**" in notebook.read_text(encoding="utf-8")
    terms[:] = [term for term in terms if term.id != "ratio"]
    assert check_lines(tmp_path, capsys) == [
        "notebooks/07_doubling.ipynb is stale: the glossary changed",
        "notebooks/glossary.md is stale: `course build` makes it differently now",
    ]
    build(root=tmp_path)
    assert "**Ratio**" in notebook.read_text(encoding="utf-8")
    assert runs == ["07_doubling"]
    notebook.write_text(notebook.read_text().replace("a share", "no share"))
    assert check_lines(tmp_path, capsys) == [f"notebooks/07_doubling.ipynb {TOUCHED}"]


def test_a_mistake_in_the_glossary_is_said_before_anything_is_written(
    course, tmp_path, quick, monkeypatch
):
    course()
    wrong = Problem("quiz/glossary.yaml", 9, "ratio: lesson 07 has no heading 'Ratios'.")
    monkeypatch.setattr(glossary, "mistakes", lambda: [wrong])
    with pytest.raises(AuthoringError, match=r"^quiz/glossary.yaml:9: ratio: lesson 07 has no"):
        build(root=tmp_path)
    assert list((tmp_path / "notebooks").iterdir()) == []
