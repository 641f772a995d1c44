"""The package for Anki, imported by Anki itself: twice, with an edit, with reviews in between.

Needs the package index for Anki's own package, which goes into an environment of its own. Run by
`make soak`, not by `make test`.
"""

# ruff: noqa: RUF001 (the letters that look Latin are Cyrillic, and meant to be)

import json
import shutil
import subprocess
import sys
import venv
from datetime import UTC, datetime, timedelta
from pathlib import Path

import genanki
import pytest
import yaml

from course_utils.quiz import bank, export, translation
from course_utils.quiz.export import anki

IN_ANKI = Path(__file__).with_name("in_anki.py")
FIRST = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)  # Anki's database check moves a later time to now


@pytest.fixture(scope="session")
def python_with_anki(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("anki") / "venv"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "anki"], check=True)
    return python


class Learner:
    """Somebody's collection in Anki, and the bank from which they get their questions."""

    def __init__(self, python: Path, folder: Path, questions: Path):
        self.python, self.folder, self.questions = python, folder, questions
        self.versions = 0
        self.changed = dict.fromkeys(bank.load(questions), FIRST)

    def anki(self, do: str, **asked):
        asked |= {"do": do, "collection": str(self.folder / "collection.anki2")}
        done = subprocess.run(
            [self.python, IN_ANKI], input=json.dumps(asked), capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def edit(self, id_: str, old: str, new: str, seconds: int | None) -> None:
        """Change a question's text; the register has it `seconds` after the first version."""
        (path,) = (
            p for p in self.questions.glob("0*.yaml") if f"id: {id_}\n" in p.read_text("utf-8")
        )
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")
        if seconds is not None:
            self.changed[id_] = FIRST + timedelta(seconds=seconds)

    def fetch(self, spoken: str = "en", always: bool = False) -> dict[str, int]:
        """Export the bank as it is now and import the package; how many notes fared how."""
        self.versions += 1
        version = self.folder / f"version{self.versions}"  # a folder of its own: banks are cached
        shutil.copytree(self.questions, version)
        register = {id_: {"changed": when.isoformat()} for id_, when in self.changed.items()}
        (version / "register.yaml").write_text(yaml.safe_dump(register), encoding="utf-8")
        export.write("anki", self.folder / "questions.apkg", version, spoken)
        return self.anki("import", file=str(self.folder / "questions.apkg"), always=always)

    def look(self) -> dict:
        seen = self.anki("look")
        guids = {genanki.guid_for("pruning-course", id_): id_ for id_ in self.changed}
        seen["notes"] = {guids[guid]: note for guid, note in seen["notes"].items()}
        assert seen["sound"], seen["problems"]
        assert seen["missing media"] == []
        return seen


@pytest.fixture
def learner(python_with_anki, tmp_path, small_bank, monkeypatch) -> Learner:
    """With all questions imported, and the first three reviewed."""
    monkeypatch.setattr(anki, "CARDS_CHANGED", FIRST)
    learner = Learner(python_with_anki, tmp_path, small_bank)
    assert learner.fetch() == {"new": 8}
    learner.anki("review", count=3)
    return learner


def schedules(seen: dict) -> dict:
    return {id_: (note["schedule"], note["history"]) for id_, note in seen["notes"].items()}


def reviewed(seen: dict) -> list[str]:
    return [id_ for id_, note in seen["notes"].items() if note["history"]]


def test_what_arrives_is_what_was_exported(learner):
    seen = learner.look()
    assert seen["cards"] == len(seen["notes"]) == 8
    assert seen["decks"] == ["Pruning course::Lesson 00", "Pruning course::Lesson 01"]
    assert seen["note types"] == ["Pruning course"]
    items = bank.load(learner.questions)
    for id_, note in seen["notes"].items():
        assert list(note["fields"].values()) == anki.fields(items[id_])
        assert set(note["tags"]) == set(anki._tags(items[id_]))
        assert note["fields"]["Question"] in note["question"]
        assert note["fields"]["Answer"] not in note["question"]
        assert note["fields"]["Answer"] in note["answer"]
        assert note["fields"]["Explanation"] in note["answer"]
        assert note["fields"]["Wrong answers"] in note["answer"]
    picture = (learner.questions / "pictures" / "plot01.png").read_bytes()
    assert seen["notes"]["plot01"]["pictures"] == [picture.hex()]


def test_new_cards_come_in_the_order_of_the_bank(learner):
    assert reviewed(learner.look()) == ["mcqone", "multi1", "plot01"]


def test_importing_again_changes_nothing(learner):
    before = learner.look()
    assert learner.fetch() == {"duplicate": 8}
    assert learner.look() == before


def test_an_edit_arrives_and_the_review_history_stays(learner):
    before = learner.look()
    learner.edit("mcqone", "Größe zählt", "Only the size counts", seconds=1)
    assert learner.fetch() == {"updated": 1, "duplicate": 7}
    after = learner.look()
    assert "Only the size counts" in after["notes"]["mcqone"]["fields"]["Explanation"]
    assert "mcqone" in reviewed(after)
    assert schedules(after) == schedules(before)


def test_another_language_comes_into_the_same_cards_and_the_history_stays(learner, monkeypatch):
    english = "What has changed? Choose **all** that apply."
    said = translation.catalogue("bg") | {("multi1.prompt", english): "Какво се е променило?"}
    monkeypatch.setattr(translation, "catalogue", lambda into: said)
    before = learner.look()
    assert learner.fetch("bg") == {"updated": 8}
    after = learner.look()
    assert after["notes"]["multi1"]["fields"]["Question"] == "<p>Какво се е променило?</p>"
    assert after["notes"]["multi1"]["fields"]["Place"] == "Урок 00 · Step 3"
    assert schedules(after) == schedules(before)
    assert (after["cards"], after["decks"]) == (before["cards"], before["decks"])
    assert learner.fetch("bg") == {"duplicate": 8}
    assert learner.fetch("en") == {"duplicate": 8}  # older
    assert learner.fetch("en", always=True) == {"updated": 8}
    assert learner.look() == before


def test_another_translation_comes_if_notes_are_updated_always(learner, monkeypatch):
    catalogue, key = translation.catalogue("bg"), ("recall.prompt", "What is pruning for?")
    for number, words in enumerate(("За какво е прореждането?", "За какво служи прореждането?")):
        said = catalogue | {key: words}
        monkeypatch.setattr(translation, "catalogue", lambda into, said=said: said)
        assert learner.fetch("bg", always=True)["updated"] == (1 if number else 8)
        assert learner.look()["notes"]["recall"]["fields"]["Question"] == f"<p>{words}</p>"


def test_a_second_edit_a_second_later_arrives_too(learner):
    learner.edit("recall", "What is pruning for?", "Why do we prune?", seconds=1)
    assert learner.fetch() == {"updated": 1, "duplicate": 7}
    learner.edit("recall", "Why do we prune?", "Why prune?", seconds=2)
    assert learner.fetch() == {"updated": 1, "duplicate": 7}
    assert learner.look()["notes"]["recall"]["fields"]["Question"] == "<p>Why prune?</p>"


def test_an_edit_without_a_later_time_is_ignored_without_a_word(learner):
    """Why the register's time has to grow: this is what Anki does if it does not."""
    learner.edit("recall", "What is pruning for?", "Why do we prune?", seconds=None)
    assert learner.fetch() == {"duplicate": 8}
    assert learner.look()["notes"]["recall"]["fields"]["Question"] == "<p>What is pruning for?</p>"


def test_a_note_that_the_learner_has_edited_later_stays_theirs(learner):
    guid = genanki.guid_for("pruning-course", "recall")
    learner.anki("edit", guid=guid, field="Answer", text="My own words")
    learner.edit("recall", "What is pruning for?", "Why do we prune?", seconds=1)
    assert learner.fetch() == {"duplicate": 8}
    assert learner.look()["notes"]["recall"]["fields"]["Answer"] == "My own words"


def test_a_question_that_becomes_another_type_keeps_its_history(learner):
    before = learner.look()
    learner.edit("multi1", "type: multi\n", "type: recall\n", seconds=1)
    learner.edit(
        "multi1",
        'answer: [Its sparsity, "Its $L_0$ norm", A little accuracy]',
        "answer: Its sparsity",
        seconds=1,
    )
    learner.edit(
        "multi1",
        """
    distractors:
      - {text: Its time, why: Zeros are multiplied too.}
      - {text: Its size, why: Zeros are stored too.}""",
        "",
        seconds=1,
    )
    assert learner.fetch() == {"updated": 1, "duplicate": 7}
    after = learner.look()
    assert after["notes"]["multi1"]["fields"]["Options"] == ""
    assert "multi1" in reviewed(after)
    assert schedules(after) == schedules(before)


def test_a_new_picture_arrives(learner):
    picture = learner.questions / "pictures" / "plot01.png"
    picture.write_bytes(picture.read_bytes() + b"another picture")
    learner.edit("plot01", "draw: figure = None", "draw: figure = ...", seconds=1)
    assert learner.fetch() == {"updated": 1, "duplicate": 7}
    assert learner.look()["notes"]["plot01"]["pictures"] == [picture.read_bytes().hex()]


def test_a_new_question_arrives_and_a_deleted_one_stays(learner):
    before = learner.look()
    path = learner.questions / "01_second.yaml"
    head, first, *others = path.read_text(encoding="utf-8").split("  - id: ")
    path.write_text("  - id: ".join([head, "added1" + first[6:], *others]), encoding="utf-8")
    learner.changed["added1"] = FIRST
    assert learner.fetch() == {"new": 1, "duplicate": 7}
    after = learner.look()
    assert after["cards"] == 9
    kept = {id_: schedule for id_, schedule in schedules(after).items() if id_ != "added1"}
    assert kept == schedules(before)


def test_another_look_of_the_cards_arrives_and_the_review_history_stays(learner, monkeypatch):
    before = learner.look()
    monkeypatch.setattr(anki, "CSS", anki.CSS + "/* new */")
    monkeypatch.setattr(anki, "CARDS_CHANGED", FIRST + timedelta(seconds=1))
    anki._note_type.cache_clear()
    try:
        assert learner.fetch() == {"updated": 8}
    finally:
        anki._note_type.cache_clear()
    after = learner.look()
    assert after["css"].endswith("/* new */")
    assert schedules(after) == schedules(before)


def test_the_course_s_own_questions_arrive_whole(python_with_anki, tmp_path):
    """And the register that is shipped gives every one of them a time."""
    export.write("anki", tmp_path / "course.apkg")
    learner = Learner(python_with_anki, tmp_path, bank.BANK)
    count = sum("review" in item.use for item in bank.load().values())
    asked = str(tmp_path / "course.apkg")
    assert learner.anki("import", file=asked) == {"new": count}
    assert learner.anki("import", file=asked) == {"duplicate": count}
    assert learner.look()["cards"] == count
