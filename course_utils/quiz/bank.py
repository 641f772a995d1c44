"""The questions, as plain data: one YAML file a lesson in bank/, whose format is item.schema.json.

An item's id is permanent and opaque; it is what a learner's answers are remembered by. `rev` says
which meaning of the question was answered: it is raised when the right answer changes. Only
reading is done here; `rules` finds what is wrong with a bank.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import yaml

BANK = Path(__file__).with_name("bank")
CHOICES = ("mcq", "multi", "plot")  # the types that show options to choose from
SAFE_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one where it exists


@dataclass(frozen=True)
class Distractor:
    """A wrong answer that people give, and what to tell them."""

    text: str
    why: str


@dataclass(frozen=True)
class Item:
    id: str
    rev: int
    type: str  # recall, mcq, multi, cloze, numeric, predict or plot
    lesson: str  # "03"
    prompt: str
    answer: str | float | tuple  # multi: the right options; cloze: what each blank admits
    explanation: str = ""
    distractors: tuple[Distractor, ...] = ()
    use: tuple[str, ...] = ()  # pretest, section, exit, review, graded
    place: str = ""  # the heading in the lesson, or its beginning: "Step 3"
    concepts: tuple[str, ...] = ()
    misconceptions: tuple[str, ...] = ()
    tolerance: float = 0.0  # of a number, in its own unit
    unit: str = ""
    points: float = 1.0  # in a graded quiz
    alt: str = ""  # what a plot shows, for those who do not see it
    draw: str = ""  # code that leaves a `figure`
    verify: str = ""  # code that leaves the `answer`; of a predict item: code that prints it
    picture: Path | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The right ones first. Show them in the order of `shown`."""
        right = self.answer if self.type == "multi" else (self.answer,)
        return (*right, *(d.text for d in self.distractors)) if self.type in CHOICES else ()

    def shown(self, salt: str = "") -> list[int]:
        """The options' indices in an order that gives nothing away; the same for the same salt."""
        order = list(range(len(self.options)))
        random.Random(f"{self.id} {salt}").shuffle(order)
        return order


def load(folder: Path | None = None) -> dict[str, Item]:
    """All items by id, in the order of the lessons, and within a lesson as they are written. The
    course's own bank, or another one."""
    return dict(_load(folder or BANK))


def select(lesson: str, use: str, place: str = "", folder: Path | None = None) -> list[Item]:
    """A lesson's items for one use; of a section, those that belong to this place."""
    return [
        item
        for item in load(folder).values()
        if item.lesson == lesson and use in item.use and _at(place, item.place)
    ]


def _at(place: str, heading: str) -> bool:
    """Whether a heading begins with this place: "Step 1: ..." does with "Step 1", "Step 10" not."""
    return not place or bool(re.match(rf"{re.escape(place)}(?!\w)", heading))


def changed(folder: Path | None = None) -> dict[str, datetime]:
    """When each item's content last changed. The register says it to the second, so that a second
    edit on the same day is later than the first; a bank without one has only its files' times."""
    folder = folder or BANK
    register = folder / "register.yaml"
    recorded = {}
    if register.exists():
        recorded = yaml.load(register.read_text(encoding="utf-8"), Loader=SAFE_LOADER) or {}
    times = {}
    for path in _files(folder):
        saved = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        for item in read(path):
            entry = recorded.get(item.id)
            times[item.id] = _moment(entry["changed"]) if entry else saved
    return times


def _moment(written) -> datetime:
    moment = datetime.fromisoformat(str(written))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@cache
def _load(folder: Path) -> dict[str, Item]:
    return {item.id: item for path in _files(folder) for item in read(path)}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9]_*.yaml"))


def read(path: Path) -> list[Item]:
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)
    return [make(entry, content["lesson"], path.parent) for entry in content["items"]]


def make(entry: dict, lesson: str, folder: Path) -> Item:
    """An item from what stands in the file."""
    picture = folder / "pictures" / f"{entry['id']}.png"
    item = Item(**{**entry, "lesson": lesson, "picture": picture if "draw" in entry else None})
    return replace(
        item,
        prompt=item.prompt.strip(),
        answer=_frozen(item.answer),
        explanation=item.explanation.strip(),
        distractors=tuple(Distractor(str(d["text"]), d["why"]) for d in item.distractors),
        **{field: tuple(getattr(item, field)) for field in ("use", "concepts", "misconceptions")},
    )


def _frozen(answer):
    if isinstance(answer, Sequence) and not isinstance(answer, str):
        return tuple(map(_frozen, answer))
    return answer.strip() if isinstance(answer, str) else answer
