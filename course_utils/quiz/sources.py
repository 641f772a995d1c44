"""The YAML files of a bank with the lines on which their entries stand, and what is wrong with
their form, in sentences. What the entries say is judged in `rules`."""

import json
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import NamedTuple

import yaml
from jsonschema import Draft202012Validator

from course_utils.quiz.bank import SAFE_LOADER

SCHEMA = Path(__file__).with_name("item.schema.json")
_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "array": "a list",
    "object": "a mapping",
}


class Problem(NamedTuple):
    file: str  # with its folder: "bank/01_networks_and_weights.yaml"
    line: int
    sentence: str

    def __str__(self):
        return f"{self.file}:{self.line}: {self.sentence}"


class Source(NamedTuple):
    """A file as it was read; without content if it is not YAML."""

    name: str
    content: object
    node: yaml.Node | None
    problems: list[Problem]

    def line(self, *where: str | int) -> int:
        """The line of an entry, such as ("items", 3, "prompt"); where it is missing, of what it is
        missing in."""
        return _mark(self.node, where).line + 1 if self.node else 1

    def problem(self, sentence: str, *where: str | int) -> Problem:
        return Problem(self.name, self.line(*where), sentence)


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def read(path: Path, form: str) -> Source:
    """The file, compared with one of the forms in item.schema.json."""
    name = name_of(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.load(text, Loader=SAFE_LOADER)
        node = yaml.compose(text, Loader=SAFE_LOADER)
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        return Source(name, None, None, [_unreadable(name, error)])
    source = Source(name, content, node, [])
    source.problems.extend(_problems(source, form))
    return source


def fits(entry, form: str) -> bool:
    return _validator(form).is_valid(entry)


def _unreadable(name: str, error: Exception) -> Problem:
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    colon = " A text with a colon stands in quotation marks, or below a `|`."
    advice = colon if "mapping values" in str(what) else ""
    sentence = f"this cannot be read as YAML: {what}.{advice}"
    return Problem(name, mark.line + 1 if mark else 1, sentence)


def _problems(source: Source, form: str) -> Iterator[Problem]:
    for key in _repeated(source.node):
        sentence = f"`{key.value}` is written twice here; only the last would count."
        yield Problem(source.name, key.start_mark.line + 1, sentence)
    seen = set()
    for error in _validator(form).iter_errors(source.content):
        if _follows_from_an_unknown_type(error, source.content):
            continue
        for where, sentence in _said(error):
            owner = _owner(source.content, where)
            problem = source.problem(f"{owner}{sentence}", *where)
            if problem not in seen:
                seen.add(problem)
                yield problem


def _repeated(node: yaml.Node | None, inside: tuple[yaml.Node, ...] = ()) -> Iterator[yaml.Node]:
    """The keys that stand in a mapping for a second time."""
    if node is None or node in inside:  # an alias of what it stands in
        return
    if isinstance(node, yaml.MappingNode):
        known = set()
        for key, value in node.value:
            if key.value in known:
                yield key
            known.add(key.value)
            yield from _repeated(value, (*inside, node))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _repeated(value, (*inside, node))


def _mark(node: yaml.Node, where: tuple) -> yaml.Mark:
    mark = node.start_mark
    for step in where:
        if isinstance(node, yaml.MappingNode):
            found = [pair for pair in node.value if pair[0].value == str(step)]
            if not found:
                break
            mark, node = found[-1][0].start_mark, found[-1][1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            node = node.value[step]
            mark = node.start_mark
        else:
            break
    return mark


@cache
def _validator(form: str) -> Draft202012Validator:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return Draft202012Validator({"$ref": f"#/$defs/{form}", "$defs": schema["$defs"]})


def _follows_from_an_unknown_type(error, content) -> bool:
    """What a type asks for cannot be said of an item that has none."""
    path = [*error.absolute_path]
    if path[:1] != ["items"] or len(path) < 2 or "allOf" not in error.absolute_schema_path:
        return False
    known = _validator("item").schema["$defs"]["item"]["properties"]["type"]["enum"]
    return content["items"][path[1]].get("type") not in known


def _owner(content, where: tuple) -> str:
    """The question's id, where there is one, to begin the sentence with."""
    if where[:1] != ("items",) or len(where) < 2 or not isinstance(content["items"], list):
        return ""
    entry = content["items"][where[1]]
    id_ = entry.get("id") if isinstance(entry, dict) else None
    return f"{id_}: " if isinstance(id_, str) else ""


def _said(error) -> Iterator[tuple[tuple, str]]:
    """An error of jsonschema as (where, sentence)."""
    where, given, wants = tuple(error.absolute_path), error.instance, error.validator_value
    if error.validator == "required":
        for field in wants:
            if field not in given:
                yield where, f"`{field}` is missing."
    elif error.validator == "additionalProperties":
        known = error.schema["properties"]
        for field in given:
            if field not in known:
                near = get_close_matches(str(field), known, 1)
                hint = f"; did you mean `{near[0]}`?" if near else "."
                yield (*where, field), f"there is no field `{field}`{hint}"
    else:
        if "propertyNames" in error.absolute_schema_path:
            where = (*where, given)
        yield where, f"{_subject(where)} {_wish(error, wants)}."


def _subject(where: tuple) -> str:
    names = [step for step in where if isinstance(step, str)]
    if not where or not names:
        return "this file"
    if isinstance(where[-1], int):
        return f"entry {where[-1] + 1} of `{names[-1]}`"
    return f"`{where[-1]}`"


def _wish(error, wants) -> str:
    match error.validator:
        case "type":
            kinds = [wants] if isinstance(wants, str) else wants
            wish = f"must be {' or '.join(_KINDS[kind] for kind in kinds)}"
            scalar = not isinstance(error.instance, list | dict | None)
            return f"{wish}: put it in quotation marks" if "string" in kinds and scalar else wish
        case "enum":
            return f"must be one of {', '.join(wants)}"
        case "minItems":
            return f"must have {wants} {'entry' if wants == 1 else 'entries'} or more"
        case "maxItems":
            return f"must have no more than {wants} entries"
        case "uniqueItems":
            return "has an entry twice"
        case "minimum":
            return f"must be {wants} or more"
        case "exclusiveMinimum":
            return f"must be more than {wants}"
    return error.schema.get("says", error.message)  # the schema says what a pattern means
