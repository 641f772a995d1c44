"""What a newer version of a lesson brings, in a line or two, for those who work in an older one.

The older one is the learner's own copy, with answers, outputs and cells of theirs: none of these
may count. It tells all the same what was delivered: `course build` gives a cell of text or code an
id made from its content, and nbgrader gives an exercise a checksum of what was handed out.
"""

import json
import re
from typing import NamedTuple

_MADE_FROM_CONTENT = re.compile(r"[0-9a-f]{12}(-\d+)?")  # as JupyterLab's own ids never are
_STATEMENT = re.compile(r"\*\*Exercise\*\* `(\w+)`")
MOST = 4  # names in a phrase
SAME = ["Its text, code and exercises are the same."]


class Part(NamedTuple):
    """A cell, as it was delivered."""

    id: str
    section: str  # the heading above it, up to a colon: "Step 2"
    source: str
    given: dict  # what nbgrader has written down about it


def changes(old: str, new: str) -> list[str]:
    """Up to three lines on what is different in the notebook `new`; none where `old` is no notebook
    any more."""
    try:
        before, after = _parts(old), _parts(new)
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    changed, had, has = _sections_that_changed(before, after), _sections(before), _sections(after)
    lines = [
        _about_exercises(before, after),
        [
            _listed("new sections", [section for section in has if section not in had]),
            _listed("sections that are gone", [s for s in had if s in changed and s not in has]),
        ],
        [_listed("changed", [s for s in has if s in changed and s in had])],
    ]
    told = ["; ".join(filter(None, phrases)) for phrases in lines]
    return [f"{line[0].upper()}{line[1:]}." for line in told if line] or SAME


def _parts(notebook: str) -> list[Part]:
    parts, section = [], "the beginning"
    for cell in json.loads(notebook)["cells"]:
        source = "".join(cell["source"])
        heading = re.search(r"^## +([^:\n]+)", source, re.M)
        if heading and cell["cell_type"] == "markdown":
            section = heading[1].strip()
        given = cell["metadata"].get("nbgrader", {})
        parts.append(Part(cell.get("id", ""), section, source, given))
    return parts


def _sections(parts: list[Part]) -> list[str]:
    return list(dict.fromkeys(part.section for part in parts))


# --- Exercises ------------------------------------------------------------------------------------


def _about_exercises(before: list[Part], after: list[Part]) -> list[str]:
    """One phrase for those that are new, gone, worth something else, or asked in another way."""
    was, now = _points(before), _points(after)
    worth = [
        f"{name} ({_in_points(now[name])}, was {was[name]:g})"
        for name in now
        if was.get(name, now[name]) != now[name]
    ]
    asked = [n for n in _asked_differently(before, after) if n in was and was[n] == now[n]]
    return [
        _listed("new exercises", [f"{n} ({_in_points(now[n])})" for n in now if n not in was]),
        _listed("exercises that are gone", [name for name in was if name not in now]),
        _listed("other points", worth),
        _listed("asked differently", asked),
    ]


def _points(parts: list[Part]) -> dict[str, float]:
    """What each exercise and each written question is worth, by name."""
    graded = [part.given for part in parts if part.given.get("grade")]
    return {each["grade_id"].removeprefix("check_"): each["points"] for each in graded}


def _in_points(points: float) -> str:
    return f"{points:g} point{'' if points == 1 else 's'}"


def _asked_differently(before: list[Part], after: list[Part]) -> list[str]:
    """The exercises of which the text, or what one begins with, is another."""
    known = _known(before)
    told = [_STATEMENT.findall(part.source) for part in after if _is_news(part, known)]
    begun = {p.given["grade_id"]: p.given.get("checksum") for p in before if p.given}
    named = {
        part.given["grade_id"]
        for part in after
        if part.given.get("solution")
        and begun.get(part.given["grade_id"]) != part.given.get("checksum")
    }
    named.update(name for names in told for name in names)
    return [name for name in _points(after) if name in named]


# --- Text and code --------------------------------------------------------------------------------


def _sections_that_changed(before: list[Part], after: list[Part]) -> set[str]:
    known, kept = _known(before), _known(after)
    come = {part.section for part in after if _is_news(part, known)}
    gone = [part for part in before if _MADE_FROM_CONTENT.fullmatch(part.id)]
    return come | {part.section for part in gone if part.id not in kept}


def _known(parts: list[Part]) -> set[str]:
    """Ids and texts: programs that give cells other ids leave their texts."""
    return {part.id for part in parts} | {part.source for part in parts}


def _is_news(part: Part, known: set[str]) -> bool:
    if part.given:  # the learner's to change, and told from its checksum
        return False
    if _MADE_FROM_CONTENT.fullmatch(part.id):
        return part.id not in known and part.source not in known
    return part.source not in known  # a claim, whose id is its name


def _listed(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = [f"{len(names) - MOST} more"] if len(names) > MOST else []
    shown = names[:MOST] + more
    return f"{what}: " + " and ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))
