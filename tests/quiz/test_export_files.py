"""What all formats have in common: which questions, what is said, what bad input does, the file."""

import os
import zipfile

import pytest

from course_utils import cli
from course_utils.quiz import bank, export
from course_utils.quiz.export import anki, moodle, qti

PUBLIC = [("anki", "q.apkg"), ("moodle", "q.xml"), ("qti", "q.zip")]
EVERY = [*PUBLIC, ("nbgrader", "q.ipynb")]


@pytest.mark.parametrize("format, name", EVERY)
def test_the_same_bank_gives_the_same_bytes(small_bank, tmp_path, format, name):
    for path in small_bank.glob("*.yaml"):
        os.utime(path, (1_800_000_000, 1_800_000_000))
    export.write(format, tmp_path / name, small_bank)
    first = (tmp_path / name).read_bytes()
    export.write(format, tmp_path / name, small_bank)
    assert (tmp_path / name).read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", name]


@pytest.mark.parametrize("format, name", PUBLIC)
def test_a_question_that_is_only_graded_leaves_no_trace(small_bank, tmp_path, format, name):
    lines = export.write(format, tmp_path / name, small_bank)
    content = (tmp_path / name).read_bytes()
    if zipfile.is_zipfile(tmp_path / name):
        with zipfile.ZipFile(tmp_path / name) as package:
            content = b"".join(map(package.read, package.namelist()))
    assert b"What is pruning for?" in content
    assert b"Which is a secret?" not in content
    assert b"The key of the exam" not in content
    assert "Left out, with their keys: 1 question only for graded quizzes." in lines


def test_anki_gets_what_is_reviewed_and_the_others_what_is_asked_anywhere(small_bank, tmp_path):
    says = {format: export.write(format, tmp_path / name, small_bank) for format, name in PUBLIC}
    assert says["anki"][0] == f"8 questions in {tmp_path / 'q.apkg'}."
    assert "Left out: 1 question not meant for review." in says["anki"]
    assert says["moodle"][0] == f"9 questions in {tmp_path / 'q.xml'}."
    assert says["qti"][0] == f"9 questions in {tmp_path / 'q.zip'}."


def test_what_is_lost_is_said_with_the_number_of_questions_that_it_concerns(small_bank, tmp_path):
    lines = export.write("moodle", tmp_path / "q.xml", small_bank)
    lost = lines[lines.index("What the format cannot carry:") + 1 :]
    assert "  the code that recomputes the answer (3 questions)" in lost
    assert "  that a pretest is never scored: it counts like the rest (1 question)" in lost
    assert not any("translations" in line for line in lost)


# Of which types of questions a format says that something is lost; and what must not be said when
# there is none of them.
@pytest.mark.parametrize("module, name", [(anki, "q.apkg"), (moodle, "q.xml"), (qti, "q.zip")])
@pytest.mark.parametrize("type_", ["recall", "mcq", "multi", "plot", "cloze", "numeric", "predict"])
def test_nothing_is_said_about_questions_that_are_not_there(small_bank, module, name, type_):
    items = [item for item in bank.load(small_bank).values() if item.type != type_]
    others = [says for concerns, says in module.LOSSES if any(map(concerns, items))]
    only_this_type = {
        "recall": "your own judgement",
        "multi": "partial credit",
        "plot": "draws the picture",
        "numeric": "fractions",
        "predict": "printed line",
        "cloze": "into a blank",
    }
    assert not any(only_this_type.get(type_, "nothing") in says for says in others)


def test_nbgrader_is_handed_all_questions(small_bank, tmp_path, monkeypatch):
    handed = []
    monkeypatch.setattr(
        "course_utils.quiz.export.nbgrader.assignment",
        lambda items, file: handed.append(([i.id for i in items], file)) or (b"made", ["said"]),
    )
    assert export.write("nbgrader", tmp_path / "q.ipynb", small_bank) == ["said"]
    assert (tmp_path / "q.ipynb").read_bytes() == b"made"
    assert handed == [(list(bank.load(small_bank)), tmp_path / "q.ipynb")]


def test_the_command_prints_the_lines(small_bank, tmp_path, capsys):
    asked = ["export", "qti", str(tmp_path / "q.zip"), "--bank", str(small_bank)]
    assert cli.main(asked) == 0
    assert capsys.readouterr().out.startswith(f"9 questions in {tmp_path / 'q.zip'}.\n")


def test_without_a_folder_the_course_s_own_bank_is_meant(small_bank, tmp_path, monkeypatch):
    monkeypatch.setattr(bank, "BANK", small_bank)
    assert export.write("moodle", tmp_path / "q.xml")[0].startswith("9 questions")


# --- Bad input ------------------------------------------------------------------------------------


def refused(*arguments) -> str:
    with pytest.raises((ValueError, OSError)) as refusal:
        export.write(*arguments)
    return str(refusal.value)


@pytest.mark.parametrize("format", export.SUFFIXES)
def test_another_suffix_is_refused(small_bank, tmp_path, format):
    says = refused(format, tmp_path / "q.txt", small_bank)
    assert says == f"a file for {format} must end in {export.SUFFIXES[format]}, unlike q.txt."
    assert not (tmp_path / "q.txt").exists()


@pytest.mark.parametrize("format", export.SUFFIXES)
def test_a_folder_that_is_not_there_is_named(small_bank, tmp_path, format):
    name = f"q{export.SUFFIXES[format]}"
    assert str(tmp_path / "no") in refused(format, tmp_path / "no" / name, small_bank)
    assert refused(format, tmp_path / name, tmp_path / "no").endswith("no with questions.")


def test_a_folder_in_place_of_the_file_is_named(small_bank, tmp_path):
    (tmp_path / "q.xml").mkdir()
    assert refused("moodle", tmp_path / "q.xml", small_bank) == f"{tmp_path / 'q.xml'} is a folder."


@pytest.mark.parametrize("content", [None, 'lesson: "00"\nitems: []\n'])
@pytest.mark.parametrize("format, name", PUBLIC)
def test_an_empty_bank_is_refused(tmp_path, format, name, content):
    (tmp_path / "bank").mkdir()
    if content:
        (tmp_path / "bank" / "00_empty.yaml").write_text(content, encoding="utf-8")
    says = refused(format, tmp_path / name, tmp_path / "bank")
    bank = tmp_path / "bank"
    assert says == f"there are no questions in {bank}: files there are called like 01_name.yaml."
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    "content", ["items: [", "items: 3", "[]", 'lesson: "00"\nitems: [{id: a}]']
)
def test_a_bank_that_cannot_be_read_is_told_with_file_and_line(tmp_path, content):
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "00_broken.yaml").write_text(content, encoding="utf-8")
    says = refused("moodle", tmp_path / "q.xml", tmp_path / "bank")
    assert says.startswith("these questions cannot be used yet:\nbank/00_broken.yaml:")


@pytest.mark.parametrize(
    ("slip", "sentence"),
    [
        (("answer: 12.5", "answer: a dozen"), "number: `answer` must be a number."),
        (("type: mcq", "type: single"), "`type` must be one of recall, mcq, multi"),
        (("- id: cloze2", "- id: cloze1"), "cloze1: bank/"),
        (("explanation:", "explains:"), "there is no field `explains`; did you mean"),
    ],
)
def test_a_slip_in_a_bank_of_ones_own_is_told_before_anybody_is_asked(
    small_bank, tmp_path, slip, sentence
):
    path = next(p for p in small_bank.glob("*.yaml") if slip[0] in p.read_text(encoding="utf-8"))
    path.write_text(path.read_text(encoding="utf-8").replace(*slip, 1), encoding="utf-8")
    assert sentence in refused("nbgrader", tmp_path / "q.ipynb", small_bank)
    assert not (tmp_path / "q.ipynb").exists()


def test_what_lies_beside_the_questions_of_a_bank_keeps_nobody_from_asking(small_bank, tmp_path):
    beside = small_bank / "register.yaml"
    beside.write_text('cloze1: {changed: "2026-01-01T10:00:00"}\nold: {}\n', encoding="utf-8")
    assert export.write("nbgrader", tmp_path / "q.ipynb", small_bank)


def only(folder, id_: str):
    """The bank, reduced to one question."""
    for path in folder.glob("*.yaml"):
        head, *entries = path.read_text(encoding="utf-8").split("  - id: ")
        kept = [entry for entry in entries if entry.startswith(id_)]
        path.write_text(
            "  - id: ".join([head if kept else head.replace("items:", "items: []"), *kept])
        )


@pytest.mark.parametrize("format, name", PUBLIC)
def test_a_bank_of_graded_questions_alone_is_refused(small_bank, tmp_path, format, name):
    only(small_bank, "grades")
    assert refused(format, tmp_path / name, small_bank).startswith("none of the questions is for ")
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("format, name", PUBLIC)
def test_a_missing_picture_is_named_and_the_file_from_before_stays(
    small_bank, tmp_path, format, name
):
    (tmp_path / name).write_bytes(b"from before")
    (small_bank / "pictures" / "plot01.png").unlink()
    assert refused(format, tmp_path / name, small_bank).startswith(
        "the picture of plot01 is missing"
    )
    assert (tmp_path / name).read_bytes() == b"from before"


@pytest.mark.parametrize("format, name", EVERY)
def test_an_interruption_leaves_the_file_from_before_and_nothing_else(
    small_bank, tmp_path, monkeypatch, format, name
):
    def full(*_):
        raise OSError("No space left on device")

    (tmp_path / name).write_bytes(b"from before")
    monkeypatch.setattr(os, "replace", full)
    assert refused(format, tmp_path / name, small_bank) == "No space left on device"
    assert (tmp_path / name).read_bytes() == b"from before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bank", name]


def test_a_new_file_can_be_read_by_others_as_any_other(small_bank, tmp_path):
    (tmp_path / "ordinary").touch()
    export.write("moodle", tmp_path / "q.xml", small_bank)
    assert (tmp_path / "q.xml").stat().st_mode == (tmp_path / "ordinary").stat().st_mode


@pytest.mark.parametrize("format, name", PUBLIC[1:])
def test_a_character_that_xml_cannot_hold_is_refused(small_bank, tmp_path, format, name):
    only(small_bank, "recall")
    path = small_bank / "00_first.yaml"
    text = path.read_text(encoding="utf-8").replace("What is pruning for?", '"Escape \\e[0m it"')
    path.write_text(text, encoding="utf-8")
    says = refused(format, tmp_path / name, small_bank)
    assert says.startswith("XML cannot hold the character '\\x1b' after ")
    assert "Escape '." in says
    assert not (tmp_path / name).exists()


def test_blanks_and_answers_must_be_as_many(small_bank, tmp_path):
    path = small_bank / "01_second.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("but a ____", "but a ReLU"))
    says = refused("moodle", tmp_path / "q.xml", small_bank)
    assert says == "cloze2: as many answers (2) as blanks (1) are needed."


# --- When a question has changed ------------------------------------------------------------------


def test_the_register_says_when_and_a_question_that_is_not_in_it_has_its_file_s_time(small_bank):
    (small_bank / "register.yaml").write_text(
        "mcqone: {rev: 1, changed: '2026-11-21T05:36:21+00:00', content: a, key: b}\n"
        "multi1: {rev: 1, changed: 2026-11-21T05:36:22Z, content: a, key: b}\n"
        "gone00: {rev: 1, changed: '2026-11-20T05:36:21+00:00', content: a, key: b}\n",
        encoding="utf-8",
    )
    os.utime(small_bank / "00_first.yaml", (1_800_000_000, 1_800_000_000))
    times = bank.changed(small_bank)
    assert times["mcqone"].isoformat() == "2026-11-21T05:36:21+00:00"
    assert times["multi1"].isoformat() == "2026-11-21T05:36:22+00:00"
    assert times["recall"].timestamp() == 1_800_000_000
    assert times.keys() == bank.load(small_bank).keys()


def test_without_a_register_the_file_s_own_time_counts(small_bank):
    os.utime(small_bank / "00_first.yaml", (1_800_000_000, 1_800_000_000))
    os.utime(small_bank / "01_second.yaml", (1_800_000_777, 1_800_000_777))
    times = bank.changed(small_bank)
    assert times["mcqone"].timestamp() == 1_800_000_000
    assert times["cloze1"].timestamp() == 1_800_000_777
