"""The little markup of questions: paragraphs, `code`, **strong**, $formulas$ and fenced code.

Parsed once into segments, so that every place that shows a question (the notebook, a terminal,
another program) writes them in its own way.
"""

import re
from html import escape
from typing import NamedTuple

_BLOCK = re.compile(r"^```\w*\n(.*?)^```[ ]*$", re.DOTALL | re.MULTILINE)
_INLINE = re.compile(r"`([^`\n]+)`|\$([^$\n]+)\$|\*\*([^*\n]+)\*\*")
_KINDS = ("code", "formula", "strong")


class Segment(NamedTuple):
    kind: str  # text, code, formula, strong, block, or break between paragraphs
    text: str


def segments(text: str) -> list[Segment]:
    found: list[Segment] = []
    for part, block in _alternating(_BLOCK, text.strip() + "\n"):
        for paragraph in re.split(r"\n\s*\n", part.strip()):
            if paragraph:
                found += [Segment("break", "")] if found else []
                found += _inline(" ".join(paragraph.split()))
        if block is not None:
            found += [Segment("break", "")] if found else []
            found.append(Segment("block", block.group(1).rstrip("\n")))
    return found


def html(text: str, formula=lambda tex: f"${escape(tex)}$") -> str:
    """For a browser. `formula` says how it wants its formulas."""
    write = {
        "text": escape,
        "code": lambda text: f"<code>{escape(text)}</code>",
        "strong": lambda text: f"<strong>{escape(text)}</strong>",
        "formula": formula,
        "block": lambda text: f"<pre><code>{escape(text)}</code></pre>",
    }
    paragraphs = [
        "".join(write[kind](text) for kind, text in paragraph) for paragraph in paragraphs_of(text)
    ]
    return "".join(p if p.startswith("<pre>") else f"<p>{p}</p>" for p in paragraphs)


def plain(text: str) -> str:
    """For a terminal: code in backquotes, blocks indented, formulas as they are written."""
    write = {
        "code": lambda text: f"`{text}`",
        "block": lambda text: "\n".join(f"    {line}".rstrip() for line in text.split("\n")),
    }
    return "\n\n".join(
        "".join(write.get(kind, str)(text) for kind, text in paragraph)
        for paragraph in paragraphs_of(text)
    )


def paragraphs_of(text: str) -> list[list[Segment]]:
    """The segments between the breaks; a block is a paragraph of its own."""
    paragraphs: list[list[Segment]] = [[]]
    for segment in segments(text):
        if segment.kind == "break":
            paragraphs.append([])
        else:
            paragraphs[-1].append(segment)
    return [paragraph for paragraph in paragraphs if paragraph]


def _inline(text: str) -> list[Segment]:
    found = []
    for part, marked in _alternating(_INLINE, text):
        if part:
            found.append(Segment("text", part))
        if marked is not None:
            kind, inside = next(
                (k, t) for k, t in zip(_KINDS, marked.groups(), strict=True) if t is not None
            )
            found.append(Segment(kind, inside))
    return found


def _alternating(pattern: re.Pattern, text: str):
    """Each stretch of text with the match that follows it; after the last, None."""
    end = 0
    for match in pattern.finditer(text):
        yield text[end : match.start()], match
        end = match.end()
    yield text[end:], None
