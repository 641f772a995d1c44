"""What counts as right, and what a wrong answer is told."""

import math
import unicodedata
from pathlib import Path

import numpy
import pytest

from course_utils.quiz import bank, judge, translation
from course_utils.quiz.judge import BadAnswer, number


def item(type, answer, **fields):
    entry = {"id": "abc123", "rev": 1, "type": type, "prompt": "?", "answer": answer, **fields}
    return bank.make(entry, "90", Path())


def wrong(*texts):
    return [{"text": text, "why": f"why {text}"} for text in texts]


CHOICE = item("mcq", "yes", distractors=wrong("no", "maybe"), explanation="So it is.")
SEVERAL = item("multi", ["a", "b"], distractors=wrong("c", "d"), explanation="Both.")
BLANKS = item(
    "cloze",
    [["weight", "weights"], ["ReLU", "rectifier"]],
    distractors=wrong("bias"),
    explanation="Zeros.",
)
SHARE = item("numeric", 0.25, tolerance=0.01, distractors=wrong(0.75), explanation="A quarter.")
COUNT = item("numeric", 28800, tolerance=0, distractors=wrong(288, 7200), explanation="Multiply.")
PERCENT = item("numeric", 12.5, tolerance=0.05, unit="%", distractors=wrong(0.125))
PRINTS = item("predict", "1 2\nTrue", distractors=wrong("1 2\nFalse"), explanation="It is.")
OPEN = item("recall", "Fewer numbers.")


# --- Options --------------------------------------------------------------------------------------


def test_the_right_option_scores_and_is_explained():
    assert judge.judge(CHOICE, 0) == (1.0, True, ["So it is."])


def test_a_wrong_option_gets_its_own_why_then_the_key_then_the_explanation():
    assert judge.judge(CHOICE, 2) == (0.0, False, ["why maybe", "Right: yes", "So it is."])


@pytest.mark.parametrize("answer", [None, 3, -1, "0", "yes", True, False, 0.0, [0], numpy.nan])
def test_what_is_no_option_is_refused(answer):
    with pytest.raises(BadAnswer, match="Choose one of the options"):
        judge.judge(CHOICE, answer)


@pytest.mark.parametrize(
    "answer, score",
    [
        ([0, 1], 1.0),
        ((1, 0), 1.0),
        ({0, 1}, 1.0),
        ([0, 0, 1], 1.0),
        ([0], 0.5),
        ([0, 1, 2], 0.5),
        ([0, 2], 0.0),
        ([2, 3], 0.0),
        ([3], 0.0),
        ([0, 1, 2, 3], 0.0),
    ],
)
def test_of_several_a_wrong_one_costs_what_a_right_one_earns_and_never_more(answer, score):
    verdict = judge.judge(SEVERAL, answer)
    assert (verdict.score, verdict.right) == (score, score == 1)


def test_each_wrong_one_of_several_gets_its_why():
    says = judge.judge(SEVERAL, [3, 0, 2]).says
    assert says == ["c: why c", "d: why d", "Right: a · b", "Both."]


@pytest.mark.parametrize("answer", [None, [], "ab", 0, [4], [True], ["a"], [[0]], [None]])
def test_what_is_no_choice_of_several_is_refused(answer):
    with pytest.raises(BadAnswer):
        judge.judge(SEVERAL, answer)


# --- Blanks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        ["weight", "ReLU"],
        [" Weights ", "relu"],
        ("WEIGHT.", "  rectifier"),
        ["weight", "\N{FULLWIDTH LATIN CAPITAL LETTER R}eLU"],
    ],
)
def test_case_spaces_and_a_full_stop_do_not_matter_in_a_blank(answer):
    assert judge.judge(BLANKS, answer).right


def test_blanks_are_worth_their_share_and_a_known_wrong_word_gets_its_why():
    verdict = judge.judge(BLANKS, ["Bias", "rectifier"])
    assert verdict == (0.5, False, ["why bias", "Right: weight, ReLU", "Zeros."])


def test_a_blank_that_is_left_empty_is_wrong_and_the_others_count():
    assert judge.judge(BLANKS, ["weight", ""]).score == 0.5
    assert judge.judge(BLANKS, ["weight", None]).score == 0.5


def test_letters_and_accents_may_be_typed_one_by_one():
    vietnamese = item("cloze", [["trọng số"]])
    apart = unicodedata.normalize("NFD", "trọng số")
    assert apart != "trọng số"
    assert judge.judge(vietnamese, [apart]).right


@pytest.mark.parametrize("answer", [None, [], ["weight"], ["", " "], "weight ReLU", 5, ["a"] * 3])
def test_what_does_not_fill_the_blanks_is_refused(answer):
    with pytest.raises(BadAnswer, match="Fill every blank \\(2 in all\\)"):
        judge.judge(BLANKS, answer)


# --- Numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed, value",
    [
        ("1,5", 1.5),
        ("1.5", 1.5),
        (" 20 % ", 20),
        ("20%", 20),
        ("1/4", 0.25),
        ("1 / 4", 0.25),
        ("-1/4", -0.25),
        ("\N{MINUS SIGN}3", -3),
        ("\N{EN DASH} 3", -3),
        ("1e-3", 0.001),
        (".5", 0.5),
        (",5", 0.5),
        ("0,125", 0.125),
        ("1 234", 1234),
        ("1\N{NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567", 1234567),
        ("1_234", 1234),
        ("1'234", 1234),
        ("1,234,567", 1234567),
        ("1.234.567", 1234567),
        ("1,234.5", 1234.5),
        ("1.234,5", 1234.5),
        (3, 3),
        (0.25, 0.25),
        (numpy.float32(0.25), 0.25),
    ],
)
def test_a_number_is_read_as_people_write_it(typed, value):
    assert number(typed) == value


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "%", "abc", "nan", "inf", "-inf", "1e400", "1/0", "/4", "1/", "1/2/3", "3-1"),
        *("1 2", "1,2,3", "1.2.3", "12,34,5", "--3"),
        *(True, False, None, [1], {"a": 1}, math.nan, math.inf),
    ],
)
def test_what_is_no_number_is_refused(typed):
    with pytest.raises(BadAnswer, match=r"Type a number, such as 12\.5"):
        number(typed)
    with pytest.raises(BadAnswer):
        judge.judge(COUNT, typed)


@pytest.mark.parametrize("typed", ["0.24", "0.26", 0.24, 0.26, "1/4", "25 %", "24,0 %", "26%"])
def test_the_edges_of_the_tolerance_belong_to_it(typed):
    assert judge.judge(SHARE, typed).right


@pytest.mark.parametrize("typed", ["0.2399", "0.2601", "-0.25", "25", "0.25 %"])
def test_beyond_the_tolerance_is_wrong(typed):
    assert not judge.judge(SHARE, typed).right


@pytest.mark.parametrize("answer, tolerance", [(0.3, 0.1), (1000.2, 0.1), (1e9, 0.5), (-0.7, 0.2)])
def test_an_edge_is_not_lost_to_rounding(answer, tolerance):
    edges = item("numeric", answer, tolerance=tolerance)
    assert judge.judge(edges, answer + tolerance).right
    assert judge.judge(edges, answer - tolerance).right
    assert not judge.judge(edges, answer + 1.001 * tolerance).right


def test_without_tolerance_only_a_floats_last_digits_are_forgiven():
    assert judge.judge(item("numeric", 0.3, tolerance=0), 0.1 + 0.2).right
    exact = item("numeric", 10**9, tolerance=0)
    assert judge.judge(exact, "1 000 000 000").right
    assert not judge.judge(exact, 10**9 + 1).right


@pytest.mark.parametrize("typed", ["28800", "28,800", "28 800", "28_800", 28800.0, "+28800"])
def test_a_comma_before_three_digits_is_read_in_the_way_that_fits(typed):
    assert judge.judge(COUNT, typed).right


def test_the_other_reading_of_a_comma_counts_as_well():
    exact = item("numeric", 1.234, tolerance=0)
    assert judge.judge(exact, "1,234").right
    assert judge.judge(COUNT, "7,200").says[0] == "why 7200"


@pytest.mark.parametrize("typed", ["12.5", "12,5 %", "12.5%", 12.5, "12.54"])
def test_the_unit_may_be_typed_or_left_out(typed):
    assert judge.judge(PERCENT, typed).right


def test_other_units_may_be_typed_too():
    size = item("numeric", 80, tolerance=1, unit="KB")
    assert judge.judge(size, "80 kb").right
    with pytest.raises(BadAnswer):
        judge.judge(size, "80 MB")


def test_a_known_wrong_number_gets_its_why_and_an_unknown_one_the_key():
    assert judge.judge(COUNT, 288) == (0.0, False, ["why 288", "Right: 28800", "Multiply."])
    assert judge.judge(COUNT, 5) == (0.0, False, ["Right: 28800", "Multiply."])
    assert judge.judge(PERCENT, "0.125").says == ["why 0.125", "Right: 12.5 %"]


def test_the_key_shows_every_digit():
    assert judge.key(item("numeric", 12345678, tolerance=0)) == "Right: 12345678"
    assert judge.key(item("numeric", 0.1, tolerance=0)) == "Right: 0.1"


# --- What code prints -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed",
    ["1 2\nTrue", "1 2  \nTrue \n", "\n1  2\r\nTrue", " 1 2\n\tTrue", "1 2\n\nTrue\n\n"],
)
def test_spaces_and_empty_lines_do_not_matter_in_what_is_printed(typed):
    assert judge.judge(PRINTS, typed).right


@pytest.mark.parametrize("typed", ["1 2 True", "12\nTrue", "1 2\ntrue", "True\n1 2", "1 2"])
def test_lines_words_and_case_matter_in_what_is_printed(typed):
    verdict = judge.judge(PRINTS, typed)
    assert verdict == (0.0, False, ["It prints\n```\n1 2\nTrue\n```", "It is."])


def test_a_known_wrong_output_gets_its_why():
    assert judge.judge(PRINTS, "1 2 \nFalse").says[0] == "why 1 2\nFalse"


@pytest.mark.parametrize("typed", [None, "", " \n ", 12, ["1 2", "True"]])
def test_what_is_no_output_is_refused(typed):
    with pytest.raises(BadAnswer, match="Type what the code prints"):
        judge.judge(PRINTS, typed)


# --- Open questions -------------------------------------------------------------------------------


@pytest.mark.parametrize("how, score", [("had", 1.0), ("partly", 0.5), ("missed", 0.0)])
def test_an_open_question_is_judged_by_oneself(how, score):
    assert judge.judge(OPEN, how) == (score, score == 1, [])
    assert judge.key(OPEN) == "Fewer numbers."


@pytest.mark.parametrize("how", [None, "", "yes", 1, ["had"], True])
def test_a_judgement_has_three_forms(how):
    with pytest.raises(BadAnswer, match="how well your own words matched"):
        judge.judge(OPEN, how)


# --- All ------------------------------------------------------------------------------------------


def test_a_verdict_speaks_the_learners_language(monkeypatch):
    catalogue = {("interface", "Right: {answer}"): "Вярно: {answer}"}
    monkeypatch.setattr(translation, "language", lambda: "bg")
    monkeypatch.setattr(translation, "catalogue", lambda into: catalogue)
    assert judge.judge(CHOICE, 1).says[1] == "Вярно: yes"


def keyed(asked):
    """The right answer as a learner gives it."""
    if asked.type == "multi":
        return list(range(len(asked.answer)))
    if asked.type == "cloze":
        return [words[-1] for words in asked.answer]
    return 0 if asked.type in bank.CHOICES else asked.answer


def misled(asked, place):
    """A distractor as a learner gives it."""
    index = len(asked.options) - len(asked.distractors) + place
    if asked.type == "cloze":
        return [asked.distractors[place].text] * len(asked.answer)
    if asked.type in bank.CHOICES:
        return [index] if asked.type == "multi" else index
    return asked.distractors[place].text


@pytest.mark.parametrize("id_", [i.id for i in bank.load().values() if i.type != "recall"])
def test_in_the_real_bank_the_key_is_right_and_every_distractor_wrong_and_explained(id_):
    asked = bank.load()[id_]
    assert judge.judge(asked, keyed(asked)) == (1.0, True, [asked.explanation])
    for place, distractor in enumerate(asked.distractors):
        verdict = judge.judge(asked, misled(asked, place))
        assert verdict.score == 0
        assert distractor.why in verdict.says[0]
