"""What a learner did is never lost: not to a second notebook, a kill, or a damaged file."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from course_utils.study import log, reviewing
from course_utils.study.progress import progress

WRITER = """
import sys
from course_utils.study import log, reviewing
from course_utils.study.progress import progress
name, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    log.append("test", name, number=number, filling="x" * size)
    print(number, flush=True)
"""


def start_writer(name, count, size=0):
    """Writes events and says of each, once it is written, that it is."""
    command = [sys.executable, "-c", WRITER, name, str(count), str(size)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def numbers(name):
    return [event.data["number"] for event in log.read("test", name)]


def test_events_come_back_in_order_with_their_data():
    log.append("check", "a", score=0.5)
    log.append("hint", "a", number=1)
    log.append("check", "b", score=1.0)
    assert [(e.name, e.data) for e in log.read("check")] == [
        ("a", {"score": 0.5}),
        ("b", {"score": 1.0}),
    ]
    assert [e.name for e in log.read("check", "b")] == ["b"]


def test_three_notebooks_at_once_lose_nothing():
    writers = [start_writer(name, 60) for name in ("one", "two", "three")]
    for writer in writers:
        writer.communicate()
    for name in ("one", "two", "three"):
        assert numbers(name) == list(range(60))


def test_whatever_was_said_to_be_written_survives_a_kill_in_the_middle_of_writing():
    """Several kills, each at another moment, while another notebook goes on writing."""
    chance = random.Random(4)
    bystander = start_writer("bystander", 150)
    for round_ in range(10):
        writer = start_writer(f"killed {round_}", 100_000, size=200_000)
        first = writer.stdout.readline()
        time.sleep(0.05 * chance.random())
        os.kill(writer.pid, signal.SIGKILL)
        said = [int(line) for line in (first + writer.communicate()[0]).splitlines()]
        kept = numbers(f"killed {round_}")
        assert said == list(range(len(said)))
        assert kept in (said, [*said, len(said)])  # the last may be written and not yet said
    bystander.communicate()
    assert numbers("bystander") == list(range(150))
    with closing(sqlite3.connect(log.path())) as file:
        assert file.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(home, capsys):
    log.append("test", "before")
    damage = b"this is no database" * 1000
    log.path().write_bytes(damage)
    log.append("test", "after")
    assert [e.name for e in log.read("test")] == ["after"]
    (aside,) = home.glob("progress-damaged-*.sqlite3")
    assert aside.read_bytes() == damage
    assert str(aside) in capsys.readouterr().out


def test_what_lies_around_the_damage_is_taken_over_in_order(home, capsys):
    for number in range(400):
        log.append("test", "kept", number=number, filling="x" * 200)
    size = log.path().stat().st_size
    with open(log.path(), "r+b") as file:
        file.seek(size // 2)
        file.write(b"\xff" * 4096)
    kept = numbers("kept")
    assert 350 < len(kept) < 400 and kept == sorted(kept)
    assert kept[0] == 0 and kept[-1] == 399, "both sides of the damage"
    assert f"with the {len(kept)} entries that could be read" in capsys.readouterr().out
    log.append("test", "kept", number=400)
    assert numbers("kept") == [*kept, 400]
    assert len(list(home.glob("progress-damaged-*"))) == 1


@pytest.mark.parametrize(
    "kind, name, damage",
    [
        ("check", "keep_largest", {}),
        ("check", "keep_largest", {"score": "one"}),
        ("enrol", "00", {"day": "some day"}),
        ("enrol", "00", {"day": 7}),
        ("prediction", "drop", {}),
        ("pretest", "any", {"rev": None, "answer": "words"}),
        ("ledger", "00 the trained network", {"accuracy": 1}),
        ("answer", "any", {"rev": 1, "day": "2026-03-01", "use": "review"}),
    ],
)
def test_an_entry_that_lacks_what_its_readers_need_is_passed_over(kind, name, damage, capsys):
    log.append(kind, name, **damage)
    assert log.read(kind) == []
    assert "solved" in progress().plain
    assert reviewing.due_today() == []
    assert capsys.readouterr().out == "", "and nothing was set aside"


def test_bytes_that_are_no_text_cost_their_own_entry(capsys):
    for name in ("before", "damaged", "after"):
        log.append("check", name, score=1)
    with closing(sqlite3.connect(log.path())) as file, file:
        file.execute("UPDATE events SET data = CAST(x'7bff' AS TEXT) WHERE name = 'damaged'")
    assert [e.name for e in log.read("check")] == ["before", "after"]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("damage", ['{"score": 1', "3", "", b"\xff\xfe"])
def test_a_damaged_entry_costs_itself_alone(home, damage):
    for name in ("before", "damaged", "after"):
        log.append("test", name, score=1)
    with closing(sqlite3.connect(log.path())) as file, file:
        file.execute("UPDATE events SET data = ? WHERE name = 'damaged'", (damage,))
    assert [e.name for e in log.read("test")] == ["before", "after"]


def test_where_nothing_can_be_saved_the_lesson_goes_on(home, monkeypatch, capsys):
    blocked = home / "a file"
    blocked.write_text("in the way")
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(blocked / "folder"))
    log.append("test", "one")
    log.append("test", "two")
    assert [e.name for e in log.read("test")] == ["one", "two"]
    out, err = capsys.readouterr()
    assert out.count("cannot be saved") == 1
    assert err == ""


def test_grading_leaves_no_trace_in_anybodys_progress(monkeypatch):
    saved = log.path()
    monkeypatch.delenv("PRUNING_COURSE_HOME")
    monkeypatch.setattr(log, "automated", lambda: True)
    monkeypatch.setattr(log, "state_dir", lambda: saved.parent)
    log.append("test", "graded")
    assert [e.name for e in log.read("test")] == ["graded"]
    assert not saved.exists()
