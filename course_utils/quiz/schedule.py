"""When a question comes back. Nothing is stored but what happened: every date is worked out anew
from the log, so that two sessions at once, a killed kernel or a new rule cannot leave it wrong.

A fixed ladder first: 1, 3, 7 and 30 days after the lesson, whatever is answered (the plan of the
field notes; Cepeda et al. 2008 for why the distances grow). A miss comes back tomorrow as well.
When the ladder is climbed, FSRS takes over with all that has been answered so far.

Days are the learner's own calendar days, written down when something happens; travelling or a
change to summer time moves none of them.
"""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import fsrs

LADDER = (1, 3, 7, 30)
PROMPTS, SECONDS = 20, 600  # the most a day asks for
LONGEST = 120  # seconds that count for one prompt: after that one has gone for coffee
NIGHT = timedelta(hours=4)  # a day ends when people sleep
DAY = timedelta(1)


@dataclass(frozen=True)
class Answer:
    item: str
    rev: int
    day: date
    score: float
    confidence: int = 2  # 1 a guess, 2 fairly sure, 3 certain
    seconds: float = 0.0
    use: str = "review"

    @property
    def right(self) -> bool:
        return self.score == 1


def day_of(moment: datetime) -> date:
    """The learner's day; `moment` carries its own time zone."""
    return (moment.replace(tzinfo=None) - NIGHT).date()


def queue(
    enrolled: dict[str, date], revs: dict[str, int], answers: Iterable[Answer], today: date
) -> list[str]:
    """The ids to ask today, in order: what has waited longest first, and what was missed today once
    more at the end. Empty when today's twenty prompts or ten minutes are used up; what is left over
    comes first tomorrow.

    `enrolled` says since when each question is reviewed, `revs` which meaning of it is asked now:
    answers to another one do not count.
    """
    answers = _believed(answers, today)
    done = [answer for answer in answers if answer.day == today and answer.use == "review"]
    left = PROMPTS - len(done)
    if left <= 0 or sum(min(answer.seconds, LONGEST) for answer in done) >= SECONDS:
        return []
    days = coming(enrolled, revs, answers, today)
    asked = {answer.item: place for place, answer in enumerate(done)}  # when last
    waiting = [item for item, day in days.items() if day <= today]
    fresh = [item for item in waiting if item not in asked]
    fresh.sort(key=lambda item: (days[item], _lot(item, today)))  # lessons mixed, the same all day
    again = sorted((item for item in waiting if item in asked), key=asked.get)
    return (fresh[: max(0, left - len(again))] + again)[:left]


def coming(
    enrolled: dict[str, date], revs: dict[str, int], answers: Iterable[Answer], today: date
) -> dict[str, date]:
    """The day on which each question comes next: until today if it is waiting."""
    of: dict[str, list[Answer]] = {item: [] for item in enrolled}
    for answer in _believed(answers, today):
        if answer.item in of and answer.rev == revs[answer.item] and answer.use != "pretest":
            of[answer.item].append(answer)
    return {item: _next(enrolled[item], given, today) for item, given in of.items()}


def due(enrolled: date, answers: Sequence[Answer]) -> date:
    """The day after these answers to it, oldest first, on which a question comes back."""
    if not answers:
        return enrolled + timedelta(LADDER[0])
    firsts = _first_of_each_day(answers)
    last = firsts[-1]
    if not last.right:
        return last.day + DAY
    rungs = [enrolled + timedelta(days) for days in LADDER]
    ahead = [rung for rung in rungs if rung > last.day]
    return ahead[0] if ahead else _after_the_ladder(firsts)


def _next(enrolled: date, given: list[Answer], today: date) -> date:
    if enrolled > today + DAY:  # the clock was wrong when the lesson was enrolled: begin now
        enrolled = min([today, *(answer.day for answer in given)]) - DAY
    given = [answer for answer in given if answer.day >= enrolled]
    now = [answer for answer in given if answer.day == today and answer.use == "review"]
    if now and not any(answer.right for answer in now):
        return today
    return due(enrolled, given)


def _believed(answers: Iterable[Answer], today: date) -> list[Answer]:
    """Without what a wrong clock dated ahead. One day ahead is no mistake: who flies over the date
    line has yesterday again, and has done today's share."""
    return [
        answer if answer.day <= today else replace(answer, day=today)
        for answer in answers
        if answer.day <= today + DAY
    ]


def _lot(item: str, today: date) -> float:
    return random.Random(f"{today} {item}").random()


def _first_of_each_day(answers: Sequence[Answer]) -> list[Answer]:
    """What one still knew; repeating it a minute later proves nothing."""
    firsts: dict[date, Answer] = {}
    for answer in answers:
        firsts.setdefault(answer.day, answer)
    return [firsts[day] for day in sorted(firsts)]


def _after_the_ladder(firsts: Sequence[Answer]) -> date:
    scheduler = fsrs.Scheduler(learning_steps=(), relearning_steps=(), enable_fuzzing=False)
    card = fsrs.Card(card_id=0)
    for answer in firsts:
        noon = datetime.combine(answer.day, time(12), UTC)
        card, _ = scheduler.review_card(card, _rating(answer), noon)
    return card.due.date()


def _rating(answer: Answer) -> fsrs.Rating:
    if answer.score < 1:
        return fsrs.Rating.Again
    return fsrs.Rating.Hard if answer.confidence == 1 else fsrs.Rating.Good
