"""bank/register.yaml: every id that a question ever had, and what it stood for when last recorded.

An id is what a learner's answers are remembered by, so it is never used again. The fingerprints
show a change that nobody has recorded; `changed` is how other programs learn of an edit.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import yaml

from course_utils.quiz.bank import Item

FILE = "register.yaml"
HEADER = """\
# Written by `course bank --record`, never by hand: every id that a question ever had. `content` and
# `key` are fingerprints of the question and of its right answer, `drawn` of what its picture was
# made from; `changed` is when the question was last edited.
"""


def content(entry: dict, item: Item) -> str:
    """A fingerprint of all that a learner may see of the question, here or in another program."""
    seen = {name: value for name, value in entry.items() if name not in ("rev", "verify")}
    return _fingerprint({**seen, "lesson": item.lesson})


def key(item: Item) -> str:
    """A fingerprint of the right answer. One more wording that a blank admits does not make it
    another answer, nor does a better model for one's own words."""
    answer = item.answer
    if item.type == "recall":
        answer = None
    if item.type == "cloze":
        answer = [words[0] for words in answer]
    if item.type == "numeric":
        answer = float(answer)
    return _fingerprint([item.type, answer])


def drawn(item: Item) -> str:
    return _fingerprint(item.draw)


def _fingerprint(data) -> str:
    text = json.dumps(data, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def recorded(old: dict | None, entry: dict, item: Item, now: datetime) -> dict:
    """The register's line for a question as it is now; the old one if nothing has changed."""
    new = {"rev": item.rev, "content": content(entry, item), "key": key(item)}
    if item.draw:
        new["drawn"] = drawn(item)
    if old is not None and {**new, "changed": old["changed"]} == old:
        return old
    moment = now.astimezone(UTC).replace(microsecond=0)
    if old is not None:  # it grows, whatever the clock says
        moment = max(moment, datetime.fromisoformat(old["changed"]) + timedelta(seconds=1))
    return {"rev": new.pop("rev"), "changed": moment.isoformat(), **new}


def text(register: dict[str, dict]) -> str:
    lines = (
        yaml.safe_dump({id_: register[id_]}, default_flow_style=None, sort_keys=False, width=1000)
        for id_ in sorted(register)
    )
    return HEADER + "".join(lines)
