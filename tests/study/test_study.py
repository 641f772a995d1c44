"""What a notebook shows: checks, hints, solutions, predictions, claims, progress, the ledger."""

import linecache
import math
import warnings

import numpy
import pytest
import torch

from course_utils import models, study
from course_utils.exercises import UnknownExercise, every, find
from course_utils.study import claims, log
from course_utils.study.panels import panel, table


def right(values, k):
    if not 0 <= k <= values.numel():
        raise ValueError("no such k")
    kept = torch.zeros(values.numel(), dtype=torch.bool)
    kept[values.abs().flatten().argsort(descending=True)[:k]] = True
    return values * kept.view(values.shape)


def half_right(values, k):
    return right(values, min(max(k, 0), values.numel()))


def unwritten(values, k):
    raise NotImplementedError()


@pytest.mark.parametrize(
    ("answer", "points"), [(right, 2.0), (half_right, 1.6), (unwritten, 0.0), (None, 0.0)]
)
def test_the_plain_form_of_a_check_is_the_points(answer, points):
    shown = repr(study.check("keep_largest", answer))
    assert float(shown) == points  # nbgrader reads a graded cell's last value as partial credit
    assert math.isfinite(float(shown))


def test_a_check_is_silent_on_stderr_whatever_the_answer_does(capsys):
    def noisy(values, k):
        warnings.warn("careful", stacklevel=1)
        print("to stderr", file=__import__("sys").stderr)
        return right(values, k)

    assert study.check("keep_largest", noisy).status == "correct"
    assert capsys.readouterr().err == ""


def test_the_panel_names_the_first_mistake_and_the_groups():
    html = study.check("keep_largest", half_right)._repr_html_()
    assert "should raise ValueError" in html
    assert "✓ ordinary values" in html
    assert "✗ impossible k" in html
    assert "var(--jp-" in html  # JupyterLab's own colours, so that both themes fit


def test_a_learners_text_cannot_become_html_or_move_the_cursor():
    def hostile(values, k):
        raise RuntimeError("<script>alert(1)</script>\x1b[2J")

    html = study.check("keep_largest", hostile)._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "\x1b" not in html
    assert "\x1b" not in panel("a\x1bb").plain


def test_an_unknown_exercise_is_one_clear_sentence():
    with pytest.raises(UnknownExercise, match="no exercise named 'keep_smallest'"):
        study.check("keep_smallest", right)


def test_hints_come_one_at_a_time():
    hints = find("keep_largest").hints
    first, second = study.hint("keep_largest").plain, study.hint("keep_largest").plain
    assert hints[0] in first
    assert hints[1] not in first
    assert hints[1] in second
    for _ in range(3):
        last = study.hint("keep_largest").plain
    assert all(hint in last for hint in hints)
    assert "That was the last one" in last


def test_the_solution_waits_for_a_try():
    assert "def keep_largest" not in study.solution("keep_largest").plain
    study.check("keep_largest", unwritten)
    assert "def keep_largest" not in study.solution("keep_largest").plain
    study.check("keep_largest", half_right)
    assert "def keep_largest" in study.solution("keep_largest").plain


def test_the_solution_shows_on_insistence():
    assert "def keep_largest" in study.solution("keep_largest", insist=True).plain


def test_the_solution_of_a_pair_shows_both_functions():
    shown = study.solution("pack", insist=True).plain
    assert "def pack(weight" in shown
    assert "def unpack(bits" in shown


@pytest.mark.parametrize(
    ("answer", "said"), [(unwritten, "not written"), (half_right, "not right")]
)
def test_later_cells_carry_on_with_the_courses_answer(answer, said, capsys):
    assert study.yours_or_ours("keep_largest", answer) is find("keep_largest").reference
    assert said in capsys.readouterr().out


ENDLESS = """
def keep_largest(values, k):
    kept = 0
    while kept < 1:
        pressing_stop()
"""


@pytest.fixture
def endless():
    """An answer whose loop never ends, as written in a notebook, until somebody presses stop."""

    def pressing_stop():
        raise KeyboardInterrupt

    cell = "<a cell>"
    linecache.cache[cell] = (len(ENDLESS), None, ENDLESS.splitlines(keepends=True), cell)
    notebook = {"__name__": "__main__", "pressing_stop": pressing_stop}
    exec(compile(ENDLESS, cell, "exec"), notebook)
    yield notebook["keep_largest"]
    del linecache.cache[cell]


def test_stopping_a_check_says_where_the_answer_was_and_nothing_of_the_courses_own(endless):
    with pytest.raises(KeyboardInterrupt) as stopped:  # so that the cells that wait stop as well
        study.check("keep_largest", endless)
    (shown,) = stopped.value._render_traceback_()
    assert shown.startswith("You stopped keep_largest. It was in line 5: `pressing_stop()`")
    assert "One way to write" in study.solution("keep_largest").plain, "it was a try"
    assert "0 of 1" in repr(study.progress())


def test_stopping_the_cell_after_it_says_the_same(endless):
    with pytest.raises(KeyboardInterrupt) as stopped:
        study.yours_or_ours("keep_largest", endless)
    assert "It was in line 5" in stopped.value._render_traceback_()[0]


def test_later_cells_use_a_right_answer(capsys):
    assert study.yours_or_ours("keep_largest", right) is right
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("reader")
def test_nothing_is_shown_before_a_prediction(capsys):
    study.predict("drop", ...)
    assert not study.predicted("drop")
    assert "First write down your prediction" in capsys.readouterr().out
    study.predict("drop", 5)
    study.predict("drop", 7)
    assert study.predicted("drop")
    study.outcome("drop", 0.42, "points")
    assert "You predicted 7; it is 0.42 points." in capsys.readouterr().out
    study.predict("drop", 0.4)
    assert "Your prediction stays 7" in capsys.readouterr().out
    study.predict("drop", 7)  # its cell is run once more
    assert capsys.readouterr().out == "Noted: 7\n"
    study.outcome("drop", 0.42, "points")
    assert "You predicted 7;" in capsys.readouterr().out


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("guess", [None, [1], "95 %", True, float("nan")])
def test_a_guess_that_is_no_number_is_asked_for_again(guess, capsys):
    study.predict("drop", guess)
    assert "Write a number" in capsys.readouterr().out
    assert not study.predicted("drop")


@pytest.mark.usefixtures("reader")
def test_a_guess_among_choices_is_one_of_them(capsys):
    study.predict("faster", "lenet", choices=("cnn", "resnet8"))
    assert "'cnn', 'resnet8'" in capsys.readouterr().out
    assert not study.predicted("faster")
    study.predict("faster", "cnn", choices=("cnn", "resnet8"))
    assert study.predicted("faster")
    assert not study.predicted("faster", "drop")


def test_where_nobody_reads_everything_is_shown(capsys):
    assert study.predicted("drop")
    study.outcome("drop", 3, "points")
    assert "It is 3 points." in capsys.readouterr().out


def test_a_claim_states_its_figures(monkeypatch):
    monkeypatch.delenv("PRUNING_COURSE_CLAIM_SEEDS", raising=False)
    shown = study.claim(
        "growing",
        lambda seed: {"drop": seed / 10},
        holds=lambda drop: drop.max() < 1,
        says=lambda drop: f"It lost {drop.mean():.1f} points.",
    )
    assert shown.plain == "Over 5 seeds\nIt lost 0.2 points."


def test_a_claim_that_does_not_hold_stops_the_lesson():
    with pytest.raises(claims.ClaimFailed, match="'growing' does not hold on seeds"):
        study.claim("growing", lambda seed: {"x": 2}, lambda x: x.max() < 1, lambda x: "never")


def test_a_claim_runs_on_the_seeds_the_tests_choose(monkeypatch):
    monkeypatch.setenv("PRUNING_COURSE_CLAIM_SEEDS", "7,8")
    seen = []

    def measure(seed):
        seen.append(seed)
        return {"x": seed}

    study.claim("any", measure, lambda x: numpy.all(x > 0), lambda x: "")
    assert seen == [7, 8]


def test_progress_counts_what_is_solved():
    assert "0 of 1" in study.progress_text()
    study.check("keep_largest", half_right)
    assert "1.6 of 2" in study.progress_text()
    study.check("keep_largest", right)
    study.check("keep_largest", half_right)  # the best try counts
    lines = study.progress_text().splitlines()
    assert "Next: count_parameters, in lesson 01." in lines[0]
    assert lines[2].split() == ["00", "·", "Start", "here", "1", "of", "1", "2", "of", "2"]


def test_progress_says_when_all_is_done():
    for name in every():
        log.append("check", name, status="correct", score=1.0)
    assert "All exercises are solved." in study.progress_text()


def test_the_ledger_compares_every_network_with_the_trained_one():
    shown = study.enter("01", "a LeNet instead", models.load("lenet")).plain.splitlines()
    assert shown[2].startswith("00 the trained network")
    assert shown[3].startswith("01 a LeNet instead")
    assert shown[4].startswith("the device's budget")
    dense, lenet = shown[2], shown[3]
    assert dense.count("✓") == 1  # accuracy alone: the device's problem
    assert lenet.count("✓") == 2  # work and time; neither accuracy nor file
    study.enter("01", "a LeNet instead", models.load("lenet"))
    assert len(study.ledger().plain.splitlines()) == len(shown)  # the row is replaced


def test_a_table_has_a_plain_form_in_columns():
    shown = table(["", "points"], [["a", "1"], ["longer", "10"]], "Caption")
    assert repr(shown) == "Caption\n        points\na            1\nlonger      10"
    assert shown._repr_html_().startswith("<table ")
