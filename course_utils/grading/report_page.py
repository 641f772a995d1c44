"""The class report as one page that needs nothing but itself: no script, no font, no address.

Counts nothing; `report` does. Whatever is not made by `tag` is escaped by `tag`, and a policy in
the page's head forbids what could run or load all the same. Pictures say by shape what they say by
colour, and stand beside tables that say the same.
"""

import base64
import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape

from course_utils.grading import report
from course_utils.grading.report import (
    BY_HAND,
    DURATIONS,
    EMPTY,
    EXERCISES,
    FEW,
    PARTLY,
    RIGHT,
    SHARED,
    SIGNS,
    STATES,
    UNGRADED,
    WRONG,
    Findings,
    Points,
    Result,
    Student,
    Tally,
)
from course_utils.study.panels import marked

OURS = '<meta name="generator" content="course class report">'


class Html(str):
    """Text that is HTML already."""


def tag(name: str, /, *inside: object, **attributes: object) -> Html:
    """An element; what is inside is escaped unless it is `Html`.

    >>> tag("p", "1 < 2", class_="small")
    '<p class="small">1 &lt; 2</p>'
    """
    known = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("meta", "rect", "line"):
        return Html(f"<{name}{known}>" if name == "meta" else f"<{name}{known}/>")
    return Html(f"<{name}{known}>{joined(inside)}</{name}>")


def joined(parts: Iterable[object]) -> Html:
    return Html("".join(p if isinstance(p, Html) else escape(report.tame(p)) for p in parts))


# --- The page -------------------------------------------------------------------------------------


def page(found: Findings, names: bool) -> str:
    counted = report.tallies(found, names)
    title = f"Assignment {found.assignment} of {found.course}"
    whose = "with names: for you alone" if names else "without names"
    made = f"Made {datetime.now():%Y-%m-%d %H:%M}, {whose}."
    parts = [tag("h1", title), tag("p", report.headline(found), " ", made, class_="quiet whole")]
    parts += _start(found, counted, names)
    if found.graded:
        parts += _exercises(counted)
        parts += _points(report.points(found, counted))
        parts += _who(found, names)
        parts += _messages(counted)
    parts += _outside(found, names)
    parts += _time(found)
    parts += _rules(names)
    return _document(title, joined(parts))


def _document(title: str, body: Html) -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = [
        Html('<meta charset="utf-8">'),
        Html(OURS),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        Html(f"<style>{_STYLE}</style>"),
    ]
    html = tag("html", tag("head", *head), tag("body", _PATTERNS, tag("main", body)), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def _start(found: Findings, counted: list[Tally], names: bool) -> Iterator[Html]:
    waiting = [tag("li", Html(marked(line))) for line in report.to_do(found, counted, names)]
    topics = [tag("li", *_topic(one)) for one in report.to_explain(counted)]
    if found.graded:
        yield tag("h2", "Start here")
        if topics:
            yield tag("h3", "To explain again")
            yield tag("ol", *topics, class_="topics")
        else:
            yield tag("p", "No answer that was checked is wrong.")
        others = [tag("li", line) for line in report.remarks(found, counted)]
        if others:
            yield tag("ul", *others)
    if waiting:
        yield tag("h3", "For you to do")
        yield tag("ul", *waiting)


def _topic(one: Tally) -> Iterator[Html]:
    yield tag("p", tag("strong", one.exercise.name), " is ", report.verdict(one))
    for message in one.messages[:2]:
        yield _quote(*message)
    if one.groups:
        yield tag("p", report.kinds(one), class_="quiet")


def _quote(text: str, count: int) -> Html:
    said = Html(marked(report.cut(text, 600)))
    return tag(
        "blockquote",
        tag("b", f"{report.several(count, 'student')}: "),
        tag("span", said, dir="auto"),
    )


def _exercises(counted: list[Tally]) -> Iterator[Html]:
    yield tag("h2", "Exercises")
    rows = report.exercise_rows(counted)
    drawn = [[*row[:3], _shares(one), *row[3:]] for row, one in zip(rows, counted, strict=True)]
    heads = [*EXERCISES[:3], "", *(joined([_swatch(s), s]) for s in STATES)]
    yield _table(heads, drawn)
    yield tag(
        "p",
        "Students in each state; points possible, and on average of those with a verdict. ",
        "“Partly” has some of the points; “not graded” could not be graded.",
        class_="quiet",
    )


def _points(spread: Points) -> Iterator[Html]:
    yield tag("h2", "Points")
    yield tag("p", report.about_points(spread))
    if spread.scores and spread.of > 0:
        yield _histogram(spread)


def _who(found: Findings, names: bool) -> Iterator[Html]:
    yield tag("h2", "Who did what")
    if len(found.graded) < FEW and not names:
        yield tag(
            "p",
            f"With fewer than {FEW} results, a picture with a row for each student would as good ",
            "as name them; with --names it is here. What stands above says much about each of ",
            "them too: think before you pass this page on.",
        )
        return
    yield tag(
        "p",
        "A row is a student, the best on top, and a column an exercise. A column with gaps from ",
        "high up is hard for everybody; one with gaps only low down, for those who need more help.",
    )
    yield tag("p", *(tag("span", _swatch(s), f" {_MEANING[s]}") for s in STATES), class_="legend")
    yield tag("div", _matrix(found, names), class_="wide")
    yield tag("p", "The same in figures: the share of the points that parts of the class have.")
    yield _table(*report.quarters(found))
    if names:
        yield tag("details", tag("summary", "Everybody, with names"), _by_name(found))


_MEANING = {
    RIGHT: "right",
    PARTLY: "partly: as long as its share of the points",
    WRONG: "wrong",
    EMPTY: "not attempted",
    UNGRADED: "could not be graded",
    BY_HAND: "to grade by hand",
}


def _by_name(found: Findings) -> Html:
    names = [exercise.name for exercise in found.exercises]
    heads = ["student", "name", "handed in (UTC)", "points", *map(_breakable, names), "remarks"]
    rows = []
    for one in found.graded:
        who = [tag("bdi", one.id), tag("bdi", one.name), one.standing.submitted]
        cells = [_in_words(result) for result in one.results]
        said = "; ".join(filter(None, [_late(one), *one.standing.problems()]))
        remarks = tag("div", report.cut(report.one_line(said), 300), class_="remarks")
        rows.append([*who, one.standing.points_text(), *cells, remarks if said else ""])
    return _table(heads, rows, texts=3)


def _late(one: Student) -> str:
    return (
        f"{report.number(one.standing.penalty)} off for being late" if one.standing.penalty else ""
    )


def _in_words(result: Result) -> str:
    got = "" if result.state in (EMPTY, UNGRADED, BY_HAND) else f" {report.number(result.points)}"
    return f"{SIGNS[result.state]}{got}"


def _breakable(name: str) -> Html:
    return joined(joined([part, Html("<wbr>")]) for part in name.replace("_", "_ ").split())


def _messages(counted: list[Tally]) -> Iterator[Html]:
    yield tag("h2", "What was wrong")
    for one in counted:
        inside = list(_details(one))
        if inside:
            failed = f": {one.failed} of {one.tried} not right" if one.failed else ""
            yield tag("details", tag("summary", tag("b", one.exercise.name), failed), *inside)


_MOST = 15  # messages of one exercise


def _details(one: Tally) -> Iterator[Html]:
    for message in one.messages[:_MOST]:
        yield _quote(*message)
    more = sum(count for _, count in one.messages[_MOST:])
    if more:
        yield tag("p", f"{report.several(more, 'student')} with rarer messages.", class_="quiet")
    if one.withheld:
        others = report.several(one.withheld, "student")
        yield tag("p", f"{others} with messages in words of their own.", class_="quiet")
    if one.groups:
        heads = ["where it failed", "students", "of those, partly right"]
        yield _table(heads, [list(row) for row in one.groups])


def _outside(found: Findings, names: bool) -> Iterator[Html]:
    if not names or not any(group for group, _ in report.outside(found)):
        return
    yield tag("h2", "Not in the tables")
    for group, what in report.outside(found):
        if group:
            who = [joined([tag("bdi", one.id), f" {one.name}".rstrip()]) for one in group]
            listed = joined(joined([", " if n else "", one]) for n, one in enumerate(who))
            yield tag("p", tag("b", f"{what} ({len(group)}): "), listed)


def _time(found: Findings) -> Iterator[Html]:
    yield tag("h2", "How long it took")
    if found.graded:
        yield _table(DURATIONS, report.durations(found))
    yield tag("p", Html(marked(report.about_run(found.run))))
    if found.run:
        yield _table(["of that", ""], report.run_parts(found.run))


def _rules(names: bool) -> Iterator[Html]:
    yield tag("h2", "About this page")
    if names:
        yield tag("p", "It holds names and what students wrote. Without --names it does not.")
    else:
        yield tag(
            "p",
            "It holds no names, no ids and no times of handing in. A message can contain what a ",
            "student wrote, so only those are shown whose words are all the course's own, or that ",
            f"at least {SHARED} students got word for word; none with anybody's name in it. Of ",
            "others you see the kinds of cases that failed. Rows are in the order of points: who ",
            "knows somebody's points may find the row. With --names everything is shown.",
        )


def _table(heads: list, rows: list[list], texts: int = 1) -> Html:
    """The first columns are text, the others numbers."""

    def line(cells: list, name: str) -> Html:
        of = [
            tag(
                name, cell, class_=None if n < texts else "n", scope="col" if name == "th" else None
            )
            for n, cell in enumerate(cells)
        ]
        return tag("tr", *of)

    body = tag("tbody", *(line(row, "td") for row in rows))
    return tag("div", tag("table", tag("thead", line(heads, "th")), body), class_="wide")


# --- The pictures ---------------------------------------------------------------------------------

_CLASS = dict(zip(STATES, ("right", "partly", "wrong", "empty", "ungraded", "waits"), strict=True))

_PATTERNS = Html(
    '<svg width="0" height="0" class="defs" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect class="line" width="1.6" height="5"/></pattern>'
    '<pattern id="dots" width="4" height="4" patternUnits="userSpaceOnUse">'
    '<rect class="line" x="1" y="1" width="1.6" height="1.6"/></pattern>'
    "</defs></svg>"
)


def _svg(width: float, height: float, *inside: Html, says: str = "") -> Html:
    """`says` is what one hears in place of the picture."""
    hidden = {"aria_hidden": "true"} if not says else {"role": "img", "aria_label": says}
    size = {"width": f"{width:g}", "height": f"{height:g}", "viewBox": f"0 0 {width:g} {height:g}"}
    return tag("svg", *inside, **size, **hidden)


def _rect(x: float, y: float, width: float, height: float, kind: str) -> Html:
    where = {"x": x, "y": y, "width": width, "height": height}
    return tag("rect", class_=kind, **{key: f"{value:.4g}" for key, value in where.items()})


def _text(x: float, y: float, words: object, kind: str | None = None) -> Html:
    return tag("text", words, x=f"{x:.4g}", y=f"{y:.4g}", class_=kind)


def _mark(state: str, share: float, x: float, y: float, width: float, height: float) -> Html:
    """A result: each state has a shape of its own, so that colour is not needed to tell them."""
    if state == EMPTY:
        return Html("")
    if state == PARTLY:
        width *= min(max(share, 0.06), 0.94)
    elif state == WRONG:
        x, width = x + 0.4 * width, 0.2 * width
    return _rect(x, y, width, height, _CLASS[state])


def _swatch(state: str) -> Html:
    return _svg(26, 12, _rect(0, 0, 26, 12, "track"), _mark(state, 0.5, 0, 0, 26, 12))


def _shares(one: Tally) -> Html:
    """A bar with a part for each state, as long as its number of students."""
    everybody = sum(one.states.values())
    width, at, parts = 180, 0.0, []
    for state in STATES:
        length = width * one.states[state] / everybody
        if length:
            parts.append(_rect(at, 0, length, 14, _CLASS[state]))
            parts.append(_rect(at + length - 0.5, 0, 1, 14, "gap"))
        at += length
    return _svg(width, 14, _rect(0, 0, width, 14, "track"), *parts)


def _matrix(found: Findings, names: bool) -> Html:
    """Rows of students, columns of exercises, and the sum of points."""
    rows, exercises = found.graded, found.exercises
    high = min(16, max(2, 1200 // len(rows)))
    labelled = names and high >= 12
    left, top = (170 if labelled else 44), 48
    wide = min(110, max(66, (770 - left) // max(1, len(exercises))))
    total, right = 110, left + wide * len(exercises) + 14
    bottom = top + high * len(rows)
    parts = []
    for n, exercise in enumerate(exercises):
        x = left + n * wide
        parts += [
            _text(x, top - 8 - 12 * k, words, "head")
            for k, words in enumerate(_lines(exercise.name, wide))
        ]
        parts.append(_rect(x, top, wide - 6, bottom - top, "track"))
    parts.append(_text(right, top - 8, f"points of {report.number(found.of)}"))
    parts.append(_rect(right, top, total, bottom - top, "track"))
    every = (
        1
        if high >= 12
        else next(step for step in (1, 5, 10, 20, 50, 100, 200, 500) if step * high >= 30)
    )
    for n, one in enumerate(rows):
        y, gap = top + n * high, 1 if high >= 6 else 0
        cells = [
            _mark(r.state, r.points / e.of if e.of else 1, left + k * wide, y, wide - 6, high - gap)
            for k, (r, e) in enumerate(zip(one.results, exercises, strict=True))
        ]
        share = min(1.0, one.so_far / found.of) if found.of else 0
        cells.append(_rect(right, y, total * share, high - gap, "sum"))
        parts.append(tag("g", tag("title", _tooltip(found, n, names)), *cells))
        if labelled:
            label = report.cut(report.one_line(one.name or one.id), 24)
            parts.append(_text(left - 8, y + high - 4, label, "end"))
        if n % every == 0 or (n == len(rows) - 1 and n % every > every / 2):
            if not labelled:
                parts.append(_text(left - 8, y + min(high, 12) - 1, n + 1, "end"))
            parts.append(_text(right + total + 6, y + min(high, 12) - 1, _sum(one)))
    says = (
        f"{report.several(len(rows), 'student')} as rows, the best on top, and "
        f"{report.several(len(exercises), 'exercise')} as columns; "
        "the table below says how parts of the class did."
    )
    return _svg(right + total + 50, bottom + 6, *parts, says=says)


def _sum(one: Student) -> str:
    return f"{report.number(one.so_far)}{'' if one.standing.points is not None else ' ?'}"


def _tooltip(found: Findings, n: int, names: bool) -> str:
    one = found.graded[n]
    who = f"{one.id} {one.name}".strip() if names else f"row {n + 1}"
    parts = [f"{e.name} {r.state}" for r, e in zip(one.results, found.exercises, strict=True)]
    return f"{who}: {_sum(one)} of {report.number(found.of)}; {', '.join(parts)}"


def _lines(name: str, wide: float) -> list[str]:
    """A heading in up to three lines, from the lowest to the highest."""
    most, lines = int(wide / 7.4), [""]
    for part in name.replace("_", "_ ").split():
        if lines[-1] and len(lines[-1] + part) > most:
            lines.append("")
        lines[-1] += part
    return [report.cut(line, int(wide / 6.4)) for line in lines[:3]][::-1]


def _histogram(spread: Points) -> Html:
    most = max(spread.of, spread.scores[-1], 1)
    step = next(s * 10**k for k in range(9) for s in (1, 2, 5) if most / (s * 10**k) <= 20)
    bins = max(1, math.ceil(most / step - 1e-9))
    counts = Counter(min(int(score / step), bins - 1) for score in spread.scores)
    left, top, wide, tall = 52, 22, max(28, 560 // bins), 170
    bottom, tallest = top + tall, max(counts.values())
    mark = next(s * 10**k for k in range(9) for s in (1, 2, 5) if tallest / (s * 10**k) <= 5)
    parts = []
    for value in range(0, tallest + 1, mark):
        y = bottom - tall * value / tallest
        parts += [_rect(left, y, wide * bins, 1, "grid"), _text(left - 8, y + 4, value, "end")]
    for n in range(bins):
        height = tall * counts[n] / tallest
        parts.append(_rect(left + n * wide + 1, bottom - height, wide - 2, height, "bar"))
        if counts[n]:
            parts.append(_text(left + (n + 0.5) * wide, bottom - height - 5, counts[n], "middle"))
    for n in range(bins + 1):
        parts.append(_text(left + n * wide, bottom + 16, report.number(n * step), "middle"))
    middle = left + wide * bins / 2
    parts.append(_text(middle, bottom + 38, f"points, of {report.number(spread.of)}", "middle"))
    side = tag("text", "students", transform=f"translate(14 {top + tall / 2}) rotate(-90)",
               class_="middle")  # fmt: skip
    heard = [f"{n * step} to {(n + 1) * step}: {counts[n]}" for n in range(bins)]
    says = f"Histogram of points. Students by points: {', '.join(heard)}."
    size = left + wide * bins + 20, bottom + 46
    return tag("div", _svg(*size, side, *parts, says=says), class_="wide")


_STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1f2328; --quiet: #59636e;
  --line: #d1d9e0; --track: #e6eaee; --right: #00507f; --partly: #2f86c2; --wrong: #c44e00;
  --other: #59636e; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --ink: #e6e9ec; --quiet: #a3adb8;
  --line: #3a424b; --track: #2b323a; --right: #3f9bd8; --partly: #8ccbf2; --wrong: #f08a4b;
  --other: #a3adb8; } }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 1.5em; }
h1 { margin: 0; font-size: 1.7em; line-height: 1.25; }
h2 { margin: 2em 0 0.5em; padding-top: 0.6em; border-top: 1px solid var(--line);
  font-size: 1.25em; }
h3 { margin: 1em 0 0.3em; font-size: 1em; }
p, ul, ol { margin: 0.4em 0; max-width: 50em; }
.quiet { color: var(--quiet); font-size: 0.9em; }
.topics > li { margin: 0.9em 0; }
blockquote { margin: 0.4em 0; padding: 0.1em 0.9em; max-width: 50em; overflow-wrap: anywhere;
  border-left: 4px solid var(--line); }
code { font-size: 0.92em; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; margin: 0.5em 0; font-size: 0.92em;
  font-variant-numeric: tabular-nums; }
th, td { padding: 0.3em 0.7em; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { vertical-align: bottom; font-weight: 600; }
.n { text-align: right; }
td, th:not(.n) { white-space: nowrap; }
.remarks { min-width: 24em; white-space: normal; }
th svg { display: block; margin: 0 0 0.3em auto; }
.wide { max-width: 100%; }
summary { cursor: pointer; padding: 0.3em 0; }
.legend, .whole { max-width: none; }
.legend span { display: inline-block; margin-right: 1.2em; white-space: nowrap; }
svg { vertical-align: middle; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.defs { position: absolute; }
text { font-size: 12px; fill: var(--ink); }
text.head { font-size: 11px; }
.end { text-anchor: end; fill: var(--quiet); }
.middle { text-anchor: middle; }
.track { fill: var(--track); }
.grid { fill: var(--line); }
.gap { fill: var(--page); }
.right, .bar { fill: var(--right); }
.partly { fill: var(--partly); }
.wrong { fill: var(--wrong); }
.empty { fill: none; }
.sum, .line { fill: var(--other); }
.ungraded { fill: url(#hatch); }
.waits { fill: url(#dots); }
g:hover .right, g:hover .partly, g:hover .wrong, g:hover .sum { opacity: 0.6; }
"""
