"""Quizzes in a notebook, driven in Python: each type of question, what is kept, what is secret, a
sitting from its first prompt to its last, and what is printed where nobody reads along."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from ipywidgets import Widget

from course_utils.quiz import bank
from course_utils.study import log, quizzes, reviewing
from course_utils.study.panels import Panel

SECRET = "quokka"  # stands in everything that must not be seen before an answer


def question(kind: str, answer, *distractors, **more) -> dict:
    wrong = [{"text": text, "why": f"The {SECRET} denies {text}."} for text in distractors]
    return {
        "id": f"q{kind:a<5}"[:6],
        "rev": 1,
        "type": kind,
        "use": ["section", "review", "pretest"],
        "place": "Step 1",
        "concepts": ["counting"],
        "prompt": f"A question about {kind} and $x^2$: ____, ____",
        "answer": answer,
        "explanation": f"So says the {SECRET}.",
        "distractors": wrong,
    } | more


QUESTIONS = {
    each["type"]: each
    for each in [
        question("mcq", "`one`", "two", "three"),
        question("multi", ["one", "$two$"], "three", "four"),
        question("cloze", [[SECRET], ["otter", SECRET]]),
        question("numeric", 8080.25, 9090.5, tolerance=0.5, unit="kB"),
        question("predict", f"{SECRET} 1", f"{SECRET} 2", verify="pass"),
        question("recall", f"The {SECRET} multiplies."),
        question("plot", "it rises", "it falls", "it stays", alt="a line", draw="figure = None"),
    ]
}
RIGHT = {
    "mcq": 0,
    "multi": [0, 1],
    "cloze": [SECRET, "Otter"],
    "numeric": "8080",
    "predict": f" {SECRET}  1",
    "plot": 0,
}
WRONG = {
    "mcq": 2,
    "multi": [0, 2],
    "cloze": [SECRET, "swan"],
    "numeric": "9090,5",
    "predict": f"{SECRET} 2",
    "plot": 1,
}


@pytest.fixture(autouse=True)
def learner(tmp_path, monkeypatch):
    """Somebody reads along, with a bank of one question of each type."""
    folder = tmp_path / "bank"
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "qplota.png").write_bytes(b"a picture")
    write(folder, QUESTIONS.values())
    monkeypatch.setattr(bank, "BANK", folder)
    monkeypatch.setattr(quizzes, "automated", lambda: False)


def write(folder, questions) -> None:
    content = json.dumps({"lesson": "00", "items": list(questions)})  # which is YAML as well
    (folder / "00_test.yaml").write_text(content, encoding="utf-8")


@pytest.fixture
def clock(monkeypatch):
    """A clock that tells what it is set to: clock(3) is noon three days later."""
    start = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def set_to(days: float) -> None:
        monkeypatch.setattr(reviewing, "now", lambda: start + timedelta(days))

    set_to(0)
    return set_to


def ask(kind: str, use: str = "section") -> quizzes.Question:
    """The question of a type, as a cell that runs (again) shows it."""
    shown = quizzes.quiz("00", use)
    return next(each for each in shown.questions if each.item.type == kind)


def give(question: quizzes.Question, answer, sure: int | None = 2) -> quizzes.Question:
    question.input.write(answer)
    question.confidence.value = sure
    question.button.click()
    return question


def press(question: quizzes.Question, text: str) -> None:
    (button,) = [each for each in question.after.children if each.description == text]
    button.click()


def widgets_in(widget: Widget) -> list[Widget]:
    return [widget, *(w for child in getattr(widget, "children", ()) for w in widgets_in(child))]


def sent(widget: Widget) -> str:
    """All that the browser has been told."""
    return json.dumps([each.get_state() for each in widgets_in(widget)], default=str)


def logged() -> list[dict]:
    return [event.data for event in log.read("answer")]


# --- Each type ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RIGHT)
def test_a_right_answer_is_said_to_be_right_and_kept(kind):
    question = give(ask(kind), RIGHT[kind], sure=3)
    assert "✓ Right" in question.verdict.value
    assert f"So says the {SECRET}" in question.verdict.value
    (data,) = logged()
    assert data["answer"] == RIGHT[kind]
    assert (data["score"], data["confidence"], data["use"]) == (1, 3, "section")


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_answer_is_explained(kind):
    question = give(ask(kind), WRONG[kind])
    assert "✗" in question.verdict.value
    assert "Right:" in question.verdict.value or "It prints" in question.verdict.value
    if kind != "cloze":
        assert f"The {SECRET} denies" in question.verdict.value
    assert logged()[0]["score"] < 1


def test_partly_right_is_told_from_wrong():
    assert "✗ Partly right" in give(ask("cloze"), WRONG["cloze"]).verdict.value
    assert "✗ Not right" in give(ask("mcq"), WRONG["mcq"]).verdict.value


def test_a_wrong_answer_that_was_certain_is_remarked_on():
    assert "You were certain" in give(ask("mcq"), 1, sure=3).verdict.value
    assert "You were certain" not in give(ask("multi"), [0], sure=2).verdict.value


@pytest.mark.parametrize("kind", RIGHT)
def test_no_answer_is_not_counted_and_says_what_to_give(kind):
    question = give(ask(kind), None)
    assert 'role="status"' in question.verdict.value
    assert SECRET not in question.verdict.value
    assert logged() == []
    assert "✓ Right" in give(question, RIGHT[kind]).verdict.value


def test_a_blank_may_stay_empty():
    assert "✗ Partly right" in give(ask("cloze"), [SECRET, ""]).verdict.value


@pytest.mark.parametrize("kind", QUESTIONS)
def test_confidence_comes_before_the_answer(kind):
    question = give(ask(kind), RIGHT.get(kind, "my words"), sure=None)
    assert "how sure" in question.verdict.value
    assert "✓" not in question.verdict.value
    assert SECRET not in question.verdict.value
    assert logged() == []


def test_a_second_click_on_the_button_is_not_a_second_answer():
    question = give(ask("mcq"), 0)
    question.button.click()
    assert len(logged()) == 1


def test_options_stand_in_shown_order_and_are_logged_in_the_banks():
    question = ask("mcq")
    radios = question.input.widget.children[0]
    item = question.item
    assert [item.options[i] for i in item.shown()] == [
        {"one": "`one`"}.get(label.strip("`"), label) for label, _ in radios.options
    ]
    radios.index = item.shown().index(2)  # as the browser says it
    give(question, radios.value)
    assert logged()[0]["answer"] == 2


def test_an_open_question_is_judged_by_the_learner_after_the_model_answer():
    question = give(ask("recall"), "my own words")
    assert f"The {SECRET} multiplies" in question.verdict.value
    assert logged() == []
    press(question, "partly")
    (data,) = logged()
    assert (data["answer"], data["score"], data["words"]) == ("partly", 0.5, "my own words")
    assert "You said: partly" in question.verdict.value
    assert f"The {SECRET} multiplies" in question.verdict.value


def test_own_words_may_be_left_out():
    press(give(ask("recall"), ""), "I had it")
    assert logged()[0]["answer"] == "had"


def test_a_plot_is_shown_with_its_description():
    html = ask("plot").prompt.value
    assert '<img src="data:image/png;base64,YSBwaWN0dXJl" alt="a line">' in html


def test_the_unit_of_a_number_is_said():
    assert ask("numeric").input.widget.description == "Your answer (kB)"


# --- Kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", RIGHT)
def test_an_answer_is_there_again_when_the_cell_runs_again(kind):
    first = give(ask(kind), WRONG[kind], sure=3)
    again = ask(kind)
    assert again.verdict.value == first.verdict.value
    assert again.input.read() == WRONG[kind]
    assert again.confidence.value == 3
    fields = [w for w in widgets_in(again.input.widget) if hasattr(w, "disabled")]
    assert fields and all(field.disabled for field in fields)
    assert len(logged()) == 1


def test_own_words_are_there_again():
    press(give(ask("recall"), "my own words"), "I had it")
    again = ask("recall")
    assert again.input.read() == "my own words"
    assert "You said: I had it" in again.verdict.value


def test_trying_again_keeps_both_answers():
    give(ask("mcq"), 1)
    again = ask("mcq")
    press(again, "Try again")
    assert again.input.read() is None
    assert again.confidence.value is None
    assert SECRET not in sent(again.widget)
    assert "✓ Right" in give(again, 0).verdict.value
    assert [data["answer"] for data in logged()] == [1, 0]
    assert "✓ Right" in ask("mcq").verdict.value


def test_an_answer_to_an_earlier_meaning_of_a_question_is_not_shown(tmp_path, monkeypatch):
    give(ask("mcq"), 0)
    newer = tmp_path / "newer"
    newer.mkdir()
    write(newer, [QUESTIONS["mcq"] | {"rev": 2}])
    monkeypatch.setattr(bank, "BANK", newer)
    assert ask("mcq").verdict.value == ""


def test_what_is_no_answer_any_more_is_asked_again():
    item = ask("mcq").item
    given = {"answer": 7, "confidence": 2, "score": 0, "seconds": 1, "day": "2026-03-01"}
    log.append("answer", item.id, rev=1, use="section", **given)
    question = ask("mcq")
    assert question.verdict.value == ""
    assert "✓ Right" in give(question, 0).verdict.value


# --- Secret ---------------------------------------------------------------------------------------


def test_the_browser_learns_of_no_right_answer_before_one_is_given():
    shown = quizzes.quiz("00", "section")
    told = sent(shown.widget)
    assert "A question about mcq" in told and "two" in told
    assert SECRET not in told
    assert "8080.25" not in told and "9090.5" not in told
    give(shown.questions[0], 0)
    assert SECRET in sent(shown.widget)


def test_the_file_gets_a_note_and_no_more(monkeypatch):
    give(ask("mcq"), 1)
    shown = []
    monkeypatch.setattr(quizzes, "display", lambda bundle, raw: shown.append(bundle))
    quizzes.quiz("00", "section")._ipython_display_()
    note, live = shown
    assert note["text/plain"] == "Your answers are kept: run this cell to see the questions."
    assert note["text/plain"] in note["text/html"]
    assert set(live) == {"application/vnd.jupyter.widget-view+json", "text/plain"}
    assert SECRET not in json.dumps(shown)
    assert "A question" not in json.dumps(shown)


# --- Before the lesson ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*WRONG, "recall"])
def test_a_pretest_is_thanked_for_and_not_scored(kind):
    given = WRONG.get(kind, "something with scissors")
    question = give(ask(kind, "pretest"), given, sure=None)
    assert "Thank you" in question.verdict.value
    assert "at “Step 1”" in question.verdict.value
    assert "✓" not in question.verdict.value and "✗" not in question.verdict.value
    assert question.after.children == ()
    assert SECRET not in question.verdict.value
    again = ask(kind, "pretest")
    assert again.verdict.value == question.verdict.value
    assert again.input.read() == given
    (event,) = log.read("pretest")
    assert event.data == {"rev": 1, "answer": given}
    assert logged() == []


@pytest.mark.parametrize("kind", [*WRONG, "recall"])
def test_an_empty_pretest_is_not_kept(kind):
    question = give(ask(kind, "pretest"), None, sure=None)
    assert "Thank you" not in question.verdict.value
    assert question.verdict.value != ""
    assert log.read("pretest") == []


def test_a_pretest_asks_no_confidence():
    question = ask("mcq", "pretest")
    assert question.confidence not in widgets_in(question.widget)
    assert question.confidence not in widgets_in(give(question, 1, None).widget)


def test_a_pretest_and_a_section_remember_for_themselves():
    give(ask("mcq", "pretest"), 1, sure=None)
    assert ask("mcq", "section").verdict.value == ""


# --- Review ---------------------------------------------------------------------------------------


def answer_on(sitting: quizzes.Sitting, right: bool) -> str:
    """Answers the question on show and goes on; returns its type."""
    question = sitting.question
    if question.item.type == "recall":
        give(question, "words")
        press(question, "I had it" if right else "I missed it")
    else:
        give(question, (RIGHT if right else WRONG)[question.item.type])
    press(question, "Next")
    return question.item.type


def test_a_sitting_asks_everything_once_and_ends_warmly(clock):
    quizzes.enrol("00")
    clock(1)
    sitting = quizzes.review()
    assert "1 of 7" in sitting.progress.value
    assert SECRET not in sent(sitting.widget)
    asked = [answer_on(sitting, right=True) for _ in range(7)]
    assert sorted(asked) == sorted(QUESTIONS)
    assert sitting.question is None
    assert "Well done" in sitting.progress.value
    assert "Thursday, 5 March 2026" in sitting.progress.value
    assert "Well done" in quizzes.review().progress.value


def test_a_killed_sitting_goes_on_where_it_was(clock):
    quizzes.enrol("00")
    clock(1)
    first = quizzes.review()
    answer_on(first, right=True)
    answer_on(first, right=True)
    waiting = first.question.item.id
    second = quizzes.review()
    assert "3 of 7" in second.progress.value
    assert second.question.item.id == waiting


def test_a_miss_comes_back_in_the_same_sitting_and_says_where_to_read(clock):
    quizzes.enrol("00")
    clock(1)
    sitting = quizzes.review()
    missed = sitting.question
    if missed.item.type == "recall":
        press(give(missed, ""), "I missed it")
    else:
        give(missed, WRONG[missed.item.type])
    assert "Lesson 00, “Step 1”, tells more" in missed.verdict.value
    press(missed, "Next")
    assert "2 of 8" in sitting.progress.value
    asked = [answer_on(sitting, right=True) for _ in range(7)]
    assert asked[-1] == missed.item.type
    assert sitting.question is None
    assert "Tuesday, 3 March 2026" not in sitting.progress.value  # today
    assert "Wednesday, 4 March 2026" in sitting.progress.value  # and again tomorrow


def test_the_last_answer_does_not_show_in_a_review(clock):
    quizzes.enrol("00")
    clock(1)
    sitting = quizzes.review()
    while sitting.question:
        answer_on(sitting, right=True)
    clock(3)
    sitting = quizzes.review()
    assert sitting.question.verdict.value == ""
    assert SECRET not in sent(sitting.widget)


def test_a_review_asks_in_another_order_each_day(clock):
    item = ask("mcq").item
    orders = set()
    for day in range(8):
        clock(day)
        question = quizzes.Question(item, "review", lambda: None)
        radios = question.input.widget.children[0]
        orders.add(tuple(index for _, index in radios.options))
        give(question, 0)
        assert "✓ Right" in question.verdict.value
    assert len(orders) > 1
    assert {tuple(sorted(order)) for order in orders} == {(0, 1, 2)}


def test_before_any_enrolment_and_before_the_first_day(clock):
    assert "Nothing to review yet" in quizzes.review().progress.value
    quizzes.enrol("00")
    html = quizzes.review().progress.value
    assert "Nothing is due today" in html
    assert "Tuesday, 3 March 2026" in html


def test_after_ten_minutes_it_is_enough_for_today(clock):
    quizzes.enrol("00")
    clock(1)
    sitting = quizzes.review()
    for _ in range(5):
        sitting.question.began -= 120
        answer_on(sitting, right=True)
    assert sitting.question is None
    assert "Enough for today" in sitting.progress.value


def test_enrolling_tells_how_many_and_when_and_twice_changes_nothing(clock):
    said = repr(quizzes.enrol("00"))
    assert "7" in said.splitlines()[0]
    for day in ("3 March", "5 March", "9 March", "1 April"):
        assert f"{day} 2026" in said
    assert "`review()`" in said and "`course review`" in said
    clock(5)
    assert repr(quizzes.enrol("00")) == said
    assert reviewing.enrolments() == {"00": date(2026, 3, 2)}


@pytest.mark.parametrize(
    "ask_for",
    [
        lambda: quizzes.quiz("00", "exit"),
        lambda: quizzes.quiz("77", "section"),
        lambda: quizzes.quiz("00", "section", "Step 9"),
        lambda: quizzes.enrol("77"),
    ],
)
def test_where_there_are_no_questions_a_sentence_says_so(ask_for):
    with pytest.raises(ValueError, match="has no questions for"):
        ask_for()


# --- Where nobody reads along ---------------------------------------------------------------------


@pytest.fixture
def alone(monkeypatch):
    """Nobody reads along, and whoever makes a widget fails."""

    def widget(*_, **__):
        raise AssertionError("a widget where nobody is")

    monkeypatch.setattr(quizzes, "automated", lambda: True)
    for name in ("VBox", "HBox", "HTML", "HTMLMath", "Button", "RadioButtons", "Text"):
        monkeypatch.setattr(quizzes, name, widget)


def test_a_quiz_is_printed_without_answers(alone, capsys):
    first = quizzes.quiz("00", "section")
    assert isinstance(first, Panel)
    assert first == quizzes.quiz("00", "section")
    for text in (first.html, first.plain):
        assert "A question about mcq" in text
        assert "○ two" in text and "☐ three" in text
        assert "a line" in text
        assert SECRET not in text and "8080.25" not in text
    assert "<code>one</code>" in first.html
    assert capsys.readouterr() == ("", "")
    assert logged() == []


def test_review_and_enrolment_are_fixed_lines(alone, clock):
    said = [repr(quizzes.review()), repr(quizzes.enrol("00"))]
    clock(17)
    assert [repr(quizzes.review()), repr(quizzes.enrol("00"))] == said
    assert "2026" not in "".join(said)
    assert log.read("enrol") == []
