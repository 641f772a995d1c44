"""How results look in a notebook: panels and tables that suit light and dark themes, each with a
plain form for terminals, screen readers and nbgrader."""

import unicodedata
from html import escape
from typing import NamedTuple

# JupyterLab's own colours where they exist, so that both its themes fit; plain ones elsewhere.
_PANEL = (
    "border: 1px solid var(--jp-border-color1, #bdbdbd); border-left: 5px solid {colour}; "
    "padding: 0.5em 0.9em; margin: 0.2em 0; max-width: 46em; line-height: 1.45; "
    "color: var(--jp-content-font-color1, inherit);"
)
COLOURS = {
    "good": "var(--jp-success-color1, #2e7d32)",
    "bad": "var(--jp-error-color1, #c62828)",
    "neutral": "var(--jp-info-color1, #1565c0)",
}


class Panel(NamedTuple):
    """A framed message; `plain` is its text form."""

    html: str
    plain: str

    def __repr__(self):
        return self.plain

    def _repr_html_(self):
        return self.html


def panel(title: str, lines: list[str] = (), mood: str = "neutral", code: str = "") -> Panel:
    """A title and paragraphs; text between backquotes is shown as code."""
    body = "".join(f'<div style="margin-top: 0.3em">{marked(line)}</div>' for line in lines)
    if code:
        style = "margin: 0.5em 0 0; overflow-x: auto; white-space: pre;"
        body += f'<pre style="{style}">{escape(code)}</pre>'
    html = framed(marked(title), body, mood)
    return Panel(html, "\n".join([clean(title), *map(clean, lines), *([code] if code else [])]))


def framed(title: str, body: str = "", mood: str = "neutral") -> str:
    """The frame alone, around what is HTML already."""
    return (
        f'<div role="status" style="{_PANEL.format(colour=COLOURS[mood])}">'
        f"<strong>{title}</strong>{body}</div>"
    )


def table(
    headings: list[str], rows: list[list[str]], caption: str, links: list[str] | None = None
) -> Panel:
    """A table whose first column is text and whose others are numbers. `links` says where the
    first cell of each row leads; where it is empty, nowhere."""

    def cells(tag, row, link=""):
        first, *others = map(marked, row)
        first = f'<a href="{escape(link)}">{first}</a>' if link else first
        numbers = "".join(f"<{tag}>{text}</{tag}>" for text in others)
        return f'<{tag} style="text-align: left">{first}</{tag}>{numbers}'

    links = links or [""] * len(rows)
    body = "".join(f"<tr>{cells('td', *each)}</tr>" for each in zip(rows, links, strict=True))
    html = (
        '<table style="text-align: right">'
        f'<caption style="text-align: left">{marked(caption)}</caption>'
        f"<thead><tr>{cells('th', headings)}</tr></thead><tbody>{body}</tbody></table>"
    )
    widths = [max(columns(row[i]) for row in [headings, *rows]) for i in range(len(headings))]
    plain = [caption]
    for row in [headings, *rows]:
        spaces = [" " * (width - columns(text)) for text, width in zip(row, widths, strict=True)]
        first, *others = zip(row, spaces, strict=True)
        aligned = ["".join(first), *(space + text for text, space in others)]
        plain.append("  ".join(aligned).rstrip())
    return Panel(html, "\n".join(plain))


def columns(text: str) -> int:
    """How wide a terminal shows it: Korean letters take two columns, an accent on its own none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def clean(text: str) -> str:
    """Without control characters: what a learner's object calls itself must not move a cursor."""
    return "".join("\N{REPLACEMENT CHARACTER}" if _controls(c) else c for c in text)


def _controls(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\t"


def marked(text: str) -> str:
    """Escaped for HTML, with `code` between backquotes."""
    parts = escape(clean(text)).split("`")
    if len(parts) % 2 == 0:  # an unpaired backquote is just a character
        return "`".join(parts)
    return "".join(f"<code>{p}</code>" if i % 2 else p for i, p in enumerate(parts))
