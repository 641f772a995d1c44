"""`course bank`: what is wrong with the questions, their register and their translations, each with
file and line; and with --record, writing down what has changed.

What can be computed is computed: the code in the questions is run, and the keys, the places in
the lessons and the numbers in the translations are compared with what it says.
"""

import os
import random
import re
import string
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

from course_utils.quiz import bank, catalogues, glossary, markup, register, snippets, sources
from course_utils.quiz.bank import Item
from course_utils.quiz.judge import BadAnswer, judge
from course_utils.quiz.snippets import Outcome
from course_utils.quiz.sources import Problem, Source
from course_utils.quiz.translation import LANGUAGES, texts
from course_utils.runtime import now

SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"  # not there in an installed package
MISCONCEPTIONS = "misconceptions.yaml"
ASKED = "Before you start"  # the part of a lesson where the pretest is
RECORD = "`course bank --record`"


def run(record: bool = False) -> int:
    """Check the course's bank, or record its changes. The exit status."""
    contents = Contents(bank.BANK)
    found = mistakes(contents)
    if found and record:
        found.append("Nothing was recorded.")
    elif not found:
        print(counts(contents))
        if record:
            for line in _record(contents):
                print(line)
        else:
            found = unrecorded(contents)
    for line in found:
        print(line)
    return 1 if found else 0


def problems(folder: Path | None = None) -> list[Problem]:
    """What `course bank` says about a bank: what somebody has to put right, or, where nothing is
    wrong, what waits to be recorded."""
    contents = Contents(folder or bank.BANK)
    return mistakes(contents) or unrecorded(contents)


def mistakes(contents: "Contents") -> list[Problem]:
    """What somebody has to put right, in the order of files and lines."""
    found = []
    for rule in (_form, _file_names, _ids, _revisions, _refutations):
        found += rule(contents)
    for entry in contents.entries:
        found += [entry.problem(*said) for rule in _RULES for said in rule(entry, contents)]
    found += contents.interface[1]
    blanks = catalogues.blanks(entry.item for entry in contents.entries)
    for path in filter(Path.exists, contents.translations):
        found += catalogues.mistakes(path, blanks)
    if contents.glossary.exists():
        found += glossary.mistakes(contents.glossary) or _strays(contents)
    return sorted(found)


def unreadable(contents: "Contents") -> list[Problem]:
    """Why questions cannot be asked as they stand in their files, those of a class's bank too;
    nothing of what lies beside them."""
    files = {source.name for source in contents.questions}
    found = (problem for rule in (_form, _file_names, _ids) for problem in rule(contents))
    return sorted(problem for problem in found if problem.file in files)


def _strays(contents: "Contents") -> list[Problem]:
    existing = filter(Path.exists, contents.translations)
    return [problem for path in existing for problem in catalogues.strays(path)]


def unrecorded(contents: "Contents") -> list[Problem]:
    """What `course bank --record` puts right in a bank without mistakes."""
    found = []
    for entry in contents.entries:
        known = contents.known.get(entry.item.id)
        if known is None:
            found.append(entry.problem("id", f"is new and not recorded yet: {RECORD}."))
        elif register.recorded(known, entry.raw, entry.item, now()) != known:
            found.append(entry.problem("id", f"has changed since it was recorded: {RECORD}."))
        elif entry.item.picture and not entry.item.picture.exists():
            found.append(entry.problem("draw", f"its picture is missing: {RECORD}."))
    for path in _stray_pictures(contents):
        found.append(Problem(sources.name_of(path), 1, f"belongs to no question: {RECORD}."))
    for path in contents.translations:
        found += catalogues.behind(path, contents.texts)
    return found


def counts(contents: "Contents") -> str:
    """How many questions there are, by lesson and type, by misconception and by language."""
    items = [entry.item for entry in contents.entries]
    return "\n\n".join([_by_lesson(items), *_by_misconception(items), *_by_language(contents)])


def _by_lesson(items: Iterable[Item]) -> str:
    counts = Counter((item.lesson, item.type) for item in items)
    types = sorted({type_ for _, type_ in counts})
    rows = []
    for lesson in sorted({lesson for lesson, _ in counts}):
        row = [counts[lesson, type_] for type_ in types]
        rows.append([lesson, *row, sum(row)])
    together = [sum(column) for column in list(zip(*rows, strict=True))[1:]]
    table = [["lesson", *types, "all"], *rows, ["all", *together]]
    return "\n".join("  ".join(f"{cell:>7}" for cell in row) for row in table)


def _by_misconception(items: list[Item]) -> Iterator[str]:
    """A line for each number of questions, with the misconceptions that so many name."""
    named = Counter(name for item in items for name in item.misconceptions)
    on_one = sum(bool(item.misconceptions) for item in items)
    lines = [f"{on_one} of {len(items)} questions are on one of {len(named)} misconceptions:"]
    for count in sorted(set(named.values()), reverse=True):
        names = ", ".join(sorted(name for name in named if named[name] == count))
        indent = {"initial_indent": f"{count:>7}  ", "subsequent_indent": " " * 9}
        lines.append(textwrap.fill(names, 100, break_on_hyphens=False, **indent))
    if named:
        yield "\n".join(lines)


def _by_language(contents: "Contents") -> Iterator[str]:
    """How many questions are translated to the last text."""
    items, lines = [entry.item for entry in contents.entries], []
    for path in filter(Path.exists, contents.translations):
        done = catalogues.finished(path)
        whole = [all((f"{i.id}.{f}", text) in done for f, text in texts(i).items()) for i in items]
        lines.append(f"{sum(whole):>7}  {path.stem} ({LANGUAGES[path.stem]})")
    if lines:
        yield "\n".join([f"Translated, of {len(items)} questions:", *lines])


# --- What a bank consists of ----------------------------------------------------------------------


class Entry(NamedTuple):
    """A question and where it stands."""

    item: Item
    raw: dict
    source: Source
    index: int

    def problem(self, where: str | tuple, sentence: str) -> Problem:
        path = (where,) if isinstance(where, str) else where
        return self.source.problem(f"{self.item.id}: {sentence}", "items", self.index, *path)


class Contents:
    """A bank with what belongs to it, read once."""

    def __init__(self, folder: Path):
        self.folder = folder
        beside = (register.FILE, MISCONCEPTIONS)
        paths = [path for path in sorted(folder.glob("*.yaml")) if path.name not in beside]
        self.questions = [sources.read(path, "questions") for path in paths]
        self.register = _read_if_there(folder / register.FILE, "register")
        self.misconceptions = _read_if_there(folder / MISCONCEPTIONS, "misconceptions")

    @property
    def files(self) -> list[Source]:
        return [*self.questions, self.register, self.misconceptions]

    @property
    def known(self) -> dict[str, dict]:
        """What the register says, if it can be trusted."""
        return {} if self.register.problems else self.register.content

    @cached_property
    def raw_entries(self) -> list[tuple[Source, int, dict]]:
        """Whatever looks like a question, however broken."""
        return [
            (source, index, raw)
            for source in self.questions
            if _has_items(source.content)
            for index, raw in enumerate(source.content["items"])
            if isinstance(raw, dict)
        ]

    @cached_property
    def entries(self) -> list[Entry]:
        """The questions that are as the schema wants them."""
        return [
            Entry(bank.make(raw, source.content["lesson"], self.folder), raw, source, index)
            for source, index, raw in self.raw_entries
            if isinstance(source.content.get("lesson"), str) and sources.fits(raw, "item")
        ]

    @cached_property
    def outcomes(self) -> dict[str, Outcome]:
        """What came of the code in the questions."""
        codes = [c for entry in self.entries for c in (entry.item.verify, entry.item.draw) if c]
        return dict(zip(codes, snippets.run(codes), strict=True))

    @property
    def translations(self) -> list[Path]:
        """The translations stand beside a bank's folder; a bank may have none."""
        folder = self.folder.with_name("translations")
        return [folder / f"{name}.po" for name in catalogues.OTHERS] if folder.is_dir() else []

    @property
    def glossary(self) -> Path:
        """It belongs to the course's own bank; another one has none beside it."""
        return self.folder.with_name(glossary.FILE.name)

    @cached_property
    def interface(self) -> tuple[list[catalogues.Text], list[Problem]]:
        return catalogues.of_interface() if self.translations else ([], [])

    @property
    def texts(self) -> list[catalogues.Text]:
        """All there is to translate."""
        asked = (t for e in self.entries for t in catalogues.of_items(e.source.name, [e.item]))
        return [*self.interface[0], *asked]

    def free_id(self) -> str:
        used = {str(raw.get("id")) for _, _, raw in self.raw_entries} | set(self.known)
        while True:
            rest = random.choices(string.ascii_lowercase + string.digits, k=5)
            id_ = random.choice(string.ascii_lowercase) + "".join(rest)
            if id_ not in used:
                return id_


def _read_if_there(path: Path, form: str) -> Source:
    if path.exists():
        return sources.read(path, form)
    return Source(sources.name_of(path), {}, None, [])


def _has_items(content) -> bool:
    return isinstance(content, dict) and isinstance(content.get("items"), list)


# --- Rules about the files and the ids ------------------------------------------------------------


def _form(contents: Contents) -> Iterator[Problem]:
    """What the schema says; where an id is wanted, with one that is free."""
    for source in contents.files:
        for problem in source.problems:
            if "`id` " in problem.sentence:
                offer = f"; {contents.free_id()} is free."
                problem = problem._replace(sentence=problem.sentence.removesuffix(".") + offer)
            yield problem


def _file_names(contents: Contents) -> Iterator[Problem]:
    for source in contents.questions:
        name = Path(source.name).name
        lesson = source.content.get("lesson") if _has_items(source.content) else None
        if not re.fullmatch(r"[0-9]{2}_\w+\.yaml", name):
            yield source.problem("a file of questions is called like its lesson: 03_topic.yaml.")
        elif isinstance(lesson, str) and lesson != name[:2]:
            yield source.problem(f"`lesson` must be {name[:2]!r}, as the file's name.", "lesson")


def _ids(contents: Contents) -> Iterator[Problem]:
    deleted = {}
    for source in contents.questions:
        gone = source.content.get("deleted") if _has_items(source.content) else None
        for index, id_ in enumerate(gone if isinstance(gone, list) else []):
            if not isinstance(id_, str):
                continue  # the schema has complained
            deleted[id_] = f"{source.name}:{source.line('deleted', index)}"
            if contents.known and id_ not in contents.known:
                sentence = f"{id_}: no question ever had this id, so none was deleted."
                yield source.problem(sentence, "deleted", index)
    alive = {}
    for source, index, raw in contents.raw_entries:
        id_, where = raw.get("id"), ("items", index, "id")
        if not isinstance(id_, str):
            continue
        if id_ in alive:
            sentence = f"{id_}: {alive[id_]} has this id; {contents.free_id()} is free."
            yield source.problem(sentence, *where)
        elif id_ in deleted:
            sentence = f"{id_}: deleted ids ({deleted[id_]}) are never used again; "
            yield source.problem(f"{sentence}{contents.free_id()} is free.", *where)
        alive.setdefault(id_, f"{source.name}:{source.line(*where)}")
    if all(_has_items(source.content) for source in contents.questions):
        for id_ in contents.known:
            if id_ not in alive and id_ not in deleted:
                sentence = (
                    f"{id_}: this question is gone; add its id to `deleted:` in its file, or give "
                    "it back its id."
                )
                yield contents.register.problem(sentence, id_)


def _revisions(contents: Contents) -> Iterator[Problem]:
    times = Counter(entry.item.id for entry in contents.entries)
    for entry in contents.entries:
        if times[entry.item.id] > 1:
            continue  # said already; which of them was recorded, nobody knows
        known, rev = contents.known.get(entry.item.id), entry.item.rev
        if known and rev < known["rev"]:
            yield entry.problem("rev", f"`rev` was {known['rev']} already; it never goes down.")
        elif known and rev == known["rev"] and register.key(entry.item) != known["key"]:
            sentence = "the right answer is not the one that was recorded"
            yield entry.problem("answer", f"{sentence}: raise `rev` to {rev + 1}.")


def _refutations(contents: Contents) -> Iterator[Problem]:
    source = contents.misconceptions
    for name, belief in {} if source.problems else source.content.items():
        lesson, _, place = belief["refuted"].partition(" ")
        if not _has_heading(lesson, place):
            yield source.problem(f"`refuted`: {_no_heading(lesson, place)}", name, "refuted")


# --- Rules about one question, as (where, sentence) -----------------------------------------------


def _options(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    first_wrong = len(item.options) - len(item.distractors) if item.options else 0
    known = {" ".join(text.split()) for text in item.options[:first_wrong]}
    for index, distractor in enumerate(item.distractors):
        text = " ".join(distractor.text.split())
        if text in known:
            yield ("distractors", index, "text"), f"there are two options {text!r}."
        known.add(text)


def _wrong_is_wrong(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    for index, distractor in enumerate(item.distractors):
        where, text = ("distractors", index, "text"), distractor.text
        if item.type == "numeric" and _judged_right(item, text):
            yield where, f"{text} lies within the tolerance of the answer, so it would be right."
        if item.type == "predict" and _judged_right(item, text):
            yield where, "this is what the code prints, so it would be right."
        if item.type == "cloze" and any(
            _judged_right(replace(item, answer=(words,)), [text]) for words in item.answer
        ):
            yield where, f"{text!r} is admitted as an answer."


def _blanks(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    blanks = item.prompt.count("____")
    if item.type == "cloze" and blanks != len(item.answer):
        yield "answer", f"the prompt has {blanks} blanks (____), `answer` fills {len(item.answer)}."


def _marks(entry: Entry, contents: Contents) -> Iterator[tuple]:
    for field, text in texts(entry.item).items():
        plain = (part for kind, part in markup.segments(text) if kind == "text")
        for mark in re.findall(r"`|\*\*|(?<![\w*])\*\w[^*]*\*", " ".join(plain)):
            yield _where(field), f"{mark} would be shown as it is; there are `code` and **strong**."


def _place(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    if item.place and ASKED.startswith(item.place):
        yield "place", f"{ASKED!r} only asks; `place` is the heading under which the answer stands."
    elif item.place and not _has_heading(item.lesson, item.place):
        yield "place", _no_heading(item.lesson, item.place)


def _misconceptions(entry: Entry, contents: Contents) -> Iterator[tuple]:
    known = contents.misconceptions
    for index, name in enumerate(entry.item.misconceptions):
        if not known.problems and name not in known.content:
            yield ("misconceptions", index), f"`{name}` is not in {MISCONCEPTIONS}."


def _key(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    if not item.verify:
        return
    outcome = contents.outcomes[item.verify]
    given = outcome.printed.strip() if item.type == "predict" else outcome.answer
    if outcome.error:
        yield "verify", f"`verify` {outcome.error}."
    elif given in (None, ""):
        nothing = "prints nothing" if item.type == "predict" else "leaves no `answer`"
        yield "verify", f"`verify` {nothing}."
    elif not _agrees(item, given):
        yield "answer", f"`answer` is {_short(item.answer)}, but `verify` says {_short(given)}."


def _code_shown(entry: Entry, contents: Contents) -> Iterator[tuple]:
    item = entry.item
    blocks = [text for kind, text in markup.segments(item.prompt) if kind == "block"]
    if item.type == "predict" and any(block.strip() not in item.verify for block in blocks):
        yield "prompt", "the code it shows is not the code that `verify` runs."


def _figure(entry: Entry, contents: Contents) -> Iterator[tuple]:
    if entry.item.draw:
        outcome = contents.outcomes[entry.item.draw]
        if outcome.error:
            yield "draw", f"`draw` {outcome.error}."
        elif not outcome.figure:
            yield "draw", "`draw` leaves no `figure`."


_RULES = (
    _options,
    _wrong_is_wrong,
    _blanks,
    _marks,
    _place,
    _misconceptions,
    _key,
    _code_shown,
    _figure,
)


def _agrees(item: Item, given) -> bool:
    if item.type in ("mcq", "plot"):
        return str(given).strip() == item.answer
    if item.type == "multi":
        return isinstance(given, list) and sorted(map(str, given)) == sorted(item.answer)
    return _judged_right(item, given)


def _judged_right(item: Item, given) -> bool:
    with suppress(BadAnswer):
        return judge(item, given).right
    return False


def _where(field: str) -> tuple:
    """Where a text of `translation.texts` stands in the file: ("distractors", 0, "why")."""
    steps = field.replace("distractor.", "distractors.").split(".")
    return tuple(int(step) if step.isdigit() else step for step in steps)


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _has_heading(lesson: str, place: str) -> bool:
    headings = _headings(SOLUTIONS, lesson)
    return headings is None or any(heading.startswith(place) for heading in headings)


def _no_heading(lesson: str, place: str) -> str:
    return f"no heading of lesson {lesson} begins with {place!r}."


@cache
def _headings(solutions: Path, lesson: str) -> list[str] | None:
    """The headings of a lesson; None where its source is not at hand or not written yet."""
    paths = sorted(solutions.glob(f"{lesson}_*.py"))
    if not paths:
        return None
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return re.findall(r"^# ## (.+?)[ \t]*$", text, re.MULTILINE)


# --- Recording ------------------------------------------------------------------------------------


def _record(contents: Contents) -> Iterator[str]:
    """Bring pictures, register and catalogues up to date; a line for each change."""
    records, moment = dict(contents.known), now()
    for entry in contents.entries:
        item, old = entry.item, contents.known.get(entry.item.id)
        new = records[item.id] = register.recorded(old, entry.raw, item, moment)
        redrawn = old is None or old.get("drawn") != new.get("drawn")
        if item.draw and (redrawn or not item.picture.exists()):
            _write(item.picture, contents.outcomes[item.draw].figure)
            yield f"drawn: {sources.name_of(item.picture)}"
    for path in _stray_pictures(contents):
        path.unlink()
        yield f"removed: {sources.name_of(path)}"
    changed = sum(records[id_] != contents.known.get(id_) for id_ in records)
    if _write(contents.folder / register.FILE, register.text(records).encode()):
        yield f"recorded: {changed} new or changed questions"
    for path in contents.translations:
        if _write(path, catalogues.updated(path, contents.texts).encode()):
            yield f"updated: {sources.name_of(path)}"


def _stray_pictures(contents: Contents) -> list[Path]:
    drawn = {entry.item.picture for entry in contents.entries}
    return [p for p in sorted((contents.folder / "pictures").glob("*.png")) if p not in drawn]


def _write(path: Path, content: bytes) -> bool:
    """Whether there was anything to write. A crash in the middle leaves the old file."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)
    return True
