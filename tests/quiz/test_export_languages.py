"""The course's questions for other programs in each language: the same questions, the same keys,
other words."""

# ruff: noqa: RUF001 (the letters that look Latin are Cyrillic, and meant to be)

import json
import re
import sqlite3
import zipfile
from contextlib import closing
from xml.etree import ElementTree as ET

import nbformat
import pytest
from test_glossary import OTHERS

from course_utils import cli
from course_utils.quiz import bank, export, translation
from course_utils.quiz.export import anki, parts
from course_utils.quiz.export.anki import FIELDS
from course_utils.quiz.translation import translated

LETTERS = {"bg": "[а-я]", "vi": "[ăđơưạảấầẩậắặẹẻẽếềểệịọốồổộớờợụủứừửựỳ]", "ko": "[가-힣]"}
LESSON = {"bg": "Урок 03", "vi": "Bài 03", "ko": "레슨 03"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The file of the course's own questions in a format and language, written once."""
    folder, files = tmp_path_factory.mktemp("exports"), {}

    def write(format: str, language: str):
        if (format, language) not in files:
            path = folder / f"{language}{export.SUFFIXES[format]}"
            export.write(format, path, spoken=language)
            files[format, language] = path
        return files[format, language]

    return write


def prose(html: str) -> str:
    return re.sub(r"<(pre|code)>.*?</\1>|<.*?>", " ", html, flags=re.DOTALL)


def speaks(html: str, language: str) -> bool:
    return bool(re.search(LETTERS[language], prose(html).casefold()))


# --- Anki -----------------------------------------------------------------------------------------


def notes(path) -> dict[str, dict[str, str]]:
    with zipfile.ZipFile(path) as package:
        content = package.read("collection.anki2")
    with closing(sqlite3.connect(":memory:")) as database:
        database.deserialize(content)
        rows = database.execute("SELECT guid, flds, tags, mod FROM notes").fetchall()
        decks = json.loads(database.execute("SELECT decks FROM col").fetchone()[0])
    names = sorted(deck["name"] for deck in decks.values())
    return {
        guid: dict(zip(FIELDS, fields.split("\x1f"), strict=True))
        | {"same": (tags, names), "changed": changed}
        for guid, fields, tags, changed in rows
    }


def letters(answer: str) -> list[str]:
    return re.findall(r"<p><strong>([A-Z])</strong>", answer)


@pytest.mark.parametrize("language", OTHERS)
def test_anki_gets_the_same_notes_with_the_same_right_letters_in_other_words(written, language):
    english, theirs = notes(written("anki", "en")), notes(written("anki", language))
    assert theirs.keys() == english.keys()  # by these Anki knows them, and keeps their history
    assert len(theirs) == sum("review" in item.use for item in bank.load().values())
    for guid, note in theirs.items():
        assert speaks(note["Question"], language)
        assert note["Question"] != english[guid]["Question"]
        assert letters(note["Answer"]) == letters(english[guid]["Answer"])
        assert note["same"] == english[guid]["same"]
        assert 1 <= note["changed"] - english[guid]["changed"] <= anki.LATER
    assert any(note["Place"].startswith(LESSON[language]) for note in theirs.values())
    choices = [note for note in theirs.values() if note["Options"]]
    assert choices and all(letters(note["Answer"]) for note in choices)


@pytest.mark.parametrize("language", OTHERS)
def test_the_answer_on_a_card_is_that_of_the_translated_question(written, language):
    theirs = notes(written("anki", language))
    for item in bank.load().values():
        if item.type not in ("mcq", "plot", "recall") or "review" not in item.use:
            continue
        note = theirs[anki.genanki.guid_for("pruning-course", item.id)]
        right = parts.html(translated(item, language).answer)
        assert prose(right).strip() in prose(note["Answer"])


# --- Moodle ---------------------------------------------------------------------------------------


def questions(path) -> dict[str, ET.Element]:
    root = ET.parse(path).getroot()
    return {
        q.findtext("idnumber"): q for q in root.iter("question") if q.find("idnumber") is not None
    }


def answers(question: ET.Element) -> list[tuple[str, str]]:
    """(points, text) of the answers that a learner can give."""
    return [(a.get("fraction"), a.findtext("text")) for a in question.findall("answer")]


@pytest.mark.parametrize("language", OTHERS)
def test_moodle_gets_the_same_questions_with_the_same_points_in_other_words(written, language):
    english, theirs = questions(written("moodle", "en")), questions(written("moodle", language))
    assert list(theirs) == list(english) and len(theirs) > 200
    for id_, question in theirs.items():
        asked, before = (q.findtext("questiontext/text") for q in (question, english[id_]))
        assert speaks(asked, language) and asked != before
        points = [[share for share, _ in answers(q)] for q in (question, english[id_])]
        assert points[0] == points[1]
        item = bank.load()[id_]
        if item.type in ("mcq", "plot"):
            (right,) = [text for share, text in answers(question) if share == "100"]
            assert right == parts.html(translated(item, language).answer)
        if item.type == "cloze":
            for words in translated(item, language).answer:
                assert f"={words[0]}" in asked
    names = ET.parse(written("moodle", language)).findall("question/category/text")
    assert any(name.text.endswith(LESSON[language]) for name in names)


# --- QTI ------------------------------------------------------------------------------------------


def quizzes(path) -> dict[str, ET.Element]:
    with zipfile.ZipFile(path) as package:
        names = [name for name in package.namelist() if re.fullmatch(r"(\w+)/\1\.xml", name)]
        roots = [ET.fromstring(package.read(name)) for name in names]
    return {item.get("ident"): item for root in roots for item in root.findall(".//{*}item")}


def right_choice(question: ET.Element) -> list[str | None]:
    """The identifiers that earn points; what is typed is words."""
    earning = [
        c for c in question.findall(".//{*}respcondition") if c.find("{*}setvar") is not None
    ]
    equal = [each.text for c in earning for each in c.findall(".//{*}varequal")]
    return [text for text in equal if re.fullmatch(r"[a-z0-9]{6}_\w+", text or "")]


@pytest.mark.parametrize("language", OTHERS)
def test_qti_gets_the_same_questions_with_the_same_right_choices_in_other_words(written, language):
    english, theirs = quizzes(written("qti", "en")), quizzes(written("qti", language))
    assert list(theirs) == list(english) and len(theirs) > 200
    for ident, question in theirs.items():
        asked, before = (
            q.findtext("{*}presentation/{*}material/{*}mattext") for q in (question, english[ident])
        )
        assert speaks(asked, language) and asked != before
        assert right_choice(question) == right_choice(english[ident])
        item = bank.load()[ident.removeprefix("question_")]
        if item.type in ("mcq", "plot"):
            (right,) = set(right_choice(question))
            (label,) = [
                label
                for label in question.findall(".//{*}response_label")
                if label.get("ident") == right
            ]
            shown = prose(label.findtext("{*}material/{*}mattext")).strip()
            answer = translated(item, language).answer
            assert "$" in answer or shown == prose(parts.html(answer)).strip()


# --- nbgrader -------------------------------------------------------------------------------------

GRADED = {
    ("grades.prompt", "Which is a secret?"): "Кое е тайна?",
    ("grades.answer", "The key of the exam"): "Ключът за изпита",
    ("cloze1.prompt", "The share of zeros is the ____."): "Делът на нулите е ____.",
    ("cloze1.answer.0", "sparsity"): "разреденост | редкост",
}


def test_a_graded_quiz_is_asked_in_other_words_and_handed_in_alike(
    small_bank, tmp_path, monkeypatch
):
    path = small_bank / "01_second.yaml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("use: [exit, review]", "use: [graded]"), encoding="utf-8")
    said = translation.catalogue("bg") | GRADED
    monkeypatch.setattr(translation, "catalogue", lambda into: said)
    file = tmp_path / "quiz.ipynb"
    export.write("nbgrader", file, small_bank, "en")
    english = nbformat.read(file, 4)
    lines = export.write("nbgrader", file, small_bank, "bg")
    theirs = nbformat.read(file, 4)
    asked = "\n".join(cell.source for cell in theirs.cells)
    assert "**Въпрос 3** · Точки: 1" in asked and "Кое е тайна?" in asked
    assert "Ключът за изпита" in asked and "1: ...,  # списък с текстове" in asked
    assert theirs.cells[-1] == english.cells[-1]  # the same ids and forms of the answers
    assert lines[1:] == [
        "The class's bank must admit these words in the blanks of cloze1: "
        "разреденост / редкост / sparsity / sparsity level."
    ]


# --- The choice of a language ---------------------------------------------------------------------


def test_the_learners_language_is_used_unless_another_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(translation, "automated", lambda: False)
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path / "home"))
    translation.choose("ko")
    file = tmp_path / "q.xml"
    assert cli.main(["export", "moodle", str(file)]) == 0
    assert "레슨 03" in file.read_text(encoding="utf-8")
    assert cli.main(["export", "moodle", str(file), "--language", "bg"]) == 0
    assert "Урок 03" in file.read_text(encoding="utf-8")
    assert translation.language() == "ko"
    capsys.readouterr()
    before = file.read_bytes()
    assert cli.main(["export", "moodle", str(file), "--language", "de"]) == 1
    assert "there is no language 'de'; there are en (English)" in capsys.readouterr().err
    assert file.read_bytes() == before
