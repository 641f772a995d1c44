"""A small bank: questions of each type, with everything in them that is awkward to write down."""

import struct
import zlib
from pathlib import Path

import pytest

LESSON_00 = r"""
lesson: "00"
items:
  - id: mcqone
    rev: 1
    type: mcq
    concepts: [magnitude, sparsity]
    misconceptions: [smallest-is-most-negative]
    use: [section, review]
    place: Step 2
    prompt: |
      A layer has the weights `[-0.9, 0.02 & "more"]`, and $|w| < \frac{1}{2}$ is pruned; naïve
      readers say **so**. Which goes?

      ```python
      keep = weights > 0.5  # <b>, {n}, a~b ]]>
      print(keep)
      ```
    answer: "`0.02`"
    explanation: "Magnitude is $|w|$, which is < 0.5 & small. Größe zählt."
    distractors:
      - {text: "-0.9", why: "The sign does not count, $|w| > 0$."}
      - {text: all & none, why: "Ends like CDATA: ]]>"}
    verify: answer = "`0.02`"

  - id: multi1
    rev: 2
    type: multi
    concepts: [speed]
    use: [exit, review]
    place: Step 3
    prompt: What has changed? Choose **all** that apply.
    answer: [Its sparsity, "Its $L_0$ norm", A little accuracy]
    explanation: Only values have changed.
    distractors:
      - {text: Its time, why: Zeros are multiplied too.}
      - {text: Its size, why: Zeros are stored too.}

  - id: plot01
    rev: 1
    type: plot
    concepts: [sparsity]
    use: [section, review]
    place: Step 4
    prompt: How many weights are exactly zero?
    alt: A hump, highest around "0" & falling off <both ways>.
    answer: Next to none
    explanation: Near zero is not zero.
    distractors:
      - {text: The highest bar, why: It counts an interval.}
      - {text: About half, why: About half are negative.}
    draw: figure = None

  - id: recall
    rev: 1
    type: recall
    concepts: [pruning]
    use: [pretest, review]
    place: Before you start
    prompt: What is pruning for?
    answer: To need less room, `less` time & less power.
"""

LESSON_01 = r"""
lesson: "01"
items:
  - id: cloze2
    rev: 1
    type: cloze
    concepts: [activations]
    use: [exit, review]
    place: Step 4
    prompt: Hardly any ____ is zero, but a ____ makes many & <more>.
    answer:
      - [weight, weights]
      - ["ReLU {x} a~b #1 *", relu layer]
    explanation: A ReLU turns $x < 0$ into zero.
    distractors:
      - {text: bias, why: "There are few: $\\frac{1}{2}$ #3 ~ `a < b`."}

  - id: cloze1
    rev: 1
    type: cloze
    concepts: [sparsity]
    use: [exit, review]
    place: Key concepts
    prompt: The share of zeros is the ____.
    answer:
      - [sparsity, sparsity level]
    explanation: Its counterpart is density.
    distractors:
      - {text: density, why: That is what is left.}

  - id: number
    rev: 1
    type: numeric
    concepts: [sparsity]
    use: [section, review]
    place: Step 1
    prompt: What is the sparsity, in percent?
    answer: 12.5
    tolerance: 0.25
    unit: "%"
    explanation: One in eight.
    distractors:
      - {text: 87.5, why: That is the density.}

  - id: prints
    rev: 1
    type: predict
    concepts: [sparsity]
    use: [section, review]
    place: Step 4
    prompt: |
      What does this print?

      ```python
      print([1, 2], 3 * "*")
      ```
    answer: "[1,  2] ***"
    explanation: Both.
    distractors:
      - {text: "[1, 2] 3*", why: A star times three.}
    verify: print("[1,  2] ***")

  - id: lines1
    rev: 1
    type: predict
    concepts: [sparsity]
    use: [section]
    place: Step 4
    prompt: "What does `for x in (1, 2): print(x)` print?"
    answer: "1\n2"
    explanation: A line for each.
    distractors:
      - {text: "1 2", why: Each print ends its line.}
    verify: print("1\n2")

  - id: grades
    rev: 1
    type: mcq
    concepts: [sparsity]
    use: [graded]
    prompt: Which is a secret?
    answer: The key of the exam
    explanation: It never leaves.
    distractors:
      - {text: "One", why: No.}
      - {text: "Two", why: No.}
"""


def png() -> bytes:
    """A picture of one grey point."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    point = zlib.compress(b"\x00\x80")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", point) + chunk(b"IEND", b"")


@pytest.fixture
def small_bank(tmp_path) -> Path:
    """The folder of a bank with all seven types of questions."""
    folder = tmp_path / "bank"
    (folder / "pictures").mkdir(parents=True)
    (folder / "00_first.yaml").write_text(LESSON_00, encoding="utf-8")
    (folder / "01_second.yaml").write_text(LESSON_01, encoding="utf-8")
    (folder / "pictures" / "plot01.png").write_bytes(png())
    return folder
