"""`course review` as a learner sees it: in a real terminal, and through a pipe."""

# ruff: noqa: RUF001 (the letters that look Latin are Cyrillic, and meant to be)

import fcntl
import json
import os
import pty
import re
import select
import signal
import string
import struct
import subprocess
import sys
import termios
import textwrap
import time
from datetime import timedelta

import pytest

from course_utils.study import log, reviewing, terminal

# --- A small bank, and a learner who knows it -----------------------------------------------------

BANK = r"""
lesson: "90"
items:
  - id: choice
    rev: 1
    type: mcq
    concepts: [a]
    use: [review]
    place: Step 1
    prompt: |
      Which **one** of these makes a network smaller on disk when its file is written as it is, with
      nothing else done to it, for $n \le 5$ layers?

      ```python
      for layer in layers: prune(layer)
      ```
    answer: Removing whole channels, which makes every tensor around them smaller as well
    explanation: Smaller tensors are smaller files.
    distractors:
      - {text: Setting weights to zero, why: A zero is as long as any other number.}
      - {text: Sorting the weights, why: Nothing is gone.}
  - id: several
    rev: 1
    type: multi
    concepts: [a]
    use: [review]
    place: Step 2
    prompt: Which numbers are even?
    answer: [two, four]
    explanation: Halves are whole.
    distractors:
      - {text: five, why: Half of five is no whole number.}
  - id: blanks
    rev: 1
    type: cloze
    concepts: [a]
    use: [review]
    place: Step 3
    prompt: A ____ is learned, a ____ is chosen.
    answer: [[weight], [hyperparameter, setting]]
    explanation: That is the difference.
  - id: number
    rev: 1
    type: numeric
    concepts: [a]
    use: [review]
    place: Step 4
    prompt: How large is a tenth of a thousand?
    answer: 100
    tolerance: 0
    unit: KB
    explanation: Divide by ten.
    distractors:
      - {text: 10000, why: You multiplied.}
  - id: prints
    rev: 1
    type: predict
    concepts: [a]
    use: [review]
    place: Step 5
    prompt: "What does `print(1); print(2)` print?"
    answer: "1\n2"
    explanation: A line each.
    verify: print(1); print(2)
  - id: open00
    rev: 1
    type: recall
    concepts: [a]
    use: [review]
    place: Step 6
    prompt: What is pruning?
    answer: Leaving out what is not needed.
  - id: plot00
    rev: 1
    type: plot
    concepts: [a]
    use: [review]
    place: Step 7
    prompt: What does the curve do?
    alt: A curve that rises and then stays level.
    answer: It saturates
    explanation: More does not help any more.
    distractors:
      - {text: It falls, why: Look at the right end.}
      - {text: It oscillates, why: It never turns.}
    draw: figure = None
"""
KNOWS = {  # what to type, and what must not be seen before the confidence is given
    "Which one of these": ("{Removing whole channels}", "Smaller tensors"),
    "Which numbers are even?": ("{two} {four}", "Halves are whole"),
    "A ____ is learned": (["weight", "Setting"], "That is the difference"),
    "How large is a tenth": ("100", "Divide by ten"),
    "What does `print(1)": (["1", "2", ""], "A line each"),
    "What is pruning?": ("leaving out", "Leaving out what is not needed"),
    "What does the curve do?": ("{It saturates}", "More does not help"),
}
ALL = ["blanks", "choice", "number", "open00", "plot00", "prints", "several"]
CHILD = """
import sys
if sys.stdin.isatty():
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal here
from pathlib import Path
from course_utils.quiz import bank
bank.BANK = Path(sys.argv[1])
from course_utils.cli import main
sys.exit(main(["review"]))
"""


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "bank"
    folder.mkdir()
    (folder / "90_some.yaml").write_text(BANK, encoding="utf-8")
    return folder


@pytest.fixture
def enrolled():
    log.append("enrol", "90", day=(reviewing.today() - timedelta(1)).isoformat())


def only(folder, *ids):
    """A bank of only these questions."""
    head, *items = re.split(r"(?m)^(?=  - id: )", BANK)
    kept = [item for item in items if re.match(r"  - id: (\w+)", item)[1] in ids]
    (folder / "90_some.yaml").write_text(head + "".join(kept), encoding="utf-8")


def environment(**more):
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    return kept | {"TERM": "xterm"} | more


def answered():
    return [event.name for event in log.read("answer")]


class Terminal:
    """A sitting in a pseudo-terminal."""

    def __init__(self, folder, columns=80, **more):
        self.screen, inside = pty.openpty()
        self._set_width(columns)
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(folder)],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env=environment(**more),
            start_new_session=True,
        )
        os.close(inside)
        self.raw = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.screen)

    def resize(self, columns):
        """Pulls at the window, and lets the line that is being typed be drawn anew."""
        self._set_width(columns)
        while select.select([self.screen], [], [], 0.1)[0]:
            os.read(self.screen, 65536)

    def _set_width(self, columns):
        size = struct.pack("HHHH", 24, columns, 0, 0)
        fcntl.ioctl(self.screen, termios.TIOCSWINSZ, size)  # the system sends SIGWINCH

    def read(self):
        """What has appeared until it waits for input, or ends."""
        self.raw, bytes_ = "", b""
        while not re.search(r"> (\x1b\[\S*)?$", self.raw):
            ready, _, _ = select.select([self.screen], [], [], 10)
            assert ready, f"nothing more came after {self.raw!r}"
            try:
                bytes_ += os.read(self.screen, 65536)
            except OSError:  # the other end is closed
                break
            self.raw = bytes_.decode("utf-8", "replace")
        return re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]|\r", "", self.raw)

    def type(self, text):
        os.write(self.screen, f"{text}\n".encode())
        return self.read()

    def press(self, key):
        """A key as a person presses it: a moment after the prompt, and again if nothing happens."""
        shown = False
        while not shown:
            time.sleep(0.05)
            os.write(self.screen, key)
            shown, _, _ = select.select([self.screen], [], [], 1)
        return self.read()

    def exit_code(self):
        return self.process.wait(timeout=10)


def knows(screen):
    """The lines to type for the question on the screen, and what the screen must not give away."""
    words = " ".join(screen.split())
    ((typed, secret),) = [found for start, found in KNOWS.items() if start in words]
    lines = typed if isinstance(typed, list) else [typed]
    letter = {text: mark for mark, text in re.findall(r"(?m)^([a-d])\) (.*?)$", screen)}

    def marked(match):
        return next(mark for text, mark in letter.items() if text.startswith(match[1][:9]))

    return [re.sub(r"\{(.*?)\}", marked, line) for line in lines], secret


def answer(session, screen, confidence="2", lines=None):
    """Answers the question on the screen; what has appeared in the end."""
    right, secret = knows(screen)
    for line in lines or right:
        assert secret not in screen
        screen = session.type(line)
    assert "How sure are you?" in screen
    assert secret not in screen
    screen = session.type(confidence)
    if "How did it go?" in screen:
        assert secret in screen
        screen = session.type("3")
    return screen


# --- A sitting ------------------------------------------------------------------------------------


def test_a_whole_sitting_with_all_types_of_questions(folder, enrolled):
    with Terminal(folder) as session:
        screen = session.read()
        assert "Ctrl-C" in screen
        for number in range(1, 8):
            assert f"{number} of 7 · 90" in screen
            screen = answer(session, screen)
            assert "✓ Right" in screen or "One way" not in screen
            if number < 7:
                assert "Press Enter" in screen
                screen = session.type("")
        assert "Well done" in screen
        assert "The next questions come on" in screen
        assert session.exit_code() == 0
    assert sorted(answered()) == ALL
    events = {event.name: event.data for event in log.read("answer")}
    assert all(data["score"] == 1 and data["confidence"] == 2 for data in events.values())
    assert events["several"]["answer"] == [0, 1]
    assert events["blanks"]["answer"] == ["weight", "Setting"]
    assert events["open00"]["words"] == "leaving out"
    assert all(0 <= data["seconds"] < 30 for data in events.values())


def test_a_miss_is_explained_and_comes_back_until_it_is_known(folder, enrolled):
    only(folder, "choice", "number")
    with Terminal(folder) as session:
        screen, seen = session.read(), []
        while re.search(r"\d of \d · 90", screen):
            number = "How large" in screen
            wrong = number and seen.count(True) < 1
            seen.append(number)
            screen = answer(session, screen, "3", ["10 000 KB"] if wrong else None)
            if wrong:
                for said in ("✗ Not right", "You multiplied", "Right: 100 KB", "You were certain"):
                    assert said in screen
                assert "Lesson 90, “Step 4”, tells more." in screen
            screen = session.type("") if "Press Enter" in screen else screen
        assert "Well done" in screen
    assert sorted(seen) == [False, True, True]
    assert seen[-1]


def test_half_an_answer_is_called_so(folder, enrolled):
    only(folder, "blanks")
    with Terminal(folder) as session:
        session.read()
        session.type("weight")
        assert "How sure" in session.type("")
        assert "✗ Partly right" in session.type("1")


def test_an_open_question_shows_its_answer_only_after_ones_confidence(folder, enrolled):
    only(folder, "open00")
    with Terminal(folder) as session:
        assert "What is pruning?" in session.read()
        assert "Leaving out" not in session.type("my words")
        screen = session.type("3")
        assert "Leaving out what is not needed." in screen
        assert "How did it go?" in screen
        assert "✓" not in session.type("2")
    (event,) = log.read("answer")
    assert (event.data["answer"], event.data["score"]) == ("partly", 0.5)


def test_a_plot_is_a_file_and_its_description(folder, enrolled):
    only(folder, "plot00")
    with Terminal(folder) as session:
        screen = session.read()
        assert str(folder / "pictures" / "plot00.png") in "".join(screen.split())
        assert "A curve that rises and then stays level." in screen


@pytest.mark.parametrize(
    "id_, bad, sentence",
    [
        ("choice", ["", "d", "7", "4", "a b", "yes", "ㅋ", "д"], "Type one letter, from a to c."),
        ("several", ["", "d", "e a", "a!"], "Type one or more letters, from a to c"),
        ("number", ["", "many", "nan", "1 2"], "Type a number, such as 12.5."),
        ("prints", [""], "Type what the code prints."),
    ],
)
def test_what_is_no_answer_gets_a_sentence_and_the_question_stays(
    folder, enrolled, id_, bad, sentence
):
    only(folder, id_)
    with Terminal(folder) as session:
        question = session.read()
        for text in bad:
            screen = session.type(text)
            assert sentence in screen
            assert "How sure" not in screen
        for line in knows(question)[0]:
            screen = session.type(line)
        for text in ("", "0", "4", "sure"):
            assert "How sure are you?" in session.type(text)
        assert "✓ Right" in session.type("2")
        assert session.exit_code() == 0
    assert answered() == [id_]


def test_letters_may_be_written_in_many_ways(folder, enrolled):
    only(folder, "several")
    for written in ("{0}{1}", "{1}, {0}", " {0}; {1} ", "{0}) {1})", "{1} {0} {1}"):
        with Terminal(folder) as session:
            two, four = knows(session.read())[0][0].upper().split()
            session.type(written.format(two, four))
            session.press(b"\x03")
            assert session.exit_code() == 0
    assert answered() == []


@pytest.mark.parametrize(
    "typed, letters",
    [
        ("A, c", "ac"),
        ("1 3", "13"),
        ("а б ц д е ф", "abcdef"),  # the phonetic Bulgarian layout
        ("с", "c"),  # looks like it
        ("Ь Ъ О", "acf"),  # the standard Bulgarian layout
        ("ㅁ ㅠ ㅊ ㅇ ㄷ ㄹ", "abcdef"),
        ("뮤", "ab"),  # a Korean keyboard makes one syllable of the two
        ("ａ", "a"),  # a full-width letter
        ("г", "г"),
        ("", ""),
    ],
)
def test_letters_of_other_keyboards_stand_for_those_of_the_same_keys(typed, letters):
    expected = letters.translate(str.maketrans("123456", "abcdef"))
    assert terminal._letters(typed) == expected


def test_no_key_stands_for_two_options():
    signs = "".join(terminal.KEYS.values())
    assert len(signs) == len(set(signs))
    assert not set(signs) & set(string.ascii_lowercase)


@pytest.mark.parametrize("layout", ["123", "абц", "ㅁㅠㅊ"])
def test_an_option_is_chosen_on_any_keyboard_and_by_its_number(folder, enrolled, layout):
    only(folder, "choice")
    with Terminal(folder) as session:
        screen = session.read()
        ((right,), _) = knows(screen)
        session.type(layout["abc".index(right)])
        assert "✓ Right" in session.type("3")
        assert session.exit_code() == 0
    assert answered() == ["choice"]


# --- Resized --------------------------------------------------------------------------------------


def widths(screen):
    """How long its lines of text are; code and paths keep their own lines."""
    lines = [line for line in screen.splitlines() if not line.startswith(("    ", "> "))]
    return [len(line) for line in lines if os.sep not in line]


def test_the_text_follows_the_windows_width_from_question_to_question(folder, enrolled):
    only(folder, "choice")
    with Terminal(folder, columns=40) as session:
        narrow = session.read()
        assert 30 < max(widths(narrow)) <= 40
        assert "    for layer in layers: prune(layer)\n" in narrow
        option = re.search(r"^[abc]\) Removing.*?(?=^[abc]\)|\n\n)", narrow, re.M | re.S)[0]
        assert all(line.startswith("   ") for line in option.splitlines()[1:])
        session.resize(70)
        (wrong,) = re.findall(r"([abc])\) Sorting", narrow)
        sure = session.type(wrong)
        assert "How sure" in sure
        session.type("2")
        wide = session.type("")
        assert 60 < max(widths(wide)) <= 70
        session.resize(200)
        (wrong,) = re.findall(r"([abc])\) Sorting", wide)
        session.type(wrong)
        session.type("2")
        assert max(widths(session.type(""))) <= terminal.WIDEST
        assert session.process.poll() is None
    assert answered() == ["choice", "choice"]


def test_resizing_while_a_line_is_typed_loses_nothing_of_it(folder, enrolled):
    only(folder, "open00")
    with Terminal(folder, columns=60) as session:
        session.read()
        os.write(session.screen, b"half a sen")
        session.resize(35)
        session.resize(90)
        session.type("tence")
        session.type("2")
        session.type("3")
    assert log.read("answer")[0].data["words"] == "half a sentence"


@pytest.mark.parametrize("width", [8, 20, 40])
def test_wide_letters_take_two_columns_and_accents_none(width):
    korean = "가지치기는 필요하지 않은 가중치를 없애는 방법입니다"
    lines = terminal._wrapped(korean, width)
    assert " ".join(lines) == korean
    assert all(2 * len(line) - line.count(" ") <= width or " " not in line for line in lines)
    apart = "tro\N{COMBINING DOT BELOW}ng so\N{COMBINING CIRCUMFLEX ACCENT}"
    assert terminal._wrapped(apart, 8) == [apart]


def test_a_percent_sign_stays_with_its_number():
    assert terminal._wrapped("prune 30 % now, then 5 %.", 8) == [
        "prune",
        "30 %",
        "now,",
        "then",
        "5 %.",
    ]
    assert terminal._wrapped("", 8) == terminal._wrapped("  ", 8) == [""]


def test_wrapping_agrees_with_pythons_own_where_letters_are_narrow():
    text = "A network is a function with many numbers in it, and pruning leaves some of them out."
    for width in range(12, 90):
        assert terminal._wrapped(text, width) == textwrap.wrap(text, width)


# --- Interrupted and resumed ----------------------------------------------------------------------


@pytest.mark.parametrize("key", [b"\x03", b"\x04"], ids=["Ctrl-C", "Ctrl-D"])
@pytest.mark.parametrize("moment", ["question", "confidence", "pause"])
def test_a_sitting_can_be_left_at_any_moment_and_goes_on(folder, enrolled, key, moment):
    only(folder, "number", "prints")
    with Terminal(folder) as session:
        first = session.read()
        lines, _ = knows(first)
        if moment != "question":
            for line in lines:
                session.type(line)
        if moment == "pause":
            session.type("2")
        said = session.press(key)
        assert "Until next time. Your answers are kept" in said
        assert "Traceback" not in said
        assert session.exit_code() == 0
    kept = 1 if moment == "pause" else 0
    assert len(answered()) == kept
    with Terminal(folder) as session:
        again = session.read()
        assert f"{1 + kept} of 2" in again
        assert (knows(again) == knows(first)) == (kept == 0)


def test_half_a_line_and_ctrl_c_count_for_nothing(folder, enrolled):
    only(folder, "open00")
    with Terminal(folder) as session:
        session.read()
        os.write(session.screen, b"half a li")
        time.sleep(0.05)
        assert "Until next time" in session.press(b"\x03")
    assert answered() == []


def test_after_a_kill_the_next_sitting_goes_on(folder, enrolled):
    with Terminal(folder) as session:
        screen = session.read()
        for _ in range(2):
            answer(session, screen)
            screen = session.type("")
        question = knows(screen)
        os.kill(session.process.pid, signal.SIGKILL)
        assert session.exit_code() == -signal.SIGKILL
    assert len(answered()) == 2
    with Terminal(folder) as session:
        screen = session.read()
        assert "3 of 7" in screen
        assert knows(screen)[1] == question[1]


def test_two_sittings_at_once_do_not_ask_the_same_again(folder, enrolled):
    with Terminal(folder) as one:
        first = one.read()
        answer(one, first)
        with Terminal(folder) as two:
            second = two.read()
            answer(two, second)
            third = one.type("")
            answer(one, third)
            fourth = two.type("")
            assert len({knows(screen)[1] for screen in (first, second, third, fourth)}) == 4
            assert "4 of 7" in fourth
    assert len(set(answered())) == 3


def test_two_sittings_on_the_same_question_keep_both_answers(folder, enrolled):
    only(folder, "number")
    with Terminal(folder) as one, Terminal(folder) as two:
        screens = one.read(), two.read()
        for session, screen in zip((one, two), screens, strict=True):
            answer(session, screen)
            assert session.exit_code() == 0
    assert answered() == ["number", "number"]


# --- Nothing to ask -------------------------------------------------------------------------------


def test_without_an_enrolled_lesson_it_says_how_to_enrol_one(folder):
    with Terminal(folder) as session:
        screen = session.read()
        assert "Nothing to review yet" in screen
        assert "enrols its questions" in screen
        assert session.exit_code() == 0


def test_with_nothing_due_it_says_when_the_next_questions_come(folder):
    reviewing.enrol("90")
    with Terminal(folder) as session:
        screen = session.read()
    assert "Nothing is due today" in screen
    tomorrow = reviewing.today() + timedelta(1)
    assert f"{tomorrow.day} {tomorrow:%B %Y}" in screen


def test_after_twenty_prompts_it_says_that_the_rest_comes_tomorrow(folder, enrolled):
    data = {"rev": 1, "day": reviewing.today().isoformat(), "use": "review", "seconds": 5}
    for number in range(19):
        log.append("answer", f"other{number}", answer=0, score=1, confidence=2, **data)
    with Terminal(folder) as session:
        screen = session.read()
        assert "20 of 20" in screen
        screen = " ".join(answer(session, screen).split())
    assert "Enough for today" in screen
    assert "The rest comes first tomorrow" in screen


# --- Without a terminal, without colour -----------------------------------------------------------


def piped(folder, text, **more):
    return subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)],
        input=text.encode(),
        capture_output=True,
        env=environment(**more),
        timeout=20,
    )


def test_through_a_pipe_plain_lines_are_enough(folder, enrolled):
    only(folder, "number")
    done = piped(folder, "many\n10000\n2\n100 KB\n3\n")
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode()
    assert "\x1b" not in shown and "Press Enter" not in shown
    for line in ("> many", "Type a number, such as 12.5.", "> 10000", "✗ Not right", "✓ Right"):
        assert f"\n{line}\n" in shown
    assert "Well done" in shown
    assert [event.data["answer"] for event in log.read("answer")] == ["10000", "100 KB"]


@pytest.mark.parametrize("text", ["", "100", "100\n", "100\n2"])
def test_the_end_of_a_pipe_is_the_end_of_the_sitting(folder, enrolled, text):
    only(folder, "number", "prints", "open00")
    done = piped(folder, text)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Until next time" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_of_another_alphabet_ends_no_sitting(folder, enrolled, encoding):
    only(folder, "number")
    done = piped(folder, "\N{SNOWMAN}\n100\n2\n", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"? Right" in done.stdout
    assert answered() == ["number"]


@pytest.mark.parametrize(
    "more, coloured", [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_only_adds_to_what_is_said(folder, enrolled, more, coloured):
    only(folder, "number")
    with Terminal(folder, **more) as session:
        session.read()
        assert bool(re.search(r"\x1b\[\d[\d;]*m", session.raw)) == coloured
        session.type("100")
        assert "✓ Right" in session.type("2")
        assert bool(re.search(r"\x1b\[1;32m✓ Right\x1b\[0m", session.raw)) == coloured


# --- At once --------------------------------------------------------------------------------------


def test_a_review_begins_without_torch_or_widgets():
    heavy = ["torch", "numpy", "matplotlib", "ipywidgets", "IPython"]
    code = f"""
import json, sys
from course_utils.study import terminal
print(json.dumps([name for name in {heavy} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert json.loads(done.stdout) == []


def test_what_a_lesson_calls_is_a_function_whatever_was_imported_before():
    """`progress` and `ledger` are names of files as well."""
    code = """
from course_utils.study import log, enter, progress_text
from course_utils.study import check, ledger, progress
print(all(callable(each) for each in (check, enter, ledger, progress)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.strip() == b"True"
