"""The catalogues in translations/: kept in step with the questions and the interface, and checked.

A catalogue is for translators and their tools. `course bank --record` writes the English into it;
what has been translated is kept, marked fuzzy where its English has changed since, and dropped
with its English. How the course reads a catalogue is in `translation`.
"""

import ast
import io
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po, write_po

from course_utils.quiz import glossary, markup
from course_utils.quiz.bank import Item
from course_utils.quiz.sources import Problem, name_of
from course_utils.quiz.translation import INTERFACE, LANGUAGES, OR, texts

PACKAGE = Path(__file__).resolve().parents[1]
OTHERS = tuple(language for language in LANGUAGES if language != "en")
WIDTH = 100
HEADER = """\
# {name}: fill in the msgstr lines; leave numbers, code and formulas as they are. The rest of this
# file is written by `course bank --record`. Remove the word fuzzy when you have brought a
# translation up to date with its English. Of a word that fills a blank there may be several right
# translations: msgstr "one | other". All of them count as right, the first is shown.
msgid ""
msgstr ""
"Language: {language}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""
# What may stand on a line that is no comment; babel would overlook a lost quotation mark.
_LINE = re.compile(r'((msgctxt|msgid|msgstr) )?"([^"\\]|\\.)*"')
_NUMBER = re.compile(r"(?:(?<![^\s(])[-\N{MINUS SIGN}])?\d+(?:[.,]\d+)*")
_OPTION = re.compile(r"(\w+)\.(answer|answer\.\d+|distractor\.\d+\.text)")


class Text(NamedTuple):
    """Something to translate."""

    context: str
    english: str
    place: str  # the file in which it stands


# --- What there is to translate -------------------------------------------------------------------


def of_items(place: str, items: Iterable[Item]) -> Iterator[Text]:
    for item in items:
        for field, english in texts(item).items():
            yield Text(f"{item.id}.{field}", english, place)


def of_interface(package: Path | None = None) -> tuple[list[Text], list[Problem]]:
    """The sentences that the course's own code says, and the calls from which none can be read."""
    package = package or PACKAGE
    found, problems = [], []
    for path in sorted(package.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "say(" not in source or "translation" not in source:  # another thing of that name
            continue
        place = path.relative_to(package).as_posix()
        calls = [node for node in ast.walk(ast.parse(source)) if _says(node)]
        for call in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
            said = call.args[0] if call.args else None
            if isinstance(said, ast.Constant) and isinstance(said.value, str):
                found.append(Text(INTERFACE, said.value, place))
            else:
                sentence = "`say` needs the sentence itself, so that it can be translated."
                problems.append(Problem(place, call.lineno, sentence))
    return found, problems


def _says(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    return getattr(node.func, "attr", getattr(node.func, "id", "")) == "say"


# --- Bringing a catalogue up to date --------------------------------------------------------------


def updated(path: Path, wanted: Iterable[Text]) -> str:
    """What the catalogue should contain, given what it contains now."""
    old = {(m.context, m.id): m for m in _read(path) if m.id} if path.exists() else {}
    places: dict[tuple[str, str], list[str]] = {}
    for text in wanted:
        places.setdefault((text.context, text.english), []).append(text.place)
    gone = {key: m for key, m in old.items() if key not in places and m.string}
    catalogue = Catalog()
    for (context, english), where in places.items():
        known = old.get((context, english)) or _before(context, english, gone)
        message = catalogue.add(
            english,
            known.string if known else "",
            locations=[(place, None) for place in where],
            auto_comments=known.auto_comments if known and known.fuzzy else [],
            user_comments=known.user_comments if known else [],
            context=context,
        )
        message.flags = {"fuzzy"} if known and known.fuzzy else set()  # babel guesses formats
    file = io.BytesIO()
    write_po(file, catalogue, width=WIDTH, omit_header=True)
    header = HEADER.format(name=LANGUAGES[path.stem], language=path.stem)
    return (header + file.getvalue().decode()).rstrip("\n") + "\n"


def _before(context: str, english: str, gone: dict[tuple, Message]) -> Message | None:
    """The translation of what this text was before it was changed, marked as unfinished."""
    candidates = {was: message for (where, was), message in gone.items() if where == context}
    near = list(candidates)  # of a question's field there is only one
    if context == INTERFACE:
        near = get_close_matches(english, near, 1, cutoff=0.75)
    if not near:
        return None
    message = candidates[near[0]]
    before = message.auto_comments if message.fuzzy else [f"It was: {' '.join(near[0].split())}"]
    return Message(
        english,
        message.string,
        flags=["fuzzy"],
        auto_comments=before,
        user_comments=message.user_comments,
        context=context,
    )


# --- What can be wrong with one -------------------------------------------------------------------


class _Unreadable(ValueError):
    def __init__(self, line: int, what: str):
        super().__init__(what)
        self.line = line


def _read(path: Path) -> Catalog:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8")
        _require_lines(text)
        _require_no_repetition(text)
        return read_po(text.split("\n"), abort_invalid=True)
    except UnicodeDecodeError as error:
        raise _Unreadable(content.count(b"\n", 0, error.start) + 1, "not UTF-8") from error
    except PoFileError as error:
        what = str(error).rpartition(" on ")[0]
        raise _Unreadable(error.lineno + 1, what) from error


def _require_lines(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if line and not line.startswith("#") and not _LINE.fullmatch(line):
            raise _Unreadable(number, f"this is not a line of a catalogue: {line[:40]}")


def _require_no_repetition(text: str) -> None:
    """What merging two catalogues can leave; one of the two translations would be lost."""
    known = set()
    for match in re.finditer(r"^msgctxt .*?(?=^msgstr )", text, re.DOTALL | re.MULTILINE):
        if match[0] in known:
            raise _Unreadable(text.count("\n", 0, match.start()) + 1, "this text is here twice")
        known.add(match[0])


def blanks(items: Iterable[Item]) -> set[str]:
    """The contexts of the words that fill a blank."""
    clozes = (item for item in items if item.type == "cloze")
    return {f"{item.id}.answer.{n}" for item in clozes for n in range(len(item.answer))}


def mistakes(path: Path, blanks: Collection[str] = ()) -> list[Problem]:
    """What is wrong with the catalogue in itself; in `blanks` several words may be right."""
    try:
        catalogue = _read(path)
    except _Unreadable as error:
        return [Problem(name_of(path), error.line, f"this catalogue cannot be read: {error}.")]
    done = [m for m in catalogue if m.id and m.string and not m.fuzzy]
    found = [
        Problem(name_of(path), message.lineno, f"{message.context}: {sentence}")
        for message in done
        for sentence in _in_words(message, blanks)
    ]
    return found + _same_options(path, done, blanks)


def finished(path: Path) -> dict[tuple[str, str], Message]:
    """What has been translated, by context and English; nothing where `mistakes` says that the
    catalogue cannot be read."""
    try:
        return {(m.context, m.id): m for m in _read(path) if m.id and m.string and not m.fuzzy}
    except _Unreadable:
        return {}


def strays(path: Path) -> list[Problem]:
    """Where the catalogue has another word for a term than the glossary."""
    messages = finished(path)
    translations = {key: message.string for key, message in messages.items()}
    return [
        Problem(name_of(path), messages[stray.context, stray.english].lineno, str(stray))
        for stray in glossary.inconsistencies(translations, path.stem)
    ]


def behind(path: Path, wanted: Iterable[Text]) -> list[Problem]:
    """Whether the catalogue differs from what `course bank --record` would write."""
    if not path.exists():
        return [Problem(name_of(path), 1, "this catalogue is missing: `course bank --record`.")]
    is_, should = path.read_text(encoding="utf-8").split("\n"), updated(path, wanted).split("\n")
    if is_ == should:
        return []
    pairs = enumerate(zip(is_, should, strict=False), 1)
    line = next((number for number, (a, b) in pairs if a != b), min(len(is_), len(should)))
    sentence = "from here on not up to date with the questions: `course bank --record`."
    return [Problem(name_of(path), line, sentence)]


def _words(message: Message, blanks: Collection[str]) -> list[str]:
    """Each of the right translations."""
    return message.string.split(OR) if message.context in blanks else [message.string]


def _in_words(message: Message, blanks: Collection[str]) -> Iterator[str]:
    words = _words(message, blanks)
    if OR in message.string and OR not in message.id and message.context not in blanks:
        yield "several translations, with | between them, are for a word in a blank."
    if message.context in blanks and re.search(r"(^|\|)\s*(\||$)", message.string):
        yield "a word is missing before or after a |."
    yield from dict.fromkeys(said for word in words for said in _differences(message.id, word))


def _differences(english: str, translation: str) -> Iterator[str]:
    should, is_ = Counter(_fixed(english)), Counter(_fixed(translation))
    missing, added = sorted((should - is_).elements()), sorted((is_ - should).elements())
    if "zero" in english.lower():  # which other languages write as 0
        added = [each for each in added if each != "0"]
    if missing:
        yield f"the translation lacks {', '.join(missing)} of the English."
    if added:
        yield f"the translation has {', '.join(added)}, which the English has not."


def _fixed(text: str) -> Iterator[str]:
    """What must be the same in every language."""
    for kind, part in markup.segments(text):
        if kind == "code":
            yield f"`{part}`"
        elif kind == "formula":
            yield f"${part}$"
        elif kind == "block":
            yield f"the code {part!r}"
        else:
            yield from (n.replace("\N{MINUS SIGN}", "-") for n in _NUMBER.findall(part))
            yield from re.findall("_{4,}", part)
            yield from re.findall(r"\{[^{}]*\}|[{}]", part)


def _same_options(path: Path, messages: list[Message], blanks: Collection[str]) -> list[Problem]:
    known: dict[tuple[str, str], Message] = {}
    found = []
    for message in messages:
        option = _OPTION.fullmatch(message.context or "")
        if not option:
            continue
        for said in _words(message, blanks):
            first = known.setdefault((option[1], said.casefold()), message)
            wrong_one = "distractor" in message.context + first.context
            if first is not message and wrong_one and first.id != message.id:
                sentence = f"{message.context}: the same translation as {first.context}."
                found.append(Problem(name_of(path), message.lineno, sentence))
    return found
