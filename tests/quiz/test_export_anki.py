"""The package for Anki, opened as what it is: a zip with a database in it. `soak_anki.py` has Anki
itself import it."""

import hashlib
import json
import os
import sqlite3
import warnings
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from course_utils.quiz import bank, export
from course_utils.quiz.export import anki
from course_utils.quiz.export.anki import CARDS_CHANGED, FIELDS


@pytest.fixture
def opened(small_bank, tmp_path):
    """Exports the bank, with a register, and gives (notes by question, database, zip)."""
    register = {
        id_: {"rev": 1, "changed": "2027-01-02T03:04:05+00:00", "content": "a", "key": "b"}
        for id_ in bank.load(small_bank)
    }
    register["multi1"]["changed"] = "2027-01-02T03:04:06+00:00"
    register["recall"]["changed"] = "2020-01-01T00:00:00+00:00"
    (small_bank / "register.yaml").write_text(yaml.safe_dump(register), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # genanki warns of HTML that it does not understand
        export.write("anki", tmp_path / "q.apkg", small_bank)
    return open_package(tmp_path / "q.apkg", small_bank)


def open_package(file, folder):
    package = zipfile.ZipFile(file)
    (file.parent / "collection.anki2").write_bytes(package.read("collection.anki2"))
    database = sqlite3.connect(file.parent / "collection.anki2")
    database.row_factory = sqlite3.Row
    guids = {anki.genanki.guid_for("pruning-course", id_): id_ for id_ in bank.load(folder)}
    notes = {guids[row["guid"]]: row for row in database.execute("SELECT * FROM notes")}
    return notes, database, package


def shown(note) -> dict[str, str]:
    return dict(zip(FIELDS, note["flds"].split("\x1f"), strict=True))


def test_every_question_for_review_is_one_note_with_one_card_in_its_lesson_s_deck(opened):
    notes, database, _ = opened
    assert list(notes) == [
        "mcqone",
        "multi1",
        "plot01",
        "recall",
        "cloze2",
        "cloze1",
        "number",
        "prints",
    ]
    (decks,) = database.execute("SELECT decks FROM col").fetchone()
    names = {int(key): deck["name"] for key, deck in json.loads(decks).items()}
    cards = database.execute("SELECT nid, did, ord, due FROM cards ORDER BY due").fetchall()
    assert [card["nid"] for card in cards] == [note["id"] for note in notes.values()]
    assert {card["ord"] for card in cards} == {0}
    assert [names[card["did"]] for card in cards] == (
        ["Pruning course::Lesson 00"] * 4 + ["Pruning course::Lesson 01"] * 4
    )


def test_a_guid_depends_on_the_id_alone():
    """It is what Anki recognises a note by: once given, never to change."""
    assert anki.genanki.guid_for("pruning-course", "mcqone") == "f-]GYb,w4-"


def test_the_modification_time_is_that_of_the_last_change(opened):
    notes, database, _ = opened
    time = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert notes["mcqone"]["mod"] == time.timestamp()
    assert notes["multi1"]["mod"] == (time + timedelta(seconds=1)).timestamp()
    assert notes["recall"]["mod"] == CARDS_CHANGED.timestamp(), "the cards' look is newer"
    cards = dict(database.execute("SELECT nid, mod FROM cards").fetchall())
    assert cards == {note["id"]: note["mod"] for note in notes.values()}


def test_all_types_share_one_note_type_whose_time_is_that_of_the_cards_look(opened):
    notes, database, _ = opened
    (models,) = database.execute("SELECT models FROM col").fetchone()
    ((key, model),) = json.loads(models).items()
    assert {note["mid"] for note in notes.values()} == {int(key)} == {anki.NOTE_TYPE}
    assert [field["name"] for field in model["flds"]] == FIELDS
    assert model["mod"] == CARDS_CHANGED.timestamp()
    assert ".nightMode" in model["css"]


EXAMPLES = [
    {"type": "recall", "answer": "It *saves* `room` and $x$."},
    {"type": "mcq", "answer": "yes", "distractors": [{"text": "no", "why": "Why not?"}]},
    {"type": "multi", "answer": ["a", "b"], "distractors": [{"text": "c", "why": "No c."}]},
    {"type": "plot", "answer": "a", "alt": "A plot", "draw": "-", "explanation": "So."},
    {"type": "cloze", "answer": [["a", "b"]], "distractors": [{"text": "c", "why": "No."}]},
    {"type": "numeric", "answer": 3, "tolerance": 1, "unit": "s", "place": "Step 1"},
    {"type": "predict", "answer": "1\n2", "distractors": [{"text": "3", "why": "No."}]},
]


def test_whoever_changes_the_cards_raises_their_time():
    """Otherwise nobody who has imported them before will get the new ones. If this fails: set
    CARDS_CHANGED to now and then write the new fingerprint here."""
    made = [anki.CSS, anki.FRONT, anki.BACK, *FIELDS]
    for number, example in enumerate(EXAMPLES):
        entry = {"id": f"item{number}", "rev": 1, "prompt": "What is ____?\n\n```\n1\n```"}
        made.append(anki.fields(bank.make(entry | example, "00", Path())))
    fingerprint = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:12]
    assert (CARDS_CHANGED.isoformat(), fingerprint) == ("2026-11-21T00:00:00+00:00", "1469e5127b66")


def test_tags_name_lesson_concepts_and_misconceptions(opened):
    notes, _, _ = opened
    assert notes["mcqone"]["tags"].split() == [
        "pruning-course::lesson::00",
        "pruning-course::concept::magnitude",
        "pruning-course::concept::sparsity",
        "pruning-course::misconception::smallest-is-most-negative",
    ]


def test_the_front_asks_and_the_back_explains(opened):
    notes, _, _ = opened
    mcq = shown(notes["mcqone"])
    assert r"\(|w| &lt; \frac{1}{2}\)" in mcq["Question"]
    assert "<code>[-0.9, 0.02 &amp; &quot;more&quot;]</code>" in mcq["Question"]
    assert "<pre><code>keep = weights &gt; 0.5  # &lt;b&gt;, {n}, a~b ]]&gt;\n" in mcq["Question"]
    assert "naïve readers say <strong>so</strong>" in mcq["Question"]
    assert mcq["Explanation"].startswith(r"<p>Magnitude is \(|w|\)")
    assert "Größe" in mcq["Explanation"]
    assert mcq["Place"] == "Lesson 00 · Step 2"


def test_letters_on_the_back_are_those_of_the_options_on_the_front(opened, small_bank):
    notes, _, _ = opened
    item = bank.load(small_bank)["multi1"]
    order = [item.options[index] for index in item.shown("anki")]
    letters = {text: "ABCDE"[position] for position, text in enumerate(order)}
    fields = shown(notes["multi1"])
    assert fields["Options"] == (
        '<ol type="A">' + "".join(f"<li>{anki.html(text)}</li>" for text in order) + "</ol>"
    )
    right = sorted((letters[text], text) for text in item.answer)
    assert fields["Answer"] == "".join(
        anki.html(text).replace("<p>", f"<p><strong>{letter}</strong> ") for letter, text in right
    )
    assert (
        f"<p><strong>{letters['Its time']}</strong> Its time</p><p>Zeros are"
        in (fields["Wrong answers"])
    )


@pytest.mark.parametrize(
    "id_, answer, wrong",
    [
        ("recall", "<p>To need less room, <code>less</code> time &amp; less power.</p>", ""),
        (
            "cloze2",
            "<ol><li>weight / weights</li><li>ReLU {x} a~b #1 * / relu layer</li></ol>",
            "<p>Not <strong>bias</strong>:</p>",
        ),
        ("number", "<p>12.5 ± 0.25 %</p>", "<p>Not <strong>87.5</strong>:</p>"),
        ("prints", "<pre><code>[1,  2] ***</code></pre>", "<pre><code>[1, 2] 3*</code></pre>"),
    ],
)
def test_a_question_without_options_shows_answer_and_typical_mistakes(opened, id_, answer, wrong):
    notes, _, _ = opened
    fields = shown(notes[id_])
    assert fields["Options"] == ""
    assert fields["Answer"] == answer
    assert wrong in fields["Wrong answers"]


def test_an_option_that_is_a_block_of_code_keeps_its_letter():
    assert anki._named("B", "<pre><code>x</code></pre>") == (
        "<p><strong>B</strong> </p><pre><code>x</code></pre>"
    )


def test_the_picture_goes_along(opened, small_bank):
    notes, _, package = opened
    assert json.loads(package.read("media")) == {"0": "pruning-course-plot01.png"}
    assert package.read("0") == (small_bank / "pictures" / "plot01.png").read_bytes()
    assert (
        '<img src="pruning-course-plot01.png" alt="A hump, highest around &quot;0&quot; &amp; '
        'falling off &lt;both ways&gt;.">'
    ) in shown(notes["plot01"])["Question"]


def test_a_class_bank_that_is_saved_again_has_newer_notes(small_bank, tmp_path):
    for moment in (1_900_000_000, 1_900_000_001):
        os.utime(small_bank / "00_first.yaml", (moment, moment))
        os.utime(small_bank / "01_second.yaml", (1_900_000_000, 1_900_000_000))
        export.write("anki", tmp_path / f"{moment}.apkg", small_bank)
        notes, _, _ = open_package(tmp_path / f"{moment}.apkg", small_bank)
        assert (notes["mcqone"]["mod"], notes["number"]["mod"]) == (moment, 1_900_000_000)
