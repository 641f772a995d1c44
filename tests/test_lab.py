"""`course lab`: what reaches the learner's folder, what never happens to it, and the server."""

import hashlib
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import psutil
import pytest
from lab_process import course_class_homework, course_lab

from course_utils import cli, lab
from course_utils.copies import RECORD


@pytest.fixture
def notebooks(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "00_start_here.ipynb").write_text("start, first edition", encoding="utf-8")
    (folder / "01_topic.ipynb").write_text("topic, first edition", encoding="utf-8")
    return folder


@pytest.fixture
def work(tmp_path):
    return tmp_path / "work"


def contents(work: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in work.glob("*.ipynb")}


FIRST = {"00_start_here.ipynb": "start, first edition", "01_topic.ipynb": "topic, first edition"}


# --- Delivery -------------------------------------------------------------------------------------


def test_each_lesson_is_copied_once(notebooks, work):
    said = lab.deliver(notebooks, work)
    assert contents(work) == FIRST
    assert said == [f"Copied into {work}: 00_start_here.ipynb, 01_topic.ipynb"]
    assert lab.deliver(notebooks, work) == [f"Your lessons in {work} are up to date."]
    assert contents(work) == FIRST


def notebook(text: str, answer: str = "raise NotImplementedError()") -> str:
    """A lesson with a text and an exercise."""
    graded = {"grade_id": "keep", "solution": True, "grade": True, "points": 2, "checksum": "c"}
    cells = [
        {
            "cell_type": "markdown",
            "id": "a" * 12,
            "metadata": {},
            "source": f"## Step 1: cut\n{text}",
        },
        {"cell_type": "code", "id": "b", "metadata": {"nbgrader": graded}, "source": answer},
    ]
    return json.dumps({"cells": cells})


def test_a_newer_version_says_what_is_different(notebooks, work):
    lesson = notebooks / "01_topic.ipynb"
    lesson.write_text(notebook("Cut."), encoding="utf-8")
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text(notebook("Cut.", "mine"), encoding="utf-8")
    newer = notebook("Cut deeper.").replace("a" * 12, "c" * 12)
    lesson.write_text(newer, encoding="utf-8")
    said = lab.deliver(notebooks, work)
    assert said[-1] == "  01-v2_topic.ipynb: Changed: Step 1."
    assert contents(work)["01_topic.ipynb"] == notebook("Cut.", "mine")
    assert contents(work)["01-v2_topic.ipynb"] == newer


def test_a_version_in_which_a_learner_would_find_nothing_new_does_not_come(notebooks, work):
    lesson = notebooks / "01_topic.ipynb"
    lesson.write_text(notebook("Cut."), encoding="utf-8")
    lab.deliver(notebooks, work)
    mine = notebook("Cut.", "mine")
    (work / "01_topic.ipynb").write_text(mine, encoding="utf-8")
    lesson.write_text(notebook("[Cut](glossary.md#cut)."), encoding="utf-8")
    for _ in range(2):
        assert lab.deliver(notebooks, work) == [f"Your lessons in {work} are up to date."]
    assert contents(work) == {"00_start_here.ipynb": "start, first edition", "01_topic.ipynb": mine}


def test_an_edited_copy_stays_as_it_is(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST | {"01_topic.ipynb": "mine"}


RENEWED = "A newer version, in place of a copy that you had not changed: "


@pytest.fixture
def course(notebooks, work):
    """Brings the learner the lesson 01 with this text, and returns what is said."""

    def brings(text: str, **how) -> list[str]:
        lesson = notebook(text).replace("a" * 12, hashlib.sha256(text.encode()).hexdigest()[:12])
        (notebooks / "01_topic.ipynb").write_text(lesson, encoding="utf-8")
        return lab.deliver(notebooks, work, **how)

    brings("Cut.")
    return brings


def test_a_copy_that_nobody_has_begun_is_replaced(course, work):
    assert course("Cut deeper.") == [f"{RENEWED}01_topic.ipynb"]
    assert "Cut deeper." in contents(work)["01_topic.ipynb"]
    assert course("Cut deeper.") == [f"Your lessons in {work} are up to date."]
    assert course("Cut.") == [f"{RENEWED}01_topic.ipynb"], "an older course is checked out again"
    assert set(contents(work)) == set(FIRST)


def test_a_version_that_waits_unopened_makes_way_for_the_next(course, work):
    (work / "01_topic.ipynb").write_text(notebook("Cut.", "mine"), encoding="utf-8")
    course("Cut deeper.")
    assert course("Cut no more.") == [
        f"{RENEWED}01-v2_topic.ipynb",
        "  01-v2_topic.ipynb: Changed: Step 1.",
    ]
    assert contents(work)["01_topic.ipynb"] == notebook("Cut.", "mine")
    assert "no more" in contents(work)["01-v2_topic.ipynb"]
    assert set(contents(work)) == {*FIRST, "01-v2_topic.ipynb"}


def test_an_older_version_that_nobody_opened_is_not_taken_for_one_that_waits(course, work):
    (work / "01-v2_topic.ipynb").write_text("mine, in the second", encoding="utf-8")
    course("Cut no more.")
    assert "Cut." in contents(work)["01_topic.ipynb"]
    assert contents(work)["01-v2_topic.ipynb"] == "mine, in the second"
    assert "no more" in contents(work)["01-v3_topic.ipynb"]


def test_what_was_solved_before_it_was_delivered_is_work(notebooks, work):
    """In the course's own folder, by mistake."""
    solved = json.loads(notebook("Cut.", "mine"))
    solved["cells"][1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "2"}]
    (notebooks / "01_topic.ipynb").write_text(json.dumps(solved), encoding="utf-8")
    lab.deliver(notebooks, work)
    (notebooks / "01_topic.ipynb").write_text(notebook("Cut."), encoding="utf-8")
    lab.deliver(notebooks, work)
    assert contents(work)["01_topic.ipynb"] == json.dumps(solved)


def test_a_copy_that_a_learner_has_named_is_never_replaced(course, work):
    (work / "01_topic.ipynb").rename(work / "01_topic-Copy1.ipynb")
    before = contents(work)["01_topic-Copy1.ipynb"]
    course("Cut deeper.")
    assert contents(work)["01_topic-Copy1.ipynb"] == before
    assert "deeper" in contents(work)["01-v2_topic.ipynb"]


def as_jupyterlab_saves(notebook: str) -> str:
    """What it writes when one has only looked."""
    seen = json.loads(notebook) | {"metadata": {"kernelspec": {"display_name": "Python 3"}}}
    for cell in seen["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
    return json.dumps(seen, indent=1)


def test_to_look_at_a_copy_is_no_work(course, work):
    copy = work / "01_topic.ipynb"
    copy.write_text(as_jupyterlab_saves(contents(work)[copy.name]), encoding="utf-8")
    assert course("Cut deeper.") == [f"{RENEWED}01_topic.ipynb"]


def test_a_page_saved_over_a_replaced_copy_costs_neither_its_text_nor_the_newer_version(
    course, work
):
    before = json.loads(contents(work)["01_topic.ipynb"])
    course("Cut deeper.")
    assert course("Cut deeper.") == [f"Your lessons in {work} are up to date."]
    before["cells"][1]["source"] = "written meanwhile, in a page that was open all the time"
    (work / "01_topic.ipynb").write_text(json.dumps(before), encoding="utf-8")
    assert course("Cut deeper.")[1] == "  01-v3_topic.ipynb: Changed: Step 1."
    assert contents(work)["01_topic.ipynb"] == json.dumps(before)
    assert "deeper" in contents(work)["01-v3_topic.ipynb"]
    assert course("Cut deeper.") == [f"Your lessons in {work} are up to date."]


def test_work_in_a_replaced_copy_brings_no_second_one(course, work):
    course("Cut deeper.")
    begun = json.loads(contents(work)["01_topic.ipynb"])
    begun["cells"][1]["source"] = "mine"
    (work / "01_topic.ipynb").write_text(json.dumps(begun), encoding="utf-8")
    assert course("Cut deeper.") == [f"Your lessons in {work} are up to date."]


def test_a_copy_that_cannot_be_read_stops_nothing(course, work, monkeypatch):
    """Root may read any file, so the refusal is played."""
    real = Path.open

    def refused(path, *how, **more):
        if path == work / "01_topic.ipynb":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *how, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refused)
        course("Cut deeper.")
    assert "deeper" in contents(work)["01-v2_topic.ipynb"]
    assert "Cut." in contents(work)["01_topic.ipynb"]


def test_a_copy_that_is_no_notebook_any_more_is_named_and_can_be_had_again(course, work):
    copy = work / "01_topic.ipynb"
    copy.write_bytes(b"\xff garbage")
    said = course("Cut.")
    assert said[-1].startswith("  01_topic.ipynb: no notebook any more. Move it away or delete it")
    assert copy.read_bytes() == b"\xff garbage"
    copy.unlink()
    assert course("Cut.") == [f"Copied into {work}: 01_topic.ipynb"]


def test_while_the_folder_is_open_no_copy_is_replaced(course, work):
    """It may be on a screen, with work in it that is not saved yet."""
    (said, *_) = course("Cut deeper.", in_use=True)
    assert said.endswith("beside your copy, which stays as it is: 01-v2_topic.ipynb")
    assert "Cut." in contents(work)["01_topic.ipynb"]


def test_a_newer_version_lands_beside_the_copy_and_only_once(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    (notebooks / "01_topic.ipynb").write_text("second", encoding="utf-8")
    said = lab.deliver(notebooks, work)
    expected = FIRST | {"01_topic.ipynb": "mine", "01-v2_topic.ipynb": "second"}
    assert contents(work) == expected
    assert said == [
        "A newer version, beside your copy, which stays as it is: 01-v2_topic.ipynb",
    ]
    lab.deliver(notebooks, work)
    assert contents(work) == expected
    (work / "01-v2_topic.ipynb").write_text("mine too", encoding="utf-8")
    (notebooks / "01_topic.ipynb").write_text("third", encoding="utf-8")
    lab.deliver(notebooks, work)
    mine = {"01_topic.ipynb": "mine", "01-v2_topic.ipynb": "mine too"}
    assert contents(work) == FIRST | mine | {"01-v3_topic.ipynb": "third"}


def test_a_version_keeps_its_number_when_an_earlier_one_was_deleted(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    (notebooks / "01_topic.ipynb").write_text("second", encoding="utf-8")
    lab.deliver(notebooks, work)
    (work / "01-v2_topic.ipynb").unlink()
    assert lab.deliver(notebooks, work) == [f"Your lessons in {work} are up to date."]
    (notebooks / "01_topic.ipynb").write_text("third", encoding="utf-8")
    lab.deliver(notebooks, work)
    expected = FIRST | {"01_topic.ipynb": "mine", "01-v3_topic.ipynb": "third"}
    assert contents(work) == expected


def test_a_name_that_a_learner_took_is_left_alone(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01-v2_topic.ipynb").write_text("my own second try", encoding="utf-8")
    (notebooks / "01_topic.ipynb").write_text("second", encoding="utf-8")
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST | {
        "01-v2_topic.ipynb": "my own second try",
        "01-v3_topic.ipynb": "second",
    }


def test_a_deleted_lesson_comes_again_when_nothing_of_it_is_left(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").unlink()
    assert lab.deliver(notebooks, work) == [f"Copied into {work}: 01_topic.ipynb"]
    assert contents(work) == FIRST


def test_a_renamed_copy_counts_while_its_name_still_tells_the_lesson(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").rename(work / "01_topic_mine.ipynb")
    lab.deliver(notebooks, work)
    assert set(contents(work)) == {"00_start_here.ipynb", "01_topic_mine.ipynb"}


def test_a_copy_renamed_beyond_recognition_is_kept_and_the_lesson_comes_again(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    (work / "01_topic.ipynb").rename(work / "done.ipynb")
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST | {"done.ipynb": "mine"}


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "7", '{"01_topic": 3}', '{"01_topic": [3]}', "é"]
)
def test_a_damaged_record_loses_nothing_and_untouched_copies_are_recognised(
    notebooks, work, damage
):
    lab.deliver(notebooks, work)
    (work / RECORD).write_bytes(damage.encode("latin-1"))
    assert lab.deliver(notebooks, work) == [f"Your lessons in {work} are up to date."]
    assert contents(work) == FIRST


def test_with_a_lost_record_an_edited_copy_gets_the_present_version_beside_it(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    (work / RECORD).unlink()
    lab.deliver(notebooks, work)
    expected = FIRST | {"01_topic.ipynb": "mine", "01-v2_topic.ipynb": FIRST["01_topic.ipynb"]}
    assert contents(work) == expected
    lab.deliver(notebooks, work)
    assert contents(work) == expected


def test_a_later_version_has_the_highest_number_whatever_the_record_knows(notebooks, work):
    lab.deliver(notebooks, work)
    (work / "01_topic.ipynb").write_text("mine", encoding="utf-8")
    (work / "01-v4_topic.ipynb").write_text("mine too", encoding="utf-8")
    (work / RECORD).unlink()
    lab.deliver(notebooks, work)
    assert contents(work)["01-v5_topic.ipynb"] == FIRST["01_topic.ipynb"]


def test_a_copy_that_is_interrupted_leaves_no_half_lesson(notebooks, work, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lab.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.deliver(notebooks, work)
    assert contents(work) == {}
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST
    assert not list(work.glob(".*.part"))


def test_a_kill_before_the_record_is_written_brings_nothing_twice(notebooks, work, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lab, "write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            lab.deliver(notebooks, work)
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST


def test_jupyters_own_checkpoints_do_not_count_as_copies(notebooks, work):
    lab.deliver(notebooks, work)
    (work / ".ipynb_checkpoints").mkdir()
    (work / "01_topic.ipynb").rename(work / ".ipynb_checkpoints" / "01_topic-checkpoint.ipynb")
    lab.deliver(notebooks, work)
    assert contents(work) == FIRST


# --- The glossary ---------------------------------------------------------------------------------


@pytest.fixture
def with_glossary(notebooks):
    (notebooks / "glossary.md").write_text("words", encoding="utf-8")
    return notebooks


def pages(work: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in work.glob("*.md")}


def test_the_glossary_comes_with_the_lessons(with_glossary, work):
    said = lab.deliver(with_glossary, work)
    assert said == [f"Copied into {work}: 00_start_here.ipynb, 01_topic.ipynb, glossary.md"]
    assert pages(work) == {"glossary.md": "words"}
    assert contents(work) == FIRST
    assert lab.deliver(with_glossary, work) == [f"Your lessons in {work} are up to date."]


def test_a_newer_glossary_takes_the_place_of_one_that_nobody_wrote_in(with_glossary, work):
    lab.deliver(with_glossary, work)
    (with_glossary / "glossary.md").write_text("more words", encoding="utf-8")
    assert lab.deliver(with_glossary, work) == [
        "A newer version, in place of a copy that you had not changed: glossary.md"
    ]
    assert pages(work) == {"glossary.md": "more words"}
    assert lab.deliver(with_glossary, work) == [f"Your lessons in {work} are up to date."]
    (with_glossary / "glossary.md").write_text("words", encoding="utf-8")
    lab.deliver(with_glossary, work)
    assert pages(work) == {"glossary.md": "words"}, "an older course is checked out again"


def test_a_glossary_that_somebody_wrote_in_stays_and_the_newer_lies_beside_it(with_glossary, work):
    lab.deliver(with_glossary, work)
    (work / "glossary.md").write_text("words, and mine", encoding="utf-8")
    assert lab.deliver(with_glossary, work) == [f"Your lessons in {work} are up to date."]
    (with_glossary / "glossary.md").write_text("more words", encoding="utf-8")
    said = lab.deliver(with_glossary, work)
    assert said == ["A newer version, beside your copy, which stays as it is: glossary-v2.md"]
    expected = {"glossary.md": "words, and mine", "glossary-v2.md": "more words"}
    assert pages(work) == expected
    assert lab.deliver(with_glossary, work) == [f"Your lessons in {work} are up to date."]
    assert pages(work) == expected


def test_a_glossary_that_is_gone_comes_again_whatever_lies_beside_it(with_glossary, work):
    """The lessons' links lead to this name."""
    lab.deliver(with_glossary, work)
    (work / "glossary.md").rename(work / "glossary-mine.md")
    assert lab.deliver(with_glossary, work) == [f"Copied into {work}: glossary.md"]
    assert pages(work) == {"glossary.md": "words", "glossary-mine.md": "words"}


def test_with_a_lost_record_no_glossary_is_written_over(with_glossary, work):
    lab.deliver(with_glossary, work)
    (work / RECORD).unlink()
    assert lab.deliver(with_glossary, work) == [f"Your lessons in {work} are up to date."]
    (with_glossary / "glossary.md").write_text("more words", encoding="utf-8")
    (work / RECORD).unlink()
    lab.deliver(with_glossary, work)
    assert pages(work) == {"glossary.md": "words", "glossary-v2.md": "more words"}


# --- What goes wrong is said in a sentence --------------------------------------------------------


def sentence(capsys) -> str:
    said = capsys.readouterr().err
    assert said.startswith("course: ") and said.count("\n") == 1, said
    return said


def test_a_work_folder_that_cannot_be_made_is_one_sentence(
    notebooks, tmp_path, monkeypatch, capsys
):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(lab, "NOTEBOOKS", notebooks)
    assert cli.main(["lab", "--work", str(tmp_path / "file" / "work")]) == 1
    assert "cannot be written to (Not a directory)" in sentence(capsys)


def test_a_read_only_work_folder_is_one_sentence(notebooks, work, monkeypatch, capsys):
    """Root may write to any folder, so the refusal is played."""

    def refused(self, _):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(lab, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(Path, "write_bytes", refused)
    assert cli.main(["lab", "--work", str(work)]) == 1
    said = sentence(capsys)
    assert f"{work} cannot be written to (Permission denied)" in said
    assert "--work DIR" in said


def test_a_folder_that_has_become_read_only_is_said_though_nothing_new_is_to_be_copied(
    notebooks, work, monkeypatch, capsys
):
    lab.deliver(notebooks, work)

    def refused(**_):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(lab, "NOTEBOOKS", notebooks)
    monkeypatch.setattr(lab.tempfile, "TemporaryFile", refused)
    assert cli.main(["lab", "--work", str(work)]) == 1
    assert f"{work} cannot be written to (Read-only file system)" in sentence(capsys)


def test_a_course_without_lessons_is_one_sentence(tmp_path, work, monkeypatch, capsys):
    monkeypatch.setattr(lab, "NOTEBOOKS", tmp_path / "nowhere")
    assert cli.main(["lab", "--work", str(work)]) == 1
    assert "no lessons" in sentence(capsys)


def test_a_jupyterlab_that_fails_to_start_is_one_sentence(notebooks, work, monkeypatch, capfd):
    monkeypatch.setattr(lab, "NOTEBOOKS", notebooks)
    monkeypatch.setenv("PYTHONPATH", str(work))
    work.mkdir()
    (work / "jupyterlab.py").write_text("raise SystemExit(3)", encoding="utf-8")
    assert cli.main(["lab", "--work", str(work), "--no-browser"]) == 1
    assert "JupyterLab ended before it answered (exit status 3)" in sentence(capfd)


# --- Whether to open a browser --------------------------------------------------------------------


@pytest.mark.parametrize(
    "platform, variables, answer",
    [
        ("linux", {}, False),
        ("linux", {"DISPLAY": ":0"}, True),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, True),
        ("darwin", {}, True),
        ("win32", {}, True),
    ],
)
def test_a_browser_is_opened_where_there_is_a_screen(monkeypatch, platform, variables, answer):
    monkeypatch.setattr(lab.sys, "platform", platform)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert lab.has_display() is answer


# --- The server -----------------------------------------------------------------------------------


def command_lines() -> str:
    """What any user of this machine can read about its processes."""
    processes = psutil.process_iter(["cmdline"])
    return "\n".join(" ".join(process.info["cmdline"] or []) for process in processes)


def test_the_lab_serves_the_work_folder_quietly_and_keeps_its_token_to_itself(tmp_path):
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    taken.listen()
    port = taken.getsockname()[1]
    home = tmp_path / "home"
    home.mkdir()
    options = ("--port", str(port))
    with taken, course_lab(tmp_path, *options, environment={"HOME": str(home)}) as running:
        address, token = running.address.split("?token=")
        assert address.endswith("/lab/tree/00_start_here.ipynb")
        assert f":{port}/" not in address, "a port that is taken is stepped over"

        start = address.split("/lab/")[0]
        with urllib.request.urlopen(f"{start}/api/contents?token={token}", timeout=10) as reply:
            served = [entry["name"] for entry in json.load(reply)["content"]]
        assert "00_start_here.ipynb" in served
        assert RECORD not in served

        assert "jupyterlab" in command_lines()
        assert token not in command_lines()

        assert running.stop() == 0
    assert "Traceback" not in "\n".join(running.said)
    assert f"Another program uses port {port}, so this is at a new address." in running.said
    assert len(running.said) <= 8, running.said
    assert list(home.rglob("*")) == [], "only Jupyter's own folders, which stand elsewhere here"


def test_a_student_gets_the_assignment_list_and_nothing_of_the_teachers(tmp_path):
    with course_class_homework(tmp_path) as running:
        address, token = running.address.split("?token=")
        with urllib.request.urlopen(running.address, timeout=20) as reply:
            page = reply.read().decode()
        settings = re.search(r'id="jupyter-config-data"[^>]*>(.*?)</script>', page, re.DOTALL)[1]
        off = str(json.loads(settings)["disabledExtensions"])
        assert "formgrader" in off and "create-assignment" in off
        assert "assignment-list" not in off and "validate" not in off

        start = address.removesuffix("/lab")
        with urllib.request.urlopen(
            f"{start}/assignments?course_id=autumn&token={token}", timeout=20
        ) as reply:
            assert "success" in json.load(reply)
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{start}/formgrader?token={token}", timeout=20)
    assert running.work.is_dir()


def test_the_lab_leaves_no_process_behind(tmp_path):
    """Whoever ends `course lab`, and however, JupyterLab goes with it."""
    with course_lab(tmp_path) as running:
        running.process.terminate()
        assert running.process.wait(timeout=30) == 0
        assert str(running.work) not in command_lines()


def test_a_jupyterlab_that_is_killed_is_told_with_what_to_do(tmp_path):
    with course_lab(tmp_path) as running:
        (jupyter,) = psutil.Process(running.process.pid).children()
        jupyter.kill()
        assert running.process.wait(timeout=30) != 0
        end = time.monotonic() + 10
        while "reload the page" not in "\n".join(running.said) and time.monotonic() < end:
            time.sleep(0.1)
        said = "\n".join(running.said)
    assert f"What was saved is in {running.work}" in said
    assert "type the same command again" in said


def test_a_second_lab_on_a_folder_says_where_the_first_is_and_how_to_end_it(tmp_path):
    with course_lab(tmp_path) as first:
        port = str(urlsplit(first.address).port)
        assert "open already" not in "\n".join(first.said)
        with course_lab(tmp_path) as second:
            said = "\n".join(second.said)
            assert f"open already, on port {port}" in said
            assert f"jupyter server stop {port}" in said


@pytest.fixture
def somebody_elses():
    """A server that lets nobody in, at the address of one that is gone."""

    class Refusing(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api" else 403)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_a_server_of_somebody_elses_is_not_taken_for_one_that_is_gone(tmp_path, somebody_elses):
    file = tmp_path / "jpserver-1.json"
    info = {"root_dir": str(tmp_path), "port": somebody_elses, "secure": False, "token": "gone"}
    info["url"] = f"http://127.0.0.1:{somebody_elses}/"
    file.write_text(json.dumps(info), encoding="utf-8")
    assert lab._already_open(tmp_path, {file: 0}) == []
    others = [tmp_path / "jpserver-2.json", tmp_path / "jpserver-3.json"]  # with a password
    for other in others:
        other.write_text(json.dumps(info | {"token": ""}), encoding="utf-8")
    assert lab._already_open(tmp_path, dict.fromkeys(others, 0)) == [somebody_elses]


def test_where_there_is_a_screen_the_browser_opens_on_the_start_page(tmp_path):
    """It is handed a file that forwards to the address: a token in its arguments could be seen."""
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n', encoding="utf-8")
    browser.chmod(0o755)
    screen = {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    with course_lab(tmp_path, environment=screen) as running:
        until = time.monotonic() + 20
        while not (opened.exists() and opened.read_text()) and time.monotonic() < until:
            time.sleep(0.1)
        asked = opened.read_text(encoding="utf-8").strip()
        assert asked.startswith("file://") and "token" not in asked
        forward = Path(url2pathname(urlsplit(asked).path)).read_text(encoding="utf-8")
        assert "/lab/tree/00_start_here.ipynb" in forward
        assert running.address.split("token=")[1] in forward


def test_no_browser_means_none(tmp_path):
    opened = tmp_path / "opened"
    screen = {"DISPLAY": ":0", "BROWSER": f"touch {opened}"}
    with course_lab(tmp_path, "--no-browser", environment=screen):
        time.sleep(1)
        assert not opened.exists()


def test_the_kernel_of_a_lesson_is_the_courses_own_python(tmp_path):
    """A kernel that the user installed under the same name must not take its place."""
    from jupyter_client.kernelspec import KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec("python3")
    assert Path(spec.resource_dir).is_relative_to(sys.prefix)
    assert os.path.basename(spec.argv[0]).startswith("python")


@pytest.mark.parametrize("file", sorted(lab.SETTINGS.rglob("default_setting_overrides.json")))
def test_jupyterlab_knows_every_setting_that_is_given_to_it(file):
    """It passes over one that is misspelt, without a word."""
    schemas = Path(sys.prefix, "share", "jupyter", "lab", "schemas")
    for plugin, settings in json.loads(file.read_text(encoding="utf-8")).items():
        package, _, name = plugin.partition(":")
        schema = json.loads((schemas / package / f"{name}.json").read_text(encoding="utf-8"))
        assert set(settings) <= set(schema["properties"])
