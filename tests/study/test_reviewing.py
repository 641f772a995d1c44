"""Learners over weeks, with a clock that can be set: what is asked when, from the log alone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import yaml

from course_utils.quiz import bank
from course_utils.quiz.judge import BadAnswer
from course_utils.study import log, reviewing


def entry(id_, rev=1, use=("review",)):
    return {
        "id": id_,
        "rev": rev,
        "type": "mcq",
        "use": [*use],
        "place": "Step 1",
        "concepts": ["sparsity"],
        "prompt": f"What about {id_}?",
        "answer": "this",
        "explanation": "Because.",
        "distractors": [{"text": "that", "why": "No."}, {"text": "those", "why": "No."}],
    }


@pytest.fixture
def questions(tmp_path, monkeypatch):
    """Sets the questions of the bank, by lesson; each time as a new edition of the course."""
    editions = iter(range(100))

    def set_to(**lessons):
        folder = tmp_path / f"edition {next(editions)}"
        folder.mkdir()
        for name, items in lessons.items():
            lesson = name.removeprefix("lesson")
            text = yaml.safe_dump({"lesson": lesson, "items": items}, allow_unicode=True)
            (folder / f"{lesson}_some.yaml").write_text(text, encoding="utf-8")
        monkeypatch.setattr(bank, "BANK", folder)

    return set_to


class Clock:
    def __init__(self):
        self.set("2026-03-02T18:00", "Europe/Sofia")

    def set(self, moment, zone=None):
        self.zone = ZoneInfo(zone) if zone else self.zone
        self.moment = datetime.fromisoformat(moment).replace(tzinfo=self.zone).astimezone(UTC)

    def now(self):
        return self.moment.astimezone(self.zone)

    def days_pass(self, days=1):
        """To the same time by the clock on the wall, whatever happened to it in the night."""
        later = self.now().replace(tzinfo=None) + timedelta(days)
        self.moment = later.replace(tzinfo=self.zone).astimezone(UTC)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(reviewing, "now", clock.now)
    monkeypatch.setattr(log, "now", clock.now)
    return clock


def sit(clock, given=lambda item: 0, seconds=20):
    """Answers all that is asked now; the ids, in order."""
    asked = []
    while due := reviewing.due_today():
        asked.append(due[0].id)
        reviewing.answer(due[0], given(due[0]), 3, seconds)
        clock.moment += timedelta(seconds=seconds)
    return asked


def ids(count, prefix="q"):
    return [f"{prefix}{n:05}" for n in range(count)]


# --- Sixty days -----------------------------------------------------------------------------------


def test_sixty_days_with_two_lessons_and_a_miss(questions, clock):
    questions(
        lesson90=[*map(entry, ids(3, "a")), entry("nope00", use=["section"])],
        lesson91=[*map(entry, ids(2, "b"))],
    )
    missed, days = [], {}
    for number in range(60):
        if number in (0, 10):
            reviewing.enrol("90" if number == 0 else "91")

        def given(item, number=number):
            if item.id == "a00001" and number == 7 and not missed:
                missed.append(number)
                return 1
            return 0

        days[number] = sit(clock, given)
        clock.days_pass()
    assert missed == [7]
    asked_on = {id_: [n for n, asked in days.items() if id_ in asked] for id_ in bank.load()}
    assert asked_on["a00000"] == asked_on["a00002"] == [1, 3, 7, 30]
    assert asked_on["a00001"][:5] == [1, 3, 7, 8, 30]
    assert sorted(days[7]) == ["a00000", "a00001", "a00001", "a00002"]
    assert days[7][-1] == "a00001"
    assert asked_on["b00000"] == asked_on["b00001"] == [11, 13, 17, 40]
    assert asked_on["nope00"] == []


def test_forty_five_questions_are_asked_in_three_days_oldest_first(questions, clock):
    questions(lesson90=[*map(entry, ids(30, "a"))], lesson91=[*map(entry, ids(15, "b"))])
    reviewing.enrol("90")
    clock.days_pass()
    reviewing.enrol("91")
    clock.days_pass()
    first = sit(clock)
    assert reviewing.answered_today() == len(first) == 20
    assert reviewing.next_day() < reviewing.today()
    clock.days_pass()
    second = sit(clock)
    assert sorted(first + second[:10]) == ids(30, "a")
    assert len(second) == 20
    assert {id_[0] for id_ in second[10:]} == {"b"}


def test_ten_minutes_are_enough_for_a_day(questions, clock):
    questions(lesson90=[*map(entry, ids(30))])
    reviewing.enrol("90")
    clock.days_pass()
    assert len(sit(clock, seconds=100)) == 6


# --- Time zones and clocks ------------------------------------------------------------------------

NIGHTS = {  # (moment, zone) of each sitting, and the learner's day that it belongs to
    "summer time begins, an owl": [
        ("2026-03-27T23:50", "Europe/Sofia", 1),
        ("2026-03-29T02:50", "Europe/Sofia", 2),  # still the night of the 28th
        ("2026-03-29T04:00", "Europe/Sofia", 3),  # ten minutes later by the sun
        ("2026-03-30T03:59", "Europe/Sofia", 3),
        ("2026-04-03T00:30", "Europe/Sofia", 7),
    ],
    "summer time ends": [
        ("2026-10-24T22:00", "Europe/Sofia", 1),
        ("2026-10-25T03:30", "Europe/Sofia", 1),
        ("2026-10-25T23:00", "Europe/Sofia", 2),
        ("2026-10-27T03:00", "Europe/Sofia", 3),
        ("2026-10-30T05:00", "Europe/Sofia", 7),
    ],
    "Seoul to Los Angeles and back": [
        ("2026-05-02T09:00", "Asia/Seoul", 1),
        ("2026-05-02T06:00", "America/Los_Angeles", 1),  # after eleven hours, and earlier
        ("2026-05-03T20:00", "America/Los_Angeles", 2),
        ("2026-05-04T23:59", "America/Los_Angeles", 3),
        ("2026-05-08T18:00", "Asia/Seoul", 7),
    ],
    "a night at the date line": [
        ("2026-05-02T05:00", "Pacific/Auckland", 1),
        ("2026-05-01T18:00", "Pacific/Honolulu", 0),
        ("2026-05-04T12:00", "Pacific/Auckland", 3),
        ("2026-05-08T12:00", "Pacific/Apia", 7),
    ],
}


@pytest.mark.parametrize("name", NIGHTS)
def test_zones_and_summer_time_move_no_day(questions, clock, name):
    questions(lesson90=[*map(entry, ids(2))])
    first, zone, _ = NIGHTS[name][0]
    enrolled = date.fromisoformat(first[:10]) - timedelta(1)
    clock.set(f"{enrolled}T15:00", zone)
    assert reviewing.enrol("90") == enrolled
    asked_on = []
    for moment, zone, number in NIGHTS[name]:
        clock.set(moment, zone)
        assert reviewing.today() == enrolled + timedelta(number)
        if asked := sit(clock):
            assert sorted(asked) == ids(2)
            asked_on.append(number)
    assert asked_on == [1, 3, 7]


def test_a_sitting_over_four_in_the_morning_goes_on(questions, clock):
    questions(lesson90=[*map(entry, ids(3))])
    reviewing.enrol("90")
    clock.set("2026-03-04T03:59", "Europe/Sofia")
    assert sorted(sit(clock, seconds=50)) == ids(3)
    assert reviewing.next_day() == date(2026, 3, 5)  # two were asked on the 3rd, one on the 4th


def test_a_clock_a_year_ahead_for_one_evening_does_no_harm(questions, clock):
    questions(lesson90=[*map(entry, ids(25))])
    reviewing.enrol("90")
    right = clock.moment
    clock.days_pass(366)
    assert len(sit(clock)) == 20
    clock.moment = right
    days = []
    for _ in range(35):
        days.append(len(sit(clock)))
        clock.days_pass()
    assert days[:5] == [0, 20, 5, 20, 5]
    assert [n for n, count in enumerate(days) if count] == [1, 2, 3, 4, 7, 8, 30, 31]


# --- A course that changes ------------------------------------------------------------------------


def test_a_lesson_enrolled_twice_keeps_its_first_day(questions, clock):
    questions(lesson90=[entry("a00000")])
    first = reviewing.enrol("90")
    clock.days_pass(2)
    assert reviewing.enrol("90") == first == date(2026, 3, 2)
    assert len(log.read("enrol")) == 1
    assert sit(clock) == ["a00000"]


def test_two_notebooks_that_enrol_at_once_agree_on_the_first_day(questions, clock):
    questions(lesson90=[entry("a00000")])
    for number in (2, 1):
        log.append("enrol", "90", day=f"2026-03-0{number}")
    assert reviewing.enrolments() == {"90": date(2026, 3, 2)}


def test_a_new_edition_asks_what_is_new_or_means_something_else_and_drops_what_is_gone(
    questions, clock
):
    questions(lesson90=[entry("same00"), entry("means0"), entry("gone00")])
    reviewing.enrol("90")
    clock.days_pass()
    assert len(sit(clock)) == 3
    questions(lesson90=[entry("same00"), entry("means0", rev=2), entry("added0")])
    assert sorted(sit(clock)) == ["added0", "means0"]
    clock.days_pass(2)
    assert sorted(sit(clock)) == ["added0", "means0", "same00"]


def test_an_old_answer_is_shown_again_only_while_the_question_means_the_same(questions, clock):
    questions(lesson90=[entry("a00000")])
    (item,) = bank.load().values()
    assert reviewing.last_answer(item, "section") is None
    reviewing.answer(item, 1, 2, 5, use="section")
    reviewing.answer(item, 0, 3, 5, use="section", words="so it is")
    reviewing.answer(item, 2, 1, 5, use="review")
    last = reviewing.last_answer(item, "section")
    assert (last["answer"], last["confidence"], last["words"]) == (0, 3, "so it is")
    questions(lesson90=[entry("a00000", rev=2)])
    assert reviewing.last_answer(bank.load()["a00000"], "section") is None


def test_what_is_no_answer_is_not_written_down(questions, clock):
    questions(lesson90=[entry("a00000")])
    reviewing.enrol("90")
    clock.days_pass()
    with pytest.raises(BadAnswer):
        reviewing.answer(reviewing.due_today()[0], 7, 3, 5)
    assert log.read("answer") == []
    assert reviewing.answered_today() == 0


# --- What to say at the end -----------------------------------------------------------------------


def test_the_end_says_how_to_begin_when_nothing_is_enrolled(questions, clock):
    questions(lesson90=[entry("a00000")])
    assert reviewing.due_today() == []
    assert reviewing.next_day() is None
    assert "enrols" in reviewing.ending()[1]


def test_the_end_says_when_the_next_questions_come(questions, clock):
    questions(lesson90=[entry("a00000")])
    reviewing.enrol("90")
    title, when = reviewing.ending()
    assert title == "Nothing is due today"
    assert "Tuesday" in when and "3 March 2026" in when
    clock.days_pass()
    sit(clock)
    title, when = reviewing.ending()
    assert title.startswith("Well done")
    assert "5 March 2026" in when


def test_the_end_of_a_days_share_says_that_the_rest_comes_tomorrow(questions, clock):
    questions(lesson90=[*map(entry, ids(21))])
    reviewing.enrol("90")
    clock.days_pass()
    sit(clock)
    assert reviewing.ending()[0] == "Enough for today"
    assert reviewing.ending()[-1] == "The rest comes first tomorrow."
