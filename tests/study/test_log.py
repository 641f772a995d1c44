"""What a learner did is never lost: not to a second notebook, a kill, or a damaged file."""

import os
import signal
import subprocess
import sys
import time

from course_utils.study import log

WRITER = """
import sys
from course_utils.study import log
for number in range(int(sys.argv[2])):
    log.append("test", sys.argv[1], number=number)
    print(number, flush=True)
"""


def start_writer(name, count):
    command = [sys.executable, "-c", WRITER, name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_events_come_back_in_order_with_their_data():
    log.append("check", "a", score=0.5)
    log.append("hint", "a", number=1)
    log.append("check", "b", score=1.0)
    assert [(e.name, e.data) for e in log.read("check")] == [
        ("a", {"score": 0.5}),
        ("b", {"score": 1.0}),
    ]
    assert [e.name for e in log.read("check", "b")] == ["b"]


def test_two_notebooks_at_once_lose_nothing():
    writers = [start_writer(name, 60) for name in ("one", "two")]
    for writer in writers:
        writer.communicate()
    for name in ("one", "two"):
        assert [e.data["number"] for e in log.read("test", name)] == list(range(60))


def test_what_was_written_survives_a_kill():
    writer = start_writer("killed", 100_000)
    written = [int(writer.stdout.readline()) for _ in range(20)]
    time.sleep(0.05)
    os.kill(writer.pid, signal.SIGKILL)
    writer.communicate()
    kept = [e.data["number"] for e in log.read("test")]
    assert kept[:20] == written
    assert kept == list(range(len(kept)))
    log.append("test", "killed", number=-1)
    assert len(log.read("test")) == len(kept) + 1


def test_a_damaged_file_is_set_aside_and_a_new_one_begun(home, capsys):
    log.append("test", "before")
    damage = b"this is no database" * 1000
    log.path().write_bytes(damage)
    log.append("test", "after")
    assert [e.name for e in log.read("test")] == ["after"]
    (aside,) = home.glob("progress-damaged-*.sqlite3")
    assert aside.read_bytes() == damage
    assert str(aside) in capsys.readouterr().out


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
