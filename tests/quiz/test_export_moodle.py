"""Moodle XML, against what Moodle documents and what its importer reads. No Moodle takes part."""

import base64
import html
import itertools
import re
import xml.etree.ElementTree as ET

import pytest

from course_utils.quiz import bank, export
from course_utils.quiz.judge import judge

COMMON = {"name", "questiontext", "generalfeedback", "hidden", "idnumber", "tags"}
CHOICE = {"defaultgrade", "single", "shuffleanswers", "answernumbering", "answer"}
ESSAY = {
    *("defaultgrade", "responseformat", "responserequired", "responsefieldlines"),
    *("attachments", "attachmentsrequired", "graderinfo", "responsetemplate"),
}
# What a question may consist of, type by type, as Moodle documents and exports it.
DOCUMENTED = {
    "multichoice": COMMON | CHOICE,
    "numerical": COMMON
    | {"defaultgrade", "answer", "units", "unitgradingtype", "showunits", "unitsleft"},
    "shortanswer": COMMON | {"defaultgrade", "usecase", "answer"},
    "essay": COMMON | ESSAY,
    "cloze": COMMON,
}
# The shares of a mark that Moodle knows; others are refused. Their negatives are known too.
SHARES = {
    *("0", "100", "90", "83.33333", "80", "75", "70", "66.66667", "60", "50", "40", "33.33333"),
    *("30", "25", "20", "16.66667", "14.28571", "12.5", "11.11111", "10", "5"),
}
TYPES = {
    "mcqone": "multichoice",
    "multi1": "multichoice",
    "plot01": "multichoice",
    "recall": "essay",
    "cloze2": "cloze",
    "cloze1": "cloze",
    "number": "numerical",
    "prints": "shortanswer",
    "lines1": "essay",  # a short answer has one line
}


@pytest.fixture
def quiz(small_bank, tmp_path):
    export.write("moodle", tmp_path / "q.xml", small_bank)
    return ET.parse(tmp_path / "q.xml").getroot()


@pytest.fixture
def questions(quiz):
    return {node.findtext("idnumber"): node for node in quiz if node.get("type") != "category"}


def text(node, path=".") -> str:
    return node.findtext(f"{path}/text") or ""


def test_each_lesson_is_a_category_before_its_questions(quiz):
    kinds = [text(node, "category") or node.findtext("idnumber") for node in quiz]
    assert kinds[0] == "$course$/top/Pruning course/Lesson 00"
    assert kinds[5] == "$course$/top/Pruning course/Lesson 01"
    assert kinds[1:5] + kinds[6:] == list(TYPES)


def test_every_question_has_its_type_and_only_elements_of_that_type(questions):
    assert {id_: node.get("type") for id_, node in questions.items()} == TYPES
    for node in questions.values():
        names = {child.tag for child in node}
        assert names <= DOCUMENTED[node.get("type")]
        assert names >= COMMON
        assert {child.get("format", "html") for child in node.iter("feedback")} <= {"html"}


def test_every_text_stands_in_a_text_element(questions):
    for node in questions.values():
        for name in ("name", "questiontext", "generalfeedback", "feedback", "graderinfo", "tag"):
            for found in node.iter(name):
                assert found.find("text") is not None
                assert not (found.text or "").strip()


def test_awkward_characters_arrive_as_they_were(questions):
    asked = text(questions["mcqone"], "questiontext")
    assert asked == (
        "<p>A layer has the weights <code>[-0.9, 0.02 &amp; &quot;more&quot;]</code>, and "
        r"\(|w| &lt; \frac{1}{2}\) is pruned; naïve readers say <strong>so</strong>. Which goes?"
        "</p><pre><code>keep = weights &gt; 0.5  # &lt;b&gt;, {n}, a~b ]]&gt;\n"
        "print(keep)</code></pre>"
    )
    assert "Größe" in text(questions["mcqone"], "generalfeedback")


def test_a_text_that_ends_cdata_arrives_whole():
    from course_utils.quiz.export.parts import cdata, element

    assert ET.fromstring(element("text", cdata("a ]]> b]]>"))).text == "a ]]> b]]>"


def test_each_wrong_option_says_why_and_the_explanation_is_for_all(questions, small_bank):
    item = bank.load(small_bank)["plot01"]
    whys = {text(node): text(node, "feedback") for node in questions["plot01"].iter("answer")}
    assert whys == {
        "<p>Next to none</p>": "",
        "<p>The highest bar</p>": "<p>It counts an interval.</p>",
        "<p>About half</p>": "<p>About half are negative.</p>",
    }
    assert text(questions["plot01"], "generalfeedback") == (
        f"<p>{item.explanation}</p><p>Lesson 00 · Step 4</p>"
    )


def test_the_picture_is_in_the_file_and_in_the_question(questions, small_bank):
    (file,) = questions["plot01"].findall("questiontext/file")
    assert (file.get("name"), file.get("path"), file.get("encoding")) == (
        "plot01.png",
        "/",
        "base64",
    )
    assert base64.b64decode(file.text) == (small_bank / "pictures/plot01.png").read_bytes()
    assert '<img src="@@PLUGINFILE@@/plot01.png" alt="A hump' in text(
        questions["plot01"], "questiontext"
    )


def test_tags_name_lesson_uses_concepts_and_misconceptions(questions):
    assert [text(tag) for tag in questions["mcqone"].iter("tag")] == [
        *("lesson 00", "section", "review"),
        *("magnitude", "sparsity", "smallest-is-most-negative"),
    ]


# --- The same answers get the same marks ----------------------------------------------------------


def test_all_shares_of_a_mark_are_among_those_that_moodle_knows(questions):
    shares = [a.get("fraction") for node in questions.values() for a in node.iter("answer")]
    assert len(shares) > 10
    assert {share.removeprefix("-") for share in shares} <= SHARES


def test_any_choice_of_several_options_gets_the_marks_that_judge_gives(questions, small_bank):
    item = bank.load(small_bank)["multi1"]
    share = {text(a): float(a.get("fraction")) for a in questions["multi1"].iter("answer")}
    shares = [share[export.moodle.html(option)] for option in item.options]
    assert questions["multi1"].findtext("single") == "false"
    for count in range(1, len(shares) + 1):
        for chosen in itertools.combinations(range(len(shares)), count):
            marks = min(1, max(0, sum(shares[index] for index in chosen) / 100))
            assert marks == pytest.approx(judge(item, list(chosen)).score, abs=1e-5)


@pytest.mark.parametrize("id_", ["mcqone", "plot01"])
def test_of_single_choices_the_right_one_gets_all(questions, small_bank, id_):
    item = bank.load(small_bank)[id_]
    share = {text(a): a.get("fraction") for a in questions[id_].iter("answer")}
    assert questions[id_].findtext("single") == "true"
    for index, option in enumerate(item.options):
        assert float(share[export.moodle.html(option)]) == 100 * judge(item, index).score


@pytest.mark.parametrize("given", [12.24, 12.25, 12.5, 12.75, 12.76, 87.5, 87.7, 0])
def test_a_number_gets_the_marks_and_the_feedback_that_judge_gives(questions, small_bank, given):
    item, node = bank.load(small_bank)["number"], questions["number"]
    matched = [
        answer
        for answer in node.iter("answer")
        if abs(given - float(text(answer))) <= float(answer.findtext("tolerance"))
    ]
    verdict = judge(item, given)
    assert sum(float(answer.get("fraction")) for answer in matched) == 100 * verdict.score
    for answer in matched:
        assert (text(answer, "feedback") == "") == verdict.right
        if not verdict.right:
            assert text(answer, "feedback") == f"<p>{verdict.says[0]}</p>"


def test_a_unit_may_be_typed_and_is_not_graded(questions):
    node = questions["number"]
    assert node.findtext("units/unit/unit_name") == "%"
    assert node.findtext("units/unit/multiplier") == "1"
    assert (node.findtext("unitgradingtype"), node.findtext("showunits")) == ("0", "0")


def matches(given: str, pattern: str, case: bool) -> bool:
    """Moodle's short answers: a star stands for anything, unless it is escaped."""
    parts = [re.escape(part.replace(r"\*", "*")) for part in re.split(r"(?<!\\)\*", pattern)]
    return bool(re.fullmatch(".*".join(parts), given.strip(), 0 if case else re.IGNORECASE))


@pytest.mark.parametrize(
    "given", ["[1,  2] ***", " [1, 2] *** ", "[1, 2] 3*", "[1, 2] 3x", "[1, 2] xyz", "[1, 3] ***"]
)
def test_a_printed_line_gets_the_marks_and_the_feedback_that_judge_gives(
    questions, small_bank, given
):
    item, node = bank.load(small_bank)["prints"], questions["prints"]
    case = node.findtext("usecase") == "1"
    matched = [a for a in node.iter("answer") if matches(given, text(a), case)]
    verdict = judge(item, given)
    score = float(matched[0].get("fraction")) if matched else 0
    assert score == 100 * verdict.score
    expected = [f"<p>{d.why}</p>" for d in item.distractors if d.why in verdict.says]
    assert [text(a, "feedback") for a in matched[:1]] == (expected or [""] * len(matched[:1]))


def test_open_questions_carry_the_model_answer_for_the_grader(questions):
    assert text(questions["recall"], "graderinfo") == (
        "<p>To need less room, <code>less</code> time &amp; less power.</p>"
    )
    assert text(questions["lines1"], "graderinfo") == "<pre><code>1\n2</code></pre>"
    assert "<pre><code>1 2</code></pre><p>Each print ends" in text(
        questions["lines1"], "generalfeedback"
    )


# --- Cloze: answers inside the text ---------------------------------------------------------------

ANSWER = r"(?:=|%(?P<percent>-?\d+)%)(?P<answer>.+?)(?<!\\|&)(?:#(?P<feedback>.*?))?(?=~|$)"


def blanks(question: str) -> list[list[tuple[float, str, str]]]:
    """{1:SHORTANSWER:=right~%0%wrong#why} taken apart as documented, and entities then resolved."""
    found = re.findall(r"\{1:SHORTANSWER:([^}]*)\}", question)
    return [
        [
            (
                float(m["percent"] or 0) if m["percent"] else 100.0,
                html.unescape(m["answer"]),
                html.unescape(m["feedback"] or ""),
            )
            for m in re.finditer(ANSWER, blank)
        ]
        for blank in found
    ]


def test_a_blank_admits_every_wording_and_explains_typical_mistakes(questions):
    asked = text(questions["cloze2"], "questiontext")
    why = r"<p>There are few: \(\frac{1}{2}\) #3 ~ <code>a &lt; b</code>.</p>"
    assert blanks(asked) == [
        [(100, "weight", ""), (100, "weights", ""), (0, "bias", why)],
        [(100, r"ReLU {x} a~b #1 \*", ""), (100, "relu layer", ""), (0, "bias", why)],
    ]
    outside = re.sub(r"\{1:.*?\}", "...", asked)
    assert outside == "<p>Hardly any ... is zero, but a ... makes many &amp; &lt;more&gt;.</p>"


@pytest.mark.parametrize(
    "given",
    [
        ["weight", "RELU {X} a~b #1 *"],
        ["Weights", " relu layer"],
        ["bias", "relu layer"],
        ["weight", "ReLU {x} a~b #1 anything"],
    ],
)
def test_filled_blanks_get_the_marks_that_judge_gives(questions, small_bank, given):
    item = bank.load(small_bank)["cloze2"]
    marks = [
        next((share for share, pattern, _ in blank if matches(word, pattern, False)), 0)
        for word, blank in zip(
            given, blanks(text(questions["cloze2"], "questiontext")), strict=True
        )
    ]
    assert sum(marks) / 200 == judge(item, given).score
