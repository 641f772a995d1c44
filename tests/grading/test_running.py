"""What a worker does with a notebook besides running it: which versions it takes, what it tries
again, and who may run beside whom. The processes are played."""

import json
import threading
import time
from contextlib import contextmanager

import pytest
from nbformat.v4 import new_code_cell

from course_utils.grading import frames, running
from course_utils.grading.running import Terms, Work
from course_utils.grading.sandbox import NO_MEMORY_LEFT, Limits, Ran

TERMS = Terms("a secret", Limits(), Limits(), True)
LOST = "was lost: the sandbox itself ended"


class Ending:
    """A sandbox whose jobs end as told, one after the other."""

    def __init__(self, *ends):
        self.ends, self.cores = list(ends), []

    def run(self, job, files, limits, core):
        self.cores.append(core)
        return Ran([], self.ends.pop(0), None, 0.1)


def tried(*ends):
    box = Ending(*ends)
    ran = running._with_tries(box, b"", {}, Limits(), 1)
    return ran.ended, len(box.cores)


def test_what_nobody_could_help_is_tried_again_and_not_for_ever():
    assert tried("", "never asked") == ("", 1)
    assert tried(LOST, "") == ("", 2)
    assert tried(LOST, LOST, LOST, "never asked") == (LOST, 3)
    assert tried("crashed (aborted)", "never asked") == ("crashed (aborted)", 1)


def test_who_ran_out_of_the_machines_memory_runs_once_more_alone():
    assert tried(NO_MEMORY_LEFT, "") == ("", 2)
    assert tried(NO_MEMORY_LEFT, NO_MEMORY_LEFT, "never asked") == (NO_MEMORY_LEFT, 2)


def test_alone_means_alone():
    neighbours, inside, seen = running._Neighbours(), [], []
    lock = threading.Lock()

    def live(how):
        with getattr(neighbours, how)():
            with lock:
                inside.append(how)
                seen.append(sorted(inside))
            time.sleep(0.02)
            with lock:
                inside.remove(how)

    ways = ["welcome", "kept_out", "welcome", "welcome", "kept_out", "welcome"] * 4
    threads = [threading.Thread(target=live, args=(how,)) for how in ways]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(seen) == len(ways)
    assert all(each == ["kept_out"] for each in seen if "kept_out" in each)
    assert any(len(each) > 1 for each in seen)


def test_each_notebook_gets_the_processor_that_fewest_have(monkeypatch):
    monkeypatch.setattr(running.os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    with running._a_processor() as one, running._a_processor() as other:
        assert {one, other} == {3, 5}
        with running._a_processor() as third:
            assert third == 3
    with running._a_processor() as again:
        assert again == 3


def work(**change) -> Work:
    cells = [new_code_cell("x = 1", metadata={"tags": ["own"]})]
    return Work(cells, [], {"data.csv": b"1,2"}, TERMS)._replace(**change)


def test_work_travels_whole_and_without_what_decides_nothing(monkeypatch):
    arrived = []

    class Run:
        def __init__(self, work):
            arrived.append(work)

        def result(self):
            return {"outputs": []}

    monkeypatch.setattr(running, "_Run", Run)
    (cell,) = work().cells
    cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "old"}]
    assert json.loads(running.perform(work(cells=[cell]).packed())) == {"outputs": []}
    (there,) = arrived
    assert (there.terms, there.files) == (TERMS, {"data.csv": b"1,2"})
    assert (there.cells[0].source, there.cells[0].metadata.tags) == ("x = 1", ["own"])
    assert "outputs" not in there.cells[0]


def test_a_worker_of_another_version_runs_nothing_and_says_so(monkeypatch):
    header, blobs = frames.unpack(work().packed())
    header["versions"][0] = "another"
    monkeypatch.setattr(running, "_Run", None)
    said = json.loads(running.perform(frames.pack(header, blobs)))
    assert "is not the same as here" in said["problem"]
    assert running.versions()[0] in said["problem"] and "another" in said["problem"]


def test_what_the_instructor_must_mend_comes_back_as_a_sentence(monkeypatch):
    @contextmanager
    def warm(*_):
        raise running.Problem("bubblewrap is missing.")
        yield

    monkeypatch.setattr(running, "_warm", warm)
    assert json.loads(running.perform(work().packed())) == {"problem": "bubblewrap is missing."}


class Kept:
    made: list = []  # noqa: RUF012

    def __init__(self, kind, exercises, terms):
        self.kind, self.sandbox, self.users, self.closed = kind, object(), 0, False
        self.made.append(self)

    def close(self):
        self.closed = True


@pytest.fixture
def kept(monkeypatch):
    monkeypatch.setattr(running, "_Kept", Kept)
    monkeypatch.setattr(running, "_sandboxes", {})
    Kept.made.clear()
    yield Kept.made
    running.let_go()


def test_all_threads_share_one_warm_process_of_each_kind(kept):
    def use():
        for kind in ("answers", "verdicts"):
            with running._warm(kind, ["mask"], TERMS):
                time.sleep(0.01)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.kind for one in kept] == ["answers", "verdicts"]


def test_another_assignment_closes_what_is_idle_and_never_what_runs(kept):
    with running._warm("answers", ["mask"], TERMS):
        with running._warm("answers", ["other"], TERMS):
            pass
        assert not kept[0].closed
        with running._warm("answers", ["third"], TERMS):
            assert kept[1].closed and not kept[0].closed
    running.let_go()
    assert all(one.closed for one in kept)


def test_another_seed_needs_other_verdicts_and_no_other_answers(kept):
    other = TERMS._replace(seed="another")
    for kind in ("answers", "verdicts"):
        for terms in (TERMS, other):
            with running._warm(kind, ["mask"], terms):
                pass
    assert [one.kind for one in kept] == ["answers", "verdicts", "verdicts"]


def test_to_abandon_ends_what_runs_too(kept):
    with running._warm("answers", ["mask"], TERMS):
        running.abandon()
        assert kept[0].closed
