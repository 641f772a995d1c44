"""A class in which most students attack the grader, graded as root and as an ordinary user.

What each tries, and what must come of it, stands in `hostile`; `class_folder` grades them all in
one batch, with honest students among them. One batch serves all tests of this file.
"""

import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import class_folder
import hostile
import pytest
import system_packages
from hostile import HONEST_STUDENTS, HOSTILE, POINTS

HERE = Path(__file__).resolve().parent
AS_ROOT = os.geteuid() == 0
QUICK = [one for one in HOSTILE if one.name not in hostile.SLOW]
WALLS = [one for one in QUICK if one.name in hostile.AGAINST_WALLS]

# Who grades, and whom. `soak_hostile` has everybody graded by everyone.
BATCHES = {"ordinary user": [*HONEST_STUDENTS, *QUICK]}
if AS_ROOT:
    BATCHES["root"] = [*HONEST_STUDENTS, *WALLS]


def pytest_generate_tests(metafunc):
    """A test that asks for a notebook sees each of each batch; others see each batch once."""
    batches = metafunc.module.BATCHES
    if "notebook" in metafunc.fixturenames:
        pairs = [(user, one) for user, batch in batches.items() for one in batch]
        if "pages" in metafunc.function.__name__:
            pairs = [(user, one) for user, one in pairs if one in hostile.READ_BY_PEOPLE]
        names = [f"{user}-{one.name}" for user, one in pairs]
        metafunc.parametrize(("batch", "notebook"), pairs, ids=names, indirect=["batch"],
                             scope="module")  # fmt: skip
    elif "batch" in metafunc.fixturenames:
        metafunc.parametrize("batch", batches, indirect=True, scope="module")


@pytest.fixture(scope="module")
def graded() -> dict[str, dict]:
    """What came of each batch."""
    return {}


@pytest.fixture(scope="module")
def batch(request, graded, tmp_path_factory) -> dict:
    """What came of having this user grade them all."""
    if request.param not in graded:
        batches = request.module.BATCHES
        names = [one.name for one in batches[request.param]]
        home = tmp_path_factory.mktemp("home")
        graded[request.param] = grade(request.param, names, home)
    return graded[request.param]


def grade(user: str, names: list[str], home: Path) -> dict:
    system_packages.need("bubblewrap")
    program = ["as_ordinary_user.py"] if AS_ROOT and user != "root" else ["-m"]
    done = subprocess.run(
        [sys.executable, *program, "class_folder", *names],
        cwd=HERE,
        env=os.environ | {"HOME": str(home)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def points_of(batch: dict, notebook) -> dict[str, float | None]:
    found = batch["together"][batch["names"][notebook.name]]
    return {name: found[f"check_{name}"][0] for name in POINTS}


def lines_about(batch: dict, notebook) -> tuple[list[str], list[str]]:
    """Those printed while grading, and those that are worth a look."""
    name = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in
                   batch["names"][notebook.name])  # fmt: skip
    lines = "\n".join(batch["grading"]["printed"]).splitlines()
    graded = [line for line in lines if re.match(rf"{re.escape(name)}  +[\d.?]+ of 18  ", line)]
    noted = [line for line in lines if line.startswith(f"  {name}: ")]
    return graded, noted


def test_there_are_enough_of_them_and_each_has_its_own_name():
    everybody = [*HONEST_STUDENTS, *HOSTILE]
    assert len(HOSTILE) >= 90
    assert len(hostile.AGAINST_WALLS) >= 35
    assert len({one.name for one in everybody}) == len(everybody)
    assert all(one.tries.endswith(".") for one in everybody)
    assert {one.name for one in HOSTILE} >= hostile.SLOW


def test_it_earns_what_it_has_honestly_earned(batch, notebook):
    assert points_of(batch, notebook) == {name: notebook.earns.get(name, 0) for name in POINTS}


def test_what_could_not_be_graded_waits_for_a_human_and_is_no_zero(batch, notebook):
    found = batch["together"][batch["names"][notebook.name]]
    waits = {name: found[f"check_{name}"][2] for name in POINTS}
    assert waits == {name: notebook.earns.get(name, 0) is None for name in POINTS}


def test_the_instructor_reads_one_line_about_it(batch, notebook):
    graded, noted = lines_about(batch, notebook)
    assert len(graded) == 1
    assert len(noted) <= 1
    assert re.search(notebook.line or "^$", "".join(noted)), noted


def test_the_attack_ran_and_reached_nothing(batch, notebook):
    said = batch["shown"][notebook.name]
    assert "REACHED" not in said
    assert "PLANTED" not in said
    assert notebook.says in said


def test_honest_students_get_what_they_get_alone(batch):
    for student in HONEST_STUDENTS:
        alone, together = batch["alone"][student.name], batch["together"][student.name]
        same = {n: together[n][0] for n in together} == {n: alone[n][0] for n in alone}
        assert same, "\n".join(batch["printed alone"])


def test_what_an_instructor_entered_about_others_is_untouched(batch):
    assert batch["together"]["a_good_one"]["why_the_zeros_are_gone"][1] == 1.5
    assert batch["comment"] == "Good."


def test_nobody_was_connected_to(batch):
    assert batch["heard"] == []


def test_no_process_is_left(batch):
    assert batch["processes"] == []


def test_no_file_is_left_and_none_is_changed(batch):
    assert batch["left"] == []
    assert batch["changed"] == []


def test_no_secret_case_is_told(batch):
    told = json.dumps([batch["shown"], batch["pages"], batch["grading"]["printed"]])
    assert batch["secrets"]
    assert [secret for secret in batch["secrets"] if secret in told] == []


def test_what_is_printed_moves_no_cursor(batch):
    for line in batch["grading"]["printed"]:
        assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]


class Live(HTMLParser):
    """What of a page could run, load or send something."""

    TAGS = ("script", "style", "iframe", "object", "embed", "form", "input", "svg", "link", "meta",
            "base", "template", "math")  # fmt: skip

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.tags, self.attributes, self.inside, self._within = [], [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._within = tag
        self.tags += [tag] if tag in self.TAGS else []
        self.attributes += [(name, value) for name, value in attributes if self._acts(name, value)]

    def handle_endtag(self, tag):
        self._within = ""

    def handle_data(self, data):
        if self._within in ("script", "style"):
            self.inside.append(data)

    @staticmethod
    def _acts(name: str, value: str | None) -> bool:
        leads = name.split(":")[-1] in ("href", "src", "action", "data", "srcset", "poster")
        return name.startswith("on") or (leads and not (value or "").startswith("#"))


def test_their_feedback_pages_run_load_and_send_nothing(batch, notebook):
    ordinary, page = Live(batch["pages"]["a_good_one"]), Live(batch["pages"][notebook.name])
    assert page.tags == ordinary.tags
    assert page.inside == ordinary.inside
    assert {a for a in page.attributes if not str(a[1]).startswith("data:image/png")} <= set(
        ordinary.attributes
    )


# Some attacks are also tried where nothing is isolated, in a folder made for it: what they reach
# there is what they would reach if a wall fell. Only those that read, or touch that folder alone.

HARMLESS = [
    "reads_a_neighbour",
    "reads_the_solutions",
    "reads_the_seed",
    "reads_the_environment",
    "writes_the_gradebook",
    "writes_the_stored_results",
    "connects_to_loopback",
]


@pytest.fixture
def open_class(tmp_path, monkeypatch):
    folder = tmp_path / "class"
    for place in ("submitted/somebody/03", ".grading/results", ".grading/notes"):
        (folder / place).mkdir(parents=True)
    (folder / ".grading" / "seed").write_text("0123456789abcdef" * 2, encoding="utf-8")
    (folder / ".grading" / "results" / "one.json").write_text("{}", encoding="utf-8")
    with sqlite3.connect(folder / "gradebook.db") as book:
        book.execute("CREATE TABLE grade (auto_score, manual_score)")
        book.execute("INSERT INTO grade VALUES (1, 1)")
    monkeypatch.setenv("HOSTILE_SECRET", "f" * 32)
    listeners = class_folder.Listeners(tmp_path)
    yield folder, listeners
    listeners.close()


@pytest.mark.parametrize("name", HARMLESS)
def test_without_walls_the_attack_would_have_succeeded(open_class, tmp_path, name):
    folder, listeners = open_class
    notebook = next(one for one in HOSTILE if one.name == name)
    words = class_folder.words_for(folder, "stray-test", listeners) | {"@OUTSIDE@": ""}
    source = class_folder._put_in(words, notebook.cells["first"])
    done = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert "REACHED" in done.stdout, done.stderr
    assert bool(listeners.heard()) == name.startswith("connects")


def test_where_nothing_is_isolated_no_attack_is_tried(open_class, tmp_path):
    folder, listeners = open_class
    words = class_folder.words_for(folder, "stray-test", listeners)
    source = class_folder._put_in(words, hostile.REACH)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "nothing is isolated here: not tried\n")
    for notebook in HOSTILE:
        text = "\n".join(notebook.cells.values())
        assert hostile.REACH in text or not re.search(r"\b(os|libc|socket|subprocess)\.", text)


def test_a_connection_to_any_of_the_listeners_is_heard(open_class):
    _, listeners = open_class
    for path in (f"\0{listeners.abstract}", *listeners.paths):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(path)
        assert len(listeners.heard()) == 1
