"""The little markup of questions: paragraphs, `code`, **strong**, $formulas$ and fenced code.

Parsed once into segments, so that every place that shows a question (the notebook, a terminal,
another program) writes them in its own way.
"""

import re
from html import escape
from typing import NamedTuple

_BLOCK = re.compile(r"^```[^`\n]*\n(.*?)(?:^```[ ]*$|\Z)", re.DOTALL | re.MULTILINE)
# Prices ($5 and $6) and powers (2**3) are none: a mark opens before a character, and closes after
# one; a dollar before a digit closes nothing, and two stars after a letter or digit open nothing.
_INLINE = re.compile(
    r"`([^`\n]+)`|\$(?!\s)([^$`\n]+)(?<!\s)\$(?!\d)|(?<!\w)\*\*(?!\s)([^*\n]+)(?<!\s)\*\*"
)
_SIGNS = {
    **{"cdot": "·", "times": "\N{MULTIPLICATION SIGN}", "pm": "±", "odot": "⊙", "to": "→"},
    **{"le": "≤", "leq": "≤", "ge": "≥", "geq": "≥", "ne": "≠", "neq": "≠", "approx": "≈"},
    **{"sum": "∑", "partial": "∂", "nabla": "∇", "infty": "∞", "in": "∈", "ldots": "…", "|": "‖"},
    **{"lambda": "λ", "mu": "μ", "theta": "θ", "Delta": "Δ", "log": "log", "ln": "ln"},
    **{",": " ", ";": " ", "left": "", "right": "", "%": "%", "#": "#", "_": "_"},
}
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
    """For a terminal: code in backquotes, blocks indented, formulas in plain letters."""
    write = {
        "formula": spelled,
        "code": lambda text: f"`{text}`",
        "block": lambda text: "\n".join(f"    {line}".rstrip() for line in text.split("\n")),
    }
    return "\n\n".join(
        "".join(write.get(kind, str)(text) for kind, text in paragraph)
        for paragraph in paragraphs_of(text)
    )


def spelled(tex: str) -> str:
    """A formula as one would type it. A command that is not known stays as it is written."""
    tex = re.sub(r"\\(?:text|mathrm)\{([^{}]*)\}", r"\1", tex)
    tex = re.sub(r"\\sqrt\{([^{}]*)\}", r"√(\1)", tex)
    tex = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", _over, tex)
    tex = re.sub(r"\\([A-Za-z]+|\S)", lambda command: _SIGNS.get(command[1], command[0]), tex)
    return " ".join(tex.split())


def _over(fraction: re.Match) -> str:
    return "/".join(part if part.isalnum() else f"({part})" for part in fraction.groups())


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
