"""Texts in the learner's language: what is translated, what stays, and how the choice is kept."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from course_utils import cli
from course_utils.quiz import translation
from course_utils.quiz.bank import Distractor, Item
from course_utils.quiz.judge import judge
from course_utils.quiz.translation import say, texts, translated, with_texts

COMMON = {"rev": 1, "lesson": "03", "explanation": "Because."}
CHOICE = Item(
    "choic1",
    type="mcq",
    prompt="Which one?",
    answer="`nn.Linear`",
    distractors=(Distractor("0.5", "A number."), Distractor("Neither", "One is.")),
    **COMMON,
)
SEVERAL = Item(
    "multi1",
    type="multi",
    prompt="Which ones?",
    answer=("first", "second"),
    distractors=(Distractor("third", "No."),),
    **COMMON,
)
BLANKS = Item(
    "cloze1",
    type="cloze",
    prompt="A ____ network.",
    answer=(("sparse", "thin"),),
    distractors=(Distractor("dense", "No."),),
    **COMMON,
)
NUMBER = Item(
    "numer1",
    type="numeric",
    prompt="How many?",
    answer=3.0,
    unit="layers",
    distractors=(Distractor("4", "One less."),),
    **COMMON,
)
OUTPUT = Item(
    "print1",
    type="predict",
    prompt="What is printed?",
    answer="three",
    distractors=(Distractor("four", "One less."),),
    **COMMON,
)
PLOT = Item(
    "plot01",
    type="plot",
    prompt="What is seen?",
    answer="A rise",
    alt="A line.",
    distractors=(Distractor("A fall", "No."),),
    **COMMON,
)
OPEN = Item("recal1", 1, "recall", "03", "What is pruning?", "Cutting.")


@pytest.fixture
def catalogue(tmp_path, monkeypatch):
    """Writes a Bulgarian catalogue of (context, English, translation) and makes it the one used."""

    def write(*messages: tuple[str, str, str], fuzzy: bool = False) -> Path:
        made = Catalog(locale="bg")
        for context, english, text in messages:
            made.add(english, text, context=context, flags=["fuzzy"] if fuzzy else [])
        with (tmp_path / "bg.po").open("wb") as file:
            write_po(file, made)
        translation.catalogue.cache_clear()
        return tmp_path / "bg.po"

    monkeypatch.setattr(translation, "TRANSLATIONS", tmp_path)
    yield write
    translation.catalogue.cache_clear()


@pytest.fixture
def learner(tmp_path, monkeypatch) -> Path:
    """Somebody who reads along, with a folder of their own."""
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(translation, "automated", lambda: False)
    return tmp_path / "home"


# --- Questions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "item, fields",
    [
        (CHOICE, "prompt explanation distractor.0.why distractor.1.text distractor.1.why"),
        (
            SEVERAL,
            "prompt explanation answer.0 answer.1 distractor.0.text distractor.0.why",
        ),
        (BLANKS, "prompt explanation answer.0 distractor.0.text distractor.0.why"),
        (NUMBER, "prompt explanation unit distractor.0.why"),
        (OUTPUT, "prompt explanation distractor.0.why"),
        (PLOT, "prompt explanation alt answer distractor.0.text distractor.0.why"),
        (OPEN, "prompt answer"),
    ],
    ids=lambda value: value.type if isinstance(value, Item) else "",
)
def test_words_are_translated_but_numbers_code_and_outputs_are_not(item, fields):
    assert list(texts(item)) == fields.split()


def test_nothing_but_the_texts_of_a_question_changes():
    for item in (CHOICE, SEVERAL, BLANKS, NUMBER, OUTPUT, PLOT, OPEN):
        loud = with_texts(item, lambda field, text: text.upper())
        assert with_texts(item, lambda field, text: text) == item
        assert loud.prompt == item.prompt.upper()
        assert (loud.id, loud.rev, loud.type) == (item.id, item.rev, item.type)
        assert len(loud.options) == len(item.options) and loud.shown("a") == item.shown("a")


def test_a_blank_admits_the_words_of_both_languages(catalogue):
    catalogue(("cloze1.answer.0", "sparse", "разредена"))
    item = translated(BLANKS, "bg")
    assert item.answer == (("разредена", "sparse", "thin"),)
    assert all(judge(item, [word]).right for word in ("разредена", "Sparse", "thin"))
    assert "разредена" in " ".join(judge(item, ["dense"]).says)


def test_a_translated_blank_admits_several_words_and_shows_the_first(catalogue):
    catalogue(("cloze1.answer.0", "sparse", "разредена | рядка"))
    item = translated(BLANKS, "bg")
    assert item.answer == (("разредена", "рядка", "sparse", "thin"),)
    assert judge(item, ["Рядка"]).right
    assert not judge(item, ["разредена | рядка"]).right
    (says, *_) = [text for text in judge(item, ["dense"]).says if "разредена" in text]
    assert "рядка" not in says


def test_a_name_that_code_uses_is_not_to_be_translated():
    item = replace(BLANKS, answer=(("weight_orig",), ("weight", "w")))
    assert [field for field in texts(item) if field.startswith("answer")] == ["answer.1"]


def test_what_is_not_translated_stays_english(catalogue):
    catalogue(("choic1.prompt", "Which one?", "Кой от тях?"))
    item = translated(CHOICE, "bg")
    assert item.prompt == "Кой от тях?"
    assert item.explanation == "Because."
    assert translated(CHOICE, "en") is CHOICE
    assert translated(CHOICE, "ko") == CHOICE  # there is no catalogue at all


def test_a_translation_of_other_english_or_of_another_question_is_not_shown(catalogue):
    catalogue(
        ("choic1.prompt", "Which two?", "Кои два?"),
        ("multi1.prompt", "Which one?", "Кой от тях?"),
    )
    assert translated(CHOICE, "bg").prompt == "Which one?"


def test_an_unfinished_translation_is_not_shown(catalogue):
    catalogue(("choic1.prompt", "Which one?", "Кой от тях?"), fuzzy=True)
    assert translated(CHOICE, "bg").prompt == "Which one?"


# --- The interface --------------------------------------------------------------------------------


def test_the_interface_speaks_the_chosen_language(catalogue, learner):
    catalogue(("interface", "{count} to go", "още {count}"))
    assert say("{count} to go", count=3) == "3 to go"
    translation.choose("bg")
    assert say("{count} to go", count=3) == "още 3"
    assert say("Done") == "Done"
    assert translated(CHOICE) == CHOICE


def test_where_nobody_reads_along_everything_is_english(learner, monkeypatch):
    translation.choose("ko")
    assert translation.language() == "ko"
    monkeypatch.setattr(translation, "automated", lambda: True)
    assert translation.language() == "en"


def test_another_language_is_spoken_for_a_while_whatever_was_chosen(
    catalogue, learner, monkeypatch
):
    catalogue(("interface", "Done", "Готово"))
    translation.choose("vi")
    monkeypatch.setattr(translation, "automated", lambda: True)
    with translation.speaking("bg"):
        assert (say("Done"), translation.language()) == ("Готово", "bg")
        with pytest.raises(RuntimeError), translation.speaking("en"):
            assert say("Done") == "Done"
            raise RuntimeError
        assert say("Done") == "Готово"
    assert translation.language() == "en"
    with pytest.raises(ValueError, match="there is no language 'xx'"), translation.speaking("xx"):
        pass


def test_the_command_shows_and_remembers_the_language(learner, capsys):
    assert cli.main(["language"]) == 0
    assert cli.main(["language", "vi"]) == 0
    assert cli.main(["language"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "en (English)",
        "vi (Tiếng Việt)",
        "vi (Tiếng Việt)",
    ]


def test_a_language_that_is_not_there_is_refused_and_the_choice_kept(learner, capsys):
    translation.choose("bg")
    assert cli.main(["language", "xx"]) == 1
    said = capsys.readouterr().err
    assert "there is no language 'xx'; there are en (English), bg (Български)" in said
    assert translation.language() == "bg"


def test_a_folder_that_cannot_be_written_to_gives_a_sentence(learner, capsys):
    learner.write_text("a file stands where the folder should be", encoding="utf-8")
    assert cli.main(["language", "bg"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"course: your choice cannot be remembered: {learner} cannot be written")
    assert len(said.splitlines()) == 1
    assert translation.language() == "en"


@pytest.mark.parametrize("content", [b"klingon", b"", b"\xff\xfe"])
def test_a_damaged_choice_is_english(learner, content):
    learner.mkdir()
    (learner / "language").write_bytes(content)
    assert translation.language() == "en"


# --- Speed ----------------------------------------------------------------------------------------


def test_a_full_catalogue_is_read_before_anybody_notices(catalogue):
    english = (
        "A question {} about **weights** and `code`, in a sentence that wraps over lines. " * 2
    )
    catalogue(*((f"k{n}.prompt", english.format(n, n), english.format(n, n)) for n in range(1500)))
    seconds = []
    for _ in range(5):
        translation.catalogue.cache_clear()
        start = time.perf_counter()
        assert len(translation.catalogue("bg")) == 1500
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def test_english_does_without_the_reader_of_catalogues():
    code = (
        "import sys; from course_utils.quiz import translation; translation.say('Done');"
        "print('babel.messages.pofile' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
