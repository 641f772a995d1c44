"""The capstone's board: what is kept, how it is ranked, and what is drawn."""

import pytest

from course_utils import measure, models
from course_utils.data import digits
from course_utils.study import leaderboard, log, submit
from course_utils.study.leaderboard import FRONT, _dense, budgets, reference

pytestmark = pytest.mark.usefixtures("home")


def entry(accuracy, macs=0.2, size=0.1, time=0.5):
    """A row as `submit` would keep it, costs given as shares of the dense network's."""
    dense_macs, dense_bytes = _dense()
    return {
        "accuracy": accuracy,
        "macs": macs * dense_macs,
        "bytes": size * dense_bytes,
        "time": time,
        "milliseconds": 0.1,
        "dense_accuracy": 0.98,
    }


def lines():
    return leaderboard().plain.splitlines()[2:]


def test_an_empty_board_says_how_to_begin():
    assert "submit(name, network)" in leaderboard().plain


def test_a_submitted_network_is_measured_kept_and_drawn(capsys):
    figure = submit(" the dense one ", models.load("cnn"))
    assert "the dense one" in capsys.readouterr().out
    (event,) = log.read("leaderboard")
    assert event.name == "the dense one"
    assert event.data["macs"] == measure.macs(models.load("cnn"), digits().x_val[:1])
    assert "the dense one" in figure.get_supxlabel()
    (line,) = lines()
    assert line.count("100.0 %") >= 2


def test_a_name_that_is_submitted_again_replaces_its_entry():
    for accuracy in (0.9, 0.95):
        log.append("leaderboard", "mine", **entry(accuracy))
    (line,) = lines()
    assert "95.0 %" in line


@pytest.mark.parametrize("name", ["", "  ", None, 3])
def test_a_network_needs_a_name(name):
    with pytest.raises(ValueError, match="give the network a name"):
        submit(name, models.load("cnn"))
    assert log.read("leaderboard") == []


def test_those_within_most_budgets_come_first_and_then_the_better_ones():
    log.append("leaderboard", "good but large", **entry(0.99, macs=0.9, size=0.9, time=0.9))
    log.append("leaderboard", "fits", **entry(0.971))
    log.append("leaderboard", "fits and better", **entry(0.972))
    log.append("leaderboard", "too lossy", **entry(0.969))
    assert [line.split("  ")[0] for line in lines()] == [
        "fits and better",
        "fits",
        "too lossy",
        "good but large",
    ]
    assert [line.count("✓") for line in lines()] == [4, 4, 3, 1]


def test_unbeaten_is_said_cost_by_cost():
    log.append("leaderboard", "a", **entry(0.98, macs=0.2, size=0.3, time=0.5))
    log.append("leaderboard", "b", **entry(0.97, macs=0.1, size=0.3, time=0.6))
    log.append("leaderboard", "twin of a", **entry(0.98, macs=0.2, size=0.3, time=0.5))
    unbeaten = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in lines()}
    assert unbeaten == {"a": "MACs, file, time", "twin of a": "MACs, file, time", "b": "MACs"}


def test_the_reference_is_the_recorded_networks_and_costs_less_to_the_right():
    rows = reference()
    assert [accuracy for accuracy, *_ in rows] == list(FRONT.values())
    macs = [row[1] for row in rows]
    assert macs == sorted(macs, reverse=True)
    most = (0.75, 0.5, 0.25, 0.1, 0.05, 0.02)
    assert all(share <= budget for share, budget in zip(macs, most, strict=True))


def test_the_budgets_are_those_of_the_story():
    macs, size, time = budgets()
    assert macs == pytest.approx(600_000 / 2_444_544)
    assert 0.1 < size < 0.15
    assert time == 0.75
