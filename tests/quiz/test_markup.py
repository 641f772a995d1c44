"""The little markup: what is marked, what is not, and how each place writes it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from course_utils.quiz import markup


def kinds(text):
    return [tuple(segment) for segment in markup.segments(text)]


def test_each_kind_of_mark_is_found_in_a_line():
    assert kinds("Use `a = 1`, **really**, if $a < b$.") == [
        ("text", "Use "),
        ("code", "a = 1"),
        ("text", ", "),
        ("strong", "really"),
        ("text", ", if "),
        ("formula", "a < b"),
        ("text", "."),
    ]


def test_lines_run_on_and_an_empty_one_parts_paragraphs():
    assert kinds("one\ntwo $a\n+ b$\n \n\n three ") == [
        ("text", "one two "),
        ("formula", "a + b"),
        ("break", ""),
        ("text", "three"),
    ]


def test_a_fence_keeps_its_lines_as_they_are():
    assert kinds("Look:\n```python\nif a:\n    b = `2`**3  # $\n\nc\n```\nand then") == [
        ("text", "Look:"),
        ("break", ""),
        ("block", "if a:\n    b = `2`**3  # $\n\nc"),
        ("break", ""),
        ("text", "and then"),
    ]


def test_two_fences_are_two():
    assert kinds("```\na\n```\n\n```\nb\n```") == [("block", "a"), ("break", ""), ("block", "b")]


def test_a_fence_that_is_never_closed_runs_to_the_end():
    assert kinds("Look:\n```python\na = `1`\n\nb") == [
        ("text", "Look:"),
        ("break", ""),
        ("block", "a = `1`\n\nb"),
    ]


@pytest.mark.parametrize("inside", ["a**b**c", "$x$ + $y$", "<b>&amp;", "2 ** 3", "**kwargs"])
def test_nothing_is_marked_inside_code(inside):
    assert kinds(f"`{inside}`") == [("code", inside)]
    assert kinds(f"say `{inside}` and `{inside}`")[1::2] == [("code", inside)] * 2


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 here and $6 there.",
        "$5 or 6 $",
        "2**3 and 4**5",
        "a ** b ** c",
        "a lonely ` and a lonely $ and **",
        "$$ and ****",
    ],
)
def test_what_only_looks_like_a_mark_is_text(text):
    assert kinds(text) == [("text", text)]


def test_a_price_before_code_with_a_dollar_does_not_make_a_formula():
    assert kinds("$5 and `$x`") == [("text", "$5 and "), ("code", "$x")]


def test_marks_may_touch_letters_behind_them():
    assert kinds("**마스크**는 $x$입니다 `a`s") == [
        ("strong", "마스크"),
        ("text", "는 "),
        ("formula", "x"),
        ("text", "입니다 "),
        ("code", "a"),
        ("text", "s"),
    ]


def test_html_escapes_everything_that_is_not_its_own():
    text = 'a <b> & "c" `<i>` **<u>** $a < b$\n```\n<script>\n```'
    assert markup.html(text) == (
        "<p>a &lt;b&gt; &amp; &quot;c&quot; <code>&lt;i&gt;</code> <strong>&lt;u&gt;</strong> "
        "$a &lt; b$</p><pre><code>&lt;script&gt;</code></pre>"
    )
    assert markup.html("&lt;") == "<p>&amp;lt;</p>"
    assert markup.html("<pre>no block") == "<p>&lt;pre&gt;no block</p>"


def test_a_browser_may_have_its_formulas_in_its_own_way():
    assert markup.html("so $a < b$", formula=lambda tex: f"[{tex}]") == "<p>so [a < b]</p>"


def test_plain_text_keeps_code_recognisable_and_indents_blocks():
    text = "Is `a` **so**?\n\n```\nif a:\n\n    b\n```\nYes."
    assert markup.plain(text) == "Is `a` so?\n\n    if a:\n\n        b\n\nYes."


@pytest.mark.parametrize(
    "tex, spelled",
    [
        (r"20 \cdot 5 = 100", "20 · 5 = 100"),
        (r"|w| \le \frac{1}{2}", "|w| ≤ 1/2"),
        (r"\frac{a + b}{\sqrt{n}}", "(a + b)/(√(n))"),
        (r"\|w\|_1 \text{ is the norm}", "‖w‖_1 is the norm"),
        (r"5\,\% \approx 0.05", "5 % ≈ 0.05"),
        (r"w_{ij}^2 \mapsto \zeta", r"w_{ij}^2 \mapsto \zeta"),
        (r"\left( a \right)", "( a )"),
    ],
)
def test_plain_formulas_use_plain_letters_where_they_are_known(tex, spelled):
    assert markup.plain(f"${tex}$") == spelled


@given(st.text(alphabet="ab `$*\n<&5", max_size=60))
def test_any_text_is_taken_apart_and_loses_no_letter(text):
    parts = markup.segments(text)
    kept = "".join(segment.text for segment in parts)
    assert [c for c in kept if c in "ab<&5"] == [c for c in text if c in "ab<&5"] or "```" in text
    markup.html(text), markup.plain(text)
    starts_or_ends = [parts[0].kind, parts[-1].kind] if parts else []
    assert "break" not in starts_or_ends


def test_nothing_makes_nothing():
    assert (kinds(""), kinds(" \n "), markup.html(""), markup.plain("")) == ([], [], "", "")
