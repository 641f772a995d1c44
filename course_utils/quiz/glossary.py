"""The words of the course in its four languages: read, searched, checked, and looked for in texts.

glossary.yaml says how it is written. In a text whole words are looked for; which endings they may
have is said there, except for English plurals and for Korean, whose particles attach. Translations
are compared with the glossary text by text: a word of the English has to be there in the
translation too, by its name or one of its forms. Whether the sentence is right, nobody judges here.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml

from course_utils.quiz import markup
from course_utils.quiz.bank import SAFE_LOADER
from course_utils.quiz.sources import Problem, Source, name_of
from course_utils.quiz.translation import LANGUAGES

FILE = Path(__file__).with_name("glossary.yaml")
SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"  # not there in an installed package


class Words(NamedTuple):
    """A term in one language."""

    term: str
    meaning: str
    forms: tuple[str, ...] = ()  # what says the same in a sentence; a star stands for any ending
    also: tuple[str, ...] = ()  # what people search for, and translations do not use
    apart: tuple[str, ...] = ()  # English phrases in which the word means something else


class Term(NamedTuple):
    id: str
    lesson: str  # "03"
    heading: str  # where the lesson explains it
    words: Mapping[str, Words]  # by language
    shares: tuple[str, ...] = ()  # the ids of terms that have a name in common with this one


class Stray(NamedTuple):
    """A translation in which the glossary's word for something is missing."""

    context: str  # as in the catalogue: "k3v9qd.prompt"
    english: str  # the whole text, as in the catalogue
    said: str  # the word in the English
    wanted: str  # what the glossary has for it
    instead: str  # another of its names that stands there; often none does

    def __str__(self):
        other = f", not “{self.instead}”" if self.instead else ""
        return f"{self.context}: “{self.said}” is “{self.wanted}” in the glossary{other}."


# --- Reading and searching ------------------------------------------------------------------------


def every(path: Path | None = None) -> tuple[Term, ...]:
    """All terms, in the order of the lessons."""
    return _read(path or FILE)


def find(text: str, language: str = "en") -> list[Term]:
    """The terms that somebody may mean, best first: by any of their names in any language, without
    regard to case, accents, hyphens and endings. Where two fit as well, names in the reader's own
    language come first."""
    asked = _bare(text).strip(" ?!.,:;\"'“”„")
    if not asked:
        return []
    mentioned = {spoken: _mentioned(asked, spoken) for spoken in LANGUAGES}

    def fit(term: Term) -> tuple[int, bool]:
        return min(
            (_fit(asked, words, spoken, term.id in mentioned[spoken]), spoken != language)
            for spoken, words in term.words.items()
        )

    fits = [(fit(term), term) for term in every()]
    return [term for (how, _), term in sorted(fits, key=lambda pair: pair[0]) if how < _NOT]


_NOT = 4


def _fit(asked: str, words: Words, language: str, mentioned: bool) -> int:
    """From 0, the very name, to 3, a name somewhere in what was asked."""
    names = [_bare(name) for name in (words.term, *words.forms, *words.also)]
    if any(_pattern(name, language).fullmatch(asked) for name in names):
        return 0
    if any(name.startswith(asked) for name in names):
        return 1
    if any(f" {asked}" in name for name in names):
        return 2
    return 3 if mentioned else _NOT


def _mentioned(asked: str, language: str) -> set[str]:
    mentions = _mentions(asked, language, _bare)
    return {inner.id for inner in mentions if not any(_around(inner, mentions))}


@cache
def _read(path: Path) -> tuple[Term, ...]:
    return tuple(map(_term, yaml.load(path.read_text(encoding="utf-8"), Loader=SAFE_LOADER)))


def _term(entry: Mapping) -> Term:
    words = {language: Words(**_frozen(entry[language])) for language in LANGUAGES}
    rest = {field: value for field, value in entry.items() if field not in LANGUAGES}
    return Term(words=words, **_frozen(rest))


def _frozen(fields: Mapping) -> dict:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()
    }


# --- Words in texts -------------------------------------------------------------------------------

_GAP = r"[\s\u2010-\u2013-]"  # white space or a hyphen
_BETWEEN = {  # the words of a name
    "en": f"{_GAP}*",  # finetuning
    "bg": f"{_GAP}+(?:(?:му|ѝ|си|им|ни|ви){_GAP}+)?",  # скоростта му на обучение
    "vi": f"{_GAP}+",
    "ko": f"{_GAP}*",  # 미세조정
}
_OPEN_SYLLABLE = re.compile("([ou][aey])([\u0300\u0301\u0303\u0309\u0323])(?!\\w)")


def _plain(text: str) -> str:
    """Without what writers of one language do differently: case, and where the tone mark stands in
    an open Vietnamese syllable (hóa, hoá)."""
    apart = unicodedata.normalize("NFD", text.casefold())
    moved = _OPEN_SYLLABLE.sub(lambda found: found[1][0] + found[2] + found[1][1], apart)
    return unicodedata.normalize("NFC", moved)


def _bare(text: str) -> str:
    """What is left for those whose keyboard has no accents."""
    apart = unicodedata.normalize("NFD", _plain(text).replace("đ", "d"))
    kept = "".join(sign for sign in apart if unicodedata.category(sign) != "Mn")
    return re.sub(f"{_GAP}+", " ", unicodedata.normalize("NFC", kept))


@cache
def _pattern(name: str, language: str) -> re.Pattern:
    """The name as it may stand in a text of this language, both written `_plain` or `_bare`."""
    *first, last = (re.escape(word).replace(r"\*", r"\w*") for word in re.split(_GAP, name))
    if language == "en" and last.endswith("y"):
        last = f"{last[:-1]}(?:y|ies)"
    elif language == "en":
        last = f"{last}(?:e?s)?"
    whole = _BETWEEN[language].join([*first, last])
    return re.compile(whole if language == "ko" else rf"(?<!\w){whole}(?!\w)")


class _Mention(NamedTuple):
    """A name in a text."""

    start: int
    end: int
    id: str  # of its term; of what stands apart it is empty


@cache
def _names(language: str, written: Callable) -> list[tuple[str, re.Pattern]]:
    found = []
    for term in every():
        words = term.words[language]
        found += [(term.id, written(name)) for name in (words.term, *words.forms)]
        found += [("", written(name)) for name in words.apart]
    return [(id_, _pattern(name, language)) for id_, name in found]


def _mentions(text: str, language: str, written: Callable = _plain) -> list[_Mention]:
    text = written(text)
    names = _names(language, written)
    return [_Mention(*m.span(), id_) for id_, name in names for m in name.finditer(text)]


def _around(inner: _Mention, mentions: Iterable[_Mention]) -> Iterator[_Mention]:
    """The longer names that a name is a part of, such as weight decay for weight."""
    for outer in mentions:
        if outer.start <= inner.start and inner.end <= outer.end and outer[:2] != inner[:2]:
            yield outer


# --- Translations ---------------------------------------------------------------------------------


def inconsistencies(messages: Mapping[tuple[str, str], str], language: str) -> Iterator[Stray]:
    """Where a translation lacks the glossary's word for a term of the English: the term may have
    been translated in another way. `messages` is what `translation.catalogue` reads. A translation
    that is the English was meant to be: it is the name of something."""
    by_id = {term.id: term.words for term in every()}
    changed = (pair for pair in messages.items() if pair[0][1] != pair[1])
    for (context, english), translation in changed:
        prose = _prose(translation)
        missing = _wanted(_prose(english), language) - _said(prose, language)
        for words in (words for id_, words in by_id.items() if id_ in missing):
            instead = (name for name in words[language].also if _says(prose, name, language))
            yield Stray(context, english, words["en"].term, words[language].term, next(instead, ""))


def _wanted(english: str, language: str) -> set[str]:
    """The ids of the terms for which a translation must have words. Those within the name of
    another count if that name has them in the other language too: global pruning is глобално
    прореждане, but the lottery ticket hypothesis is 복권 가설."""
    mentions = _mentions(english, "en")
    return {
        inner.id
        for inner in mentions
        if inner.id and all(inner.id in _parts(o.id, language) for o in _around(inner, mentions))
    }


def _said(text: str, language: str) -> set[str]:
    """The ids of the terms for which there are words in a translation. One that begins in the
    middle of a longer name's word is another word: 구조적 in 비구조적."""
    mentions = _mentions(text, language)
    text = _plain(text)
    return {
        inner.id
        for inner in mentions
        if not (text[inner.start - 1 : inner.start].isalpha() and any(_around(inner, mentions)))
    }


@cache
def _parts(id_: str, language: str) -> set[str]:
    names = (term.words[language].term for term in every() if term.id == id_)
    return set().union(*(_said(name, language) for name in names))


def _says(text: str, name: str, language: str) -> bool:
    return bool(_pattern(_plain(name), language).search(_plain(text)))


def _prose(text: str) -> str:
    """Without code and formulas, which no language translates."""
    said = ((kind in ("text", "strong"), part) for kind, part in markup.segments(text))
    return "".join(part if words else " ; " for words, part in said)


# --- What can be wrong with the file --------------------------------------------------------------

_LISTS = ("forms", "also", "apart", "shares")
_ENTRY = ("id", "lesson", "heading", *LANGUAGES, "shares")


def mistakes(path: Path | None = None, solutions: Path | None = None) -> list[Problem]:
    """What somebody has to put right, in the order of the lines."""
    source = _source(path or FILE)
    found = source.problems or [*_form(source)]
    if not found:
        terms = [*map(_term, source.content)]
        found = [*_ids(source, terms), *_shared(source, terms)]
        found += _places(source, terms, solutions or SOLUTIONS)
    return sorted(found)


def _source(path: Path) -> Source:
    name = name_of(path)
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=SAFE_LOADER)
        return Source(name, yaml.load(text, Loader=SAFE_LOADER), node, [*_repeated(name, node)])
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
        sentence = f"this cannot be read as YAML: {what}."
        return Source(name, None, None, [Problem(name, mark.line + 1 if mark else 1, sentence)])


def _repeated(name: str, node: yaml.Node | None) -> Iterator[Problem]:
    if isinstance(node, yaml.MappingNode):
        known = set()
        for key, value in node.value:
            if key.value in known:
                sentence = f"`{key.value}` is written twice here; only the last would count."
                yield Problem(name, key.start_mark.line + 1, sentence)
            known.add(key.value)
            yield from _repeated(name, value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(name, value)


def _form(source: Source) -> Iterator[Problem]:
    if not isinstance(source.content, list):
        yield source.problem("this file must be a list of terms.")
        return
    for index, entry in enumerate(source.content):
        yield from _fields(source, entry, _ENTRY, index)
        for language in LANGUAGES:
            if isinstance(entry, dict) and language in entry:
                yield from _fields(source, entry[language], Words._fields, index, language)


def _fields(source: Source, entry, known: tuple[str, ...], *where: str | int) -> Iterator[Problem]:
    if not isinstance(entry, dict):
        yield source.problem(f"here must be {', '.join(known)}.", *where)
        return
    for field, value in entry.items():
        if field not in known:
            yield source.problem(f"there is no field `{field}`.", *where, field)
        elif field in _LISTS and not (isinstance(value, list) and all(map(_is_text, value))):
            yield source.problem(f"`{field}` must be a list of texts.", *where, field)
        elif field not in (*_LISTS, *LANGUAGES) and not _is_text(value):
            quotes = "" if isinstance(value, str) else ": put it in quotation marks"
            yield source.problem(f"`{field}` must be text{quotes}.", *where, field)
    for field in known:
        if field not in entry and field not in _LISTS:
            yield source.problem(f"`{field}` is missing.", *where)


def _is_text(value) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _ids(source: Source, terms: Iterable[Term]) -> Iterator[Problem]:
    known = set()
    for index, term in enumerate(terms):
        if not re.fullmatch(r"[a-z]+(-[a-z]+)*", term.id):
            sentence = f"{term.id}: an id is made of small letters and hyphens: weight-decay."
            yield source.problem(sentence, index, "id")
        if term.id in known:
            yield source.problem(f"{term.id}: there is a term with this id already.", index, "id")
        known.add(term.id)


def _shared(source: Source, terms: Iterable[Term]) -> Iterator[Problem]:
    """Two terms of one name, which nobody could tell apart, unless one says that it is so."""
    for language in LANGUAGES:
        owners: dict[str, Term] = {}
        for index, term in enumerate(terms):
            words = term.words[language]
            for name in dict.fromkeys(map(_plain, (words.term, *words.forms))):
                first = owners.setdefault(name, term)
                if (
                    first is not term
                    and first.id not in term.shares
                    and term.id not in first.shares
                ):
                    sentence = (
                        f"{term.id}: “{name}” is a name of {first.id} already; if that must be"
                    )
                    yield source.problem(f"{sentence}, `shares: [{first.id}]`.", index, language)


def _places(source: Source, terms: Iterable[Term], solutions: Path) -> Iterator[Problem]:
    for index, term in enumerate(terms):
        lesson = _prose_of(solutions, term.lesson)
        if lesson is None:
            continue
        if f"\n## {term.heading}\n" not in lesson:
            sentence = f"{term.id}: lesson {term.lesson} has no heading {term.heading!r}."
            yield source.problem(sentence, index, "heading")
        words = term.words["en"]
        if not any(_says(lesson, name, "en") for name in (words.term, *words.forms)):
            sentence = f"{term.id}: lesson {term.lesson} never says “{words.term}”."
            yield source.problem(sentence, index, "lesson")


@cache
def _prose_of(solutions: Path, lesson: str) -> str | None:
    """What a lesson says outside its code; None where its source is not at hand."""
    sources = [path.read_text(encoding="utf-8") for path in solutions.glob(f"{lesson}_*.py")]
    lines = (line for text in sources for line in text.splitlines() if line.startswith("# "))
    return "\n".join(["", *(line[2:].rstrip() for line in lines), ""]) if sources else None
