"""When a question comes back: the days promised, a day's share, and clocks that are wrong."""

import random
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import fsrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.quiz import schedule
from course_utils.quiz.schedule import Answer, day_of, due

START = date(2026, 3, 2)


def day(number):
    return START + timedelta(number)


class Learner:
    """Answers what is asked, on the days on which one comes."""

    def __init__(self, *items, enrolled=START):
        self.enrolled = dict.fromkeys(items, enrolled)
        self.revs = dict.fromkeys(items, 1)
        self.answers = []

    def asked(self, today):
        return schedule.queue(self.enrolled, self.revs, self.answers, today)

    def coming(self, today):
        return schedule.coming(self.enrolled, self.revs, self.answers, today)

    def answer(self, item, today, score=1.0, **more):
        self.answers.append(Answer(item, self.revs[item], today, score, **more))

    def sits(self, today, score=lambda item: 1.0, seconds=lambda: 10.0):
        """All that is asked on one day, in order. `score` says how each answer turns out."""
        asked = []
        while queue := self.asked(today):
            asked.append(queue[0])
            self.answer(queue[0], today, score(queue[0]), seconds=seconds())
            assert len(asked) <= schedule.PROMPTS
        return asked


def names(count, prefix="item"):
    return [f"{prefix}{n:03}" for n in range(count)]


# --- The days promised ----------------------------------------------------------------------------


def test_who_comes_every_day_is_asked_on_days_1_3_7_and_30_and_then_by_fsrs():
    learner = Learner("a")
    came = [number for number in range(400) if learner.sits(day(number))]
    card, by_hand = fsrs.Card(), [1, 3, 7, 30]
    scheduler = fsrs.Scheduler(learning_steps=[], relearning_steps=[], enable_fuzzing=False)
    for number in by_hand:
        moment = datetime.combine(day(number), time(9, 30), UTC)
        card, _ = scheduler.review_card(card, fsrs.Rating.Good, moment)
    by_hand.append((card.due.date() - START).days)
    assert came == by_hand


def test_a_lesson_is_not_asked_about_on_its_own_day():
    learner = Learner("a")
    learner.answer("a", START, 0.0, use="exit")
    assert learner.asked(START) == []
    assert learner.asked(day(1)) == ["a"]


def test_a_quiz_taken_before_the_lesson_was_enrolled_changes_no_date():
    learner = Learner("a")
    learner.answer("a", day(-3), 0.0, use="section")
    assert learner.asked(START) == []
    assert learner.coming(START) == {"a": day(1)}


def test_a_miss_comes_back_in_the_same_sitting_and_again_tomorrow():
    learner = Learner("a", "b", "c")
    tries = []

    def at_the_third_try(item):
        tries.append(item)
        return 1.0 if item != "b" or tries.count("b") == 3 else 0.5

    asked = learner.sits(day(1), at_the_third_try)
    assert sorted(asked[:3]) == ["a", "b", "c"]
    assert asked[3:] == ["b", "b"]
    assert learner.sits(day(2)) == ["b"]
    assert sorted(learner.sits(day(3))) == ["a", "b", "c"]
    assert [n for n in range(4, 31) if learner.sits(day(n))] == [7, 30]


def test_what_was_missed_last_waits_longest_within_a_sitting():
    learner = Learner("a", "b", "c")
    asked = learner.sits(day(1), lambda item: 0.0)
    assert len(asked) == schedule.PROMPTS
    assert all(len(set(asked[n : n + 3])) == 3 for n in range(len(asked) - 2))


def test_missing_every_day_brings_it_back_every_day():
    learner = Learner("a")
    slow = {"score": lambda item: 0.0, "seconds": lambda: 300}
    assert [n for n in range(1, 60) if learner.sits(day(n), **slow)] == [*range(1, 60)]


def test_a_miss_after_the_ladder_comes_back_tomorrow_and_then_sooner_than_before():
    learner = Learner("a")
    for number in range(31):
        learner.sits(day(number))
    far = learner.coming(day(30))["a"]
    scores = iter([0.0, 1.0])
    learner.sits(far, lambda item: next(scores))
    assert learner.coming(far)["a"] == far + timedelta(1)
    learner.sits(far + timedelta(1))
    again = learner.coming(far + timedelta(1))["a"] - far
    assert timedelta(2) <= again < far - day(30)


def test_one_right_answer_a_sitting_is_enough():
    learner = Learner("a")
    assert learner.sits(day(1)) == ["a"]
    assert learner.asked(day(1)) == []


def test_a_lucky_guess_after_the_ladder_comes_back_sooner_than_knowledge():
    def first_after_the_ladder(confidence):
        return due(START, [Answer("a", 1, day(n), 1.0, confidence) for n in schedule.LADDER])

    guessed, known, certain = map(first_after_the_ladder, (1, 2, 3))
    assert day(30) < guessed < known == certain


def test_repeating_a_quiz_counts_once_a_day_and_as_what_was_known_first():
    learner = Learner("a")
    learner.answer("a", day(1), 0.0, use="exit")
    learner.answer("a", day(1), 1.0, use="exit")
    assert learner.coming(day(1)) == {"a": day(2)}
    learner.answer("a", day(2), 1.0, use="exit")
    learner.answer("a", day(2), 0.0, use="exit")
    assert learner.coming(day(2)) == {"a": day(3)}


def test_a_pretest_is_no_review():
    asked_before = Learner("a")
    asked_before.answer("a", START, 0.0, use="pretest", confidence=0)
    others = Learner("a")
    for learner in (asked_before, others):
        for number in schedule.LADDER:
            learner.sits(day(number))
    assert asked_before.coming(day(30)) == others.coming(day(30))


# --- Days missed ----------------------------------------------------------------------------------


def test_who_comes_on_day_5_instead_of_3_is_asked_then_and_on_7_and_30():
    learner = Learner("a")
    came = [n for n in [1, 5, *range(6, 40)] if learner.sits(day(n))]
    assert came == [1, 5, 7, 30]


def test_who_was_away_for_three_weeks_goes_on_with_the_ladder():
    learner = Learner("a")
    came = [n for n in [1, *range(22, 40)] if learner.sits(day(n))]
    assert came == [1, 22, 30]


def test_who_first_comes_after_the_ladder_is_asked_at_once_and_then_by_fsrs():
    learner = Learner("a")
    first = day(50)
    assert learner.sits(first) == ["a"]
    assert first < learner.coming(first)["a"] <= first + timedelta(4)


# --- FSRS -----------------------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(st.integers(1, 90), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 3)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 23),
)
def test_after_the_ladder_dates_are_those_of_the_fsrs_library(reviews, hour):
    """Its own replay of a history, at any hour."""
    answers, logs, when = [], [], day(30)
    for gap, score, confidence in reviews:
        when += timedelta(gap)
        answers.append(Answer("a", 1, when, score, confidence))
        rating = fsrs.Rating.Again
        if score == 1:
            rating = fsrs.Rating.Hard if confidence == 1 else fsrs.Rating.Good
        logs.append(fsrs.ReviewLog(7, rating, datetime.combine(when, time(hour), UTC), None))
    scheduler = fsrs.Scheduler(learning_steps=[], relearning_steps=[], enable_fuzzing=False)
    theirs = scheduler.reschedule_card(fsrs.Card(card_id=7), logs).due.date()
    missed = answers[-1].score < 1
    assert due(START, answers) == (min(theirs, when + timedelta(1)) if missed else theirs)


# --- A day's share --------------------------------------------------------------------------------


def test_twenty_prompts_a_day_and_the_overflow_tomorrow_oldest_first():
    learner = Learner(*names(30, "old"))
    learner.enrolled |= dict.fromkeys(names(15, "new"), day(1))
    learner.revs |= dict.fromkeys(names(15, "new"), 1)
    first, second, third = (learner.sits(day(n)) for n in (2, 3, 4))
    assert [len(first), len(second)] == [20, 20]
    assert all(item.startswith("old") for item in first)
    assert all(item.startswith("old") for item in second[:10])
    assert not set(second[:10]) & set(first)
    assert all(item.startswith("new") for item in second[10:])
    assert set(names(15, "new")) - set(second) <= set(third)


def test_what_is_missed_keeps_its_place_in_the_days_twenty():
    learner = Learner(*names(40))
    asked = learner.sits(day(1), lambda item: 0.0)
    assert len(asked) == 20
    assert len(set(asked)) == 10
    overflow = learner.sits(day(2), lambda item: 0.0)
    assert not set(overflow) & set(asked)


def test_ten_minutes_end_a_day_however_few_the_prompts():
    learner = Learner(*names(30))
    assert len(learner.sits(day(1), seconds=lambda: 60)) == 10
    assert learner.coming(day(1)).keys() == set(names(30))
    assert sum(when <= day(1) for when in learner.coming(day(1)).values()) == 20


def test_a_coffee_break_counts_two_minutes_and_no_more():
    learner = Learner(*names(30))
    assert len(learner.sits(day(1), seconds=lambda: 3600)) == 5


def test_quizzes_in_lessons_use_up_nothing_of_the_days_share():
    learner = Learner(*names(25))
    for item in names(20):
        learner.answer(item, day(1), 1.0, seconds=300, use="section")
    assert sorted(learner.sits(day(1))) == names(25)[20:]


def test_lessons_are_mixed_and_the_order_holds_all_day():
    learner = Learner(*names(10, "a"), *names(10, "b"))
    queue = learner.asked(day(1))
    assert [item[0] for item in queue] not in (["a"] * 10 + ["b"] * 10, ["b"] * 10 + ["a"] * 10)
    for place, item in enumerate(queue):
        assert learner.asked(day(1)) == queue[place:]
        learner.answer(item, day(1))
    assert Learner(*names(10, "a"), *names(10, "b")).asked(day(2)) != queue


# --- A bank that changes --------------------------------------------------------------------------


def test_a_question_that_means_something_new_is_asked_anew():
    learner = Learner("a")
    for number in range(12):
        learner.sits(day(number))
    learner.revs["a"] = 2
    assert [n for n in range(12, 40) if learner.sits(day(n))] == [12, 30]


def test_a_question_added_later_joins_at_once_and_climbs_what_is_left_of_the_ladder():
    learner = Learner("a")
    learner.sits(day(1))
    learner.enrolled["b"], learner.revs["b"] = START, 1
    assert learner.sits(day(2)) == ["b"]
    assert sorted(learner.sits(day(3))) == ["a", "b"]


def test_a_question_that_is_gone_is_not_asked_and_its_prompts_still_count():
    learner = Learner(*names(30))
    first = learner.asked(day(1))[:15]
    for item in first:
        learner.answer(item, day(1))
        del learner.enrolled[item], learner.revs[item]
    assert len(learner.asked(day(1))) == 5
    assert not set(learner.asked(day(2))) & set(first)


# --- Clocks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "zone, moment, expected",
    [
        ("Europe/Sofia", "2026-03-28T23:59", "2026-03-28"),
        ("Europe/Sofia", "2026-03-29T00:01", "2026-03-28"),  # reviewing around midnight is one day
        ("Europe/Sofia", "2026-03-29T02:59", "2026-03-28"),
        ("Europe/Sofia", "2026-03-29T04:00", "2026-03-29"),  # a minute later: 3 o'clock is left out
        ("Europe/Sofia", "2026-10-25T03:59", "2026-10-24"),
        ("Europe/Sofia", "2026-10-25T03:59 again", "2026-10-24"),
        ("Europe/Sofia", "2026-10-25T04:00", "2026-10-25"),
        ("Asia/Seoul", "2026-05-01T03:59", "2026-04-30"),
        ("Asia/Seoul", "2026-05-01T04:00", "2026-05-01"),
        ("America/Los_Angeles", "2027-01-01T03:59", "2026-12-31"),
        ("Asia/Kathmandu", "2026-05-01T04:00", "2026-05-01"),
    ],
)
def test_a_day_ends_at_four_in_the_morning_by_the_learners_own_clock(zone, moment, expected):
    text, _, again = moment.partition(" ")
    local = datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=bool(again))
    assert day_of(local) == date.fromisoformat(expected)
    assert day_of(local.astimezone(UTC).astimezone(ZoneInfo(zone))) == date.fromisoformat(expected)


def test_who_flies_over_the_date_line_into_yesterday_has_done_the_days_share():
    learner = Learner(*names(25), enrolled=day(-1))
    assert len(learner.sits(day(1))) == 20  # in Seoul
    assert learner.asked(day(0)) == []  # in Los Angeles, in the evening before
    assert learner.asked(day(1)) == []
    assert len(learner.sits(day(2))) == 20  # the five left over, then the second rung
    assert len(set(names(25)) - {answer.item for answer in learner.answers}) == 0


def test_who_enrols_in_seoul_and_lands_in_yesterday_is_asked_on_the_day_promised():
    learner = Learner("a", enrolled=day(0))
    assert [n for n in range(-1, 8) if learner.sits(day(n))] == [1, 3, 7]


def test_answers_under_a_clock_a_year_ahead_do_not_spoil_the_days_to_come():
    learner, undisturbed = Learner(*names(25)), Learner(*names(25))
    for each in (learner, undisturbed):
        each.sits(day(1))
    assert len(learner.sits(day(366))) == 20
    for number in range(2, 60):
        today = day(number)
        assert learner.sits(today) == undisturbed.sits(today)


def test_a_lesson_enrolled_under_a_clock_a_year_ahead_begins_when_the_clock_is_right():
    learner = Learner("a", enrolled=day(365))
    assert [n for n in range(5, 60) if learner.sits(day(n))] == [5, 7, 11, 34]


def test_answers_under_a_clock_that_lags_years_behind_change_nothing():
    learner, undisturbed = Learner(*names(5)), Learner(*names(5))
    for number in range(2):
        learner.sits(day(number)), undisturbed.sits(day(number))
    learner.sits(date(2010, 1, 1), lambda item: 0.0)
    for number in range(2, 200):
        assert learner.sits(day(number)) == undisturbed.sits(day(number))


# --- What always holds ----------------------------------------------------------------------------

LIVES = st.fixed_dictionaries(
    {
        "lessons": st.lists(
            st.tuples(st.integers(0, 5), st.integers(1, 25)), min_size=1, max_size=3
        ),
        "comes": st.lists(st.booleans(), min_size=6, max_size=12),
        "knows": st.sampled_from([0.0, 0.3, 0.7, 1.0]),
        "slow": st.sampled_from([5, 40, 200]),
        "seed": st.integers(0, 1000),
    }
)


def live(life):
    """A learner with some lessons after some days, and what was asked on which."""
    learner, chance, sittings = Learner(), random.Random(life["seed"]), {}
    for number, comes in enumerate(life["comes"]):
        for lesson, (since, count) in enumerate(life["lessons"]):
            if since == number:
                items = names(count, f"lesson{lesson} ")
                learner.enrolled |= dict.fromkeys(items, day(number))
                learner.revs |= dict.fromkeys(items, 1)
        if comes:
            sittings[day(number)] = learner.sits(
                day(number),
                lambda item: float(chance.random() < life["knows"]),
                lambda: chance.random() * life["slow"],
            )
    return learner, sittings


@settings(max_examples=30)
@given(LIVES)
def test_no_day_asks_for_more_than_its_share_nor_again_for_what_is_known(life):
    learner, sittings = live(life)
    for today, asked in sittings.items():
        given_today = [answer for answer in learner.answers if answer.day == today]
        assert len(asked) <= 20
        counted = [min(answer.seconds, schedule.LONGEST) for answer in given_today]
        assert sum(counted[:-1]) < 600
        right = [answer.item for answer in given_today if answer.right]
        assert len(right) == len(set(right))
        assert all(learner.enrolled[item] < today for item in asked)


@settings(max_examples=30)
@given(LIVES)
def test_nothing_that_is_due_is_lost(life):
    """Who comes every day from now on is asked all that waits, and in the end nothing waits."""
    learner, _ = live(life)
    today = day(len(life["comes"]))
    waiting = {item for item, when in learner.coming(today).items() if when <= today}
    asked = set()
    for number in range(8):  # at worst 75 questions, at least 10 different ones a day
        asked |= set(learner.sits(today + timedelta(number), lambda item: 0.0))
    assert waiting <= asked


@settings(max_examples=30)
@given(LIVES, st.randoms(use_true_random=False))
def test_dates_are_a_function_of_the_log_alone(life, chance):
    """Two sessions write in any order; the bank may list its questions in any order."""
    learner, _ = live(life)
    other = Learner()
    items = list(learner.enrolled)
    chance.shuffle(items)
    other.enrolled = {item: learner.enrolled[item] for item in items}
    other.revs = {item: learner.revs[item] for item in items}
    of = {item: [answer for answer in learner.answers if answer.item == item] for item in items}
    while queues := [answers for answers in of.values() if answers]:
        other.answers.append(chance.choice(queues).pop(0))
    for ahead in (0, 1, 5):
        today = day(len(life["comes"]) + ahead)
        assert other.asked(today) == learner.asked(today)
        assert other.coming(today) == learner.coming(today)
