"""The guides say what is so: minutes, points, messages, headings, links; and the author's guide,
followed to the letter, makes a lesson."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from course_utils import exercises
from course_utils.authoring.build import ROOT
from course_utils.authoring.source import AuthoringError, read
from course_utils.quiz import rules

DOCS = ROOT / "docs"
TEACHING = (DOCS / "teaching.md").read_text(encoding="utf-8")
WRITING = (DOCS / "contributing.md").read_text(encoding="utf-8")
SOURCES = {path.stem[:2]: path for path in sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))}
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def parts(text: str) -> dict[str, str]:
    """The sections of a page by their headings."""
    found = re.split(r"^## +(.+)$", text, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def one_line(text: str) -> str:
    return " ".join(text.split())


GUIDE = {heading[:2]: one_line(text) for heading, text in parts(TEACHING).items() if "·" in heading}


@cache
def texts(lesson: str) -> str:
    """All that a lesson says, text and code."""
    return "\n".join(cell.source for cell in read(SOURCES[lesson]).cells)


@cache
def wrong_answers() -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tests" / "exercises")
        for path in sorted((ROOT / "tests" / "exercises").glob("answers_*.py")):
            import_module(path.stem)
        return import_module("bank").WRONG


# --- The teacher's guide --------------------------------------------------------------------------


def test_the_guide_has_a_section_for_each_lesson_under_its_title():
    titles = [re.match(r"# (.+)", texts(lesson))[1] for lesson in SOURCES]
    assert [heading for heading in parts(TEACHING) if "·" in heading] == titles


def counted(number: float, what: str) -> str:
    return f"{number:g} {what}{'s' * (number != 1)}"


@pytest.mark.parametrize("lesson", SOURCES)
def test_the_minutes_and_points_of_a_lesson_are_right(lesson):
    asked = [e for e in exercises.every().values() if e.lesson == lesson]
    written = sum(cell.points for cell in read(SOURCES[lesson]).cells if cell.kind == "written")
    whole = re.search(r"(\d+) minutes", texts(lesson))[1]
    assert GUIDE[lesson].startswith(
        f"*{whole} minutes, {sum(e.minutes for e in asked)} of them for the exercise"
        f"{'s' * (len(asked) > 1)}; {counted(sum(e.points for e in asked), 'point')} and "
        f"{written:g} for written answers.*"
    )


@pytest.mark.parametrize("lesson", SOURCES)
def test_it_names_each_exercise_once_with_its_minutes_and_points(lesson):
    named = re.findall(r"`(\w+)` \((\d+) minutes, (\d+) points?\)", GUIDE[lesson])
    wanted = [
        (e.name, f"{e.minutes}", f"{e.points:g}")
        for e in exercises.every().values()
        if e.lesson == lesson
    ]
    assert sorted(named) == sorted(wanted)


def quoted() -> list[tuple[str, str]]:
    """What the guide says that students read: (exercise, words)."""
    found = []
    for text in GUIDE.values():
        expected = text.partition("**Expect**")[2].partition("**Beliefs")[0]
        for item in expected.split(" - `")[1:]:
            name = item.partition("`")[0]
            plain = item.replace("**", "")
            found += [(name, words) for words in re.findall(r"(?<!\w)\*([^*]{9,})\*", plain)]
    return found


def test_the_guide_quotes_messages():
    assert len(quoted()) > 50


@pytest.mark.parametrize(("name", "words"), quoted())
def test_a_quoted_message_is_what_some_wrong_answer_hears(name, words):
    """Answers whose phrase in the bank shares words with the quotation are tried first, and those
    are nearly always the ones."""
    likely = sorted(wrong_answers()[name], key=lambda pair: -shared(pair[1], words))
    for answer, _ in likely:
        if words in one_line(exercises.grade(name, answer).messages[0]):
            return
    pytest.fail("no wrong answer hears this")


def shared(phrase: str, words: str) -> int:
    return len(set(phrase.lower().split()) & set(words.lower().split()))


@pytest.mark.parametrize("lesson", SOURCES)
def test_the_beliefs_of_a_lesson_are_those_that_it_refutes_and_asks_about(lesson):
    folder = ROOT / "course_utils" / "quiz" / "bank"
    known = yaml.safe_load((folder / "misconceptions.yaml").read_text(encoding="utf-8"))
    says = [known[name]["says"] for name in known if known[name]["refuted"][:2] == lesson]
    assert GUIDE[lesson].partition("**Beliefs its questions meet:** ")[2] == " ".join(says)


def places(text: str, lesson: str | None = None) -> set[tuple[str, str]]:
    """The steps that a text names, (lesson, number); without a lesson's number its own."""
    found, where = set(), r"(?:\b(\d\d) )?Steps? (\d+(?:(?:, | and | to )\d+)*)"
    for other, numbers in re.findall(where, text):
        found |= {(other or lesson, number) for number in re.findall(r"\d+", numbers)}
    return found


@pytest.mark.parametrize("heading", parts(TEACHING))
def test_the_steps_and_predictions_it_names_are_there(heading):
    text = parts(TEACHING)[heading]
    own = heading[:2] if heading[:2] in SOURCES else None
    for lesson, number in places(text, own):
        assert f"\n## Step {number}:" in texts(lesson), (lesson, number)
    names = {e.name for e in exercises.every().values()} | set(dir(import_module("builtins")))
    for name in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", text):
        lessons = [own] if own else SOURCES
        if name not in names and not any(name in texts(lesson) for lesson in lessons):
            pytest.fail(f"{name} is in no lesson that this is about")


def test_its_plans_fill_ninety_minutes():
    tables = re.findall(r"\| minutes \|.*\n\|.*\n((?:\|.*\n)+)", TEACHING)
    assert len(tables) == 6
    for table in tables:
        spans = [tuple(map(int, span)) for span in re.findall(r"^\| (\d+)-(\d+) ", table, re.M)]
        assert len(spans) == table.count("\n")
        assert [spans[0][0], spans[-1][1]] == [0, 90]
        assert all(one[1] == other[0] for one, other in pairwise(spans))
        assert all(start < end for start, end in spans)


# --- The author's guide ---------------------------------------------------------------------------


def typed() -> dict[str, str]:
    """The files that the guide has one write, by path."""
    return dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)^```", WRITING, re.MULTILINE | re.DOTALL))


LESSON = "solutions/12_cut_off.py"
BANK = "course_utils/quiz/bank"


@pytest.fixture(scope="module")
def follower(tmp_path_factory) -> Path:
    """A copy of the course in which somebody has done all that the guide says, steps 1 to 5."""
    root = tmp_path_factory.mktemp("author") / "course"
    left_out = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for part in ("course_utils", "tests", "solutions"):
        shutil.copytree(ROOT / part, root / part, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", root)
    for path, text in typed().items():
        (root / path).write_text(text, encoding="utf-8")
    belief = re.search(r"^zeros-are-spread-evenly:.*?(?=^```)", WRITING, re.M | re.S)[0]
    with open(root / BANK / "misconceptions.yaml", "a", encoding="utf-8") as file:
        file.write(belief)
    titles = root / "course_utils" / "study" / "titles.py"
    title = re.search(r'^ +"12": say\(.+\n', WRITING, re.MULTILINE)[0]
    text = titles.read_text(encoding="utf-8").replace("    }\n", f"{title}    }}\n")
    assert title in text
    titles.write_text(text, encoding="utf-8")
    return root


def run(root: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_who_follows_the_guide_to_the_letter_has_a_lesson(follower):
    assert list(typed()) == [
        "course_utils/exercises/lesson12.py",
        "tests/exercises/answers_lesson12.py",
        "course_utils/quiz/bank/12_cut_off.yaml",
        LESSON,
    ]
    said = run(follower, "-m", "course_utils.cli", "build", "12")
    assert f"{LESSON}: built" in said
    assert (follower / "notebooks" / "12_cut_off.ipynb").exists()
    quiet = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist")
    for asked in re.findall(r"^\.venv/bin/python -m pytest -q (.+)$", WRITING, re.MULTILINE):
        assert " passed" in run(follower, "-m", "pytest", *quiet, *shlex.split(asked))
    assert "Cut off" in run(follower, "-m", "course_utils.cli", "progress")


def test_what_the_guide_has_one_write_is_in_the_style_of_the_course(follower):
    ours = [str(follower / path) for path in typed() if path.endswith(".py")]
    run(follower, "-m", "ruff", "check", "--no-cache", *ours)
    run(follower, "-m", "ruff", "format", "--no-cache", "--check", *ours)


def told(start: str) -> list[str]:
    """The messages in the guide's last table that begin so."""
    rows = re.findall(r"^\| (`+) ?(.+?) ?\1 \|", WRITING, re.MULTILINE)
    return [message for _, message in rows if message.startswith(start)]


# The mistake that each message of `course build` comes from.
SLIPS = {
    "no exercise named": ('exercise="rows_without_input"', 'exercise="rows_without_inputs"'),
    "has no check": ('# %% check="rows_without_input"', "# %%"),
    "a cell marker is written": ("# %% exercise", "#%% exercise"),
    "is never closed": ("    ### END SOLUTION\n", ""),
    "inside a function": ("    ### BEGIN", "    return 0\n\n\nif True:\n    ### BEGIN"),
    "must come first": (
        'varies claim="one_ranking_cuts_neurons_off"',
        'claim="one_ranking_cuts_neurons_off" varies',
    ),
    "needs its points": (" points=1", ""),
    "no cell above predicts": ('outcome("neurons_cut_off"', 'outcome("neurons_cutoff"'),
}


@pytest.mark.parametrize("message", told("solutions/"))
def test_a_message_of_the_build_is_the_one_that_its_mistake_gives(message, tmp_path, monkeypatch):
    space: dict = {"__name__": "lesson12"}
    exec(typed()["course_utils/exercises/lesson12.py"], space)
    known = {**exercises.every(), "rows_without_input": space["EXERCISES"][0]}
    monkeypatch.setattr(exercises, "every", lambda: known)
    path = tmp_path / LESSON
    path.parent.mkdir()
    path.write_text(typed()[LESSON], encoding="utf-8")
    read(path)
    (slip,) = [edit for words, edit in SLIPS.items() if words in message]
    assert slip[0] in typed()[LESSON]
    path.write_text(typed()[LESSON].replace(*slip, 1), encoding="utf-8")
    with pytest.raises(AuthoringError) as raised:
        read(path)
    assert str(raised.value) == message


# The mistake that each message of `course bank` comes from; "id" stands for whichever it offers.
BANK_SLIPS = {
    "`id` is missing": ("  - id: w7krq2\n    rev: 1", "  - rev: 1"),
    "no heading": ("place: Step 1", "place: Step 2"),
    "but `verify` says": ("answer: 1\n", "answer: 2\n"),
    "quotation marks": ('lesson: "12"', "lesson: 12"),
    "has changed": ("Look at the second row.", "Look again."),
}


def without_id(message: str) -> str:
    return re.sub(r"\w{6} is free", "one is free", message)


@pytest.mark.parametrize("message", told("bank/"))
def test_a_message_about_questions_is_the_one_that_its_mistake_gives(
    message, tmp_path, monkeypatch
):
    folder, source = tmp_path / "bank", tmp_path / LESSON
    folder.mkdir()
    source.parent.mkdir()
    source.write_text(typed()[LESSON], encoding="utf-8")
    monkeypatch.setattr(rules, "SOLUTIONS", source.parent)
    rules._headings.cache_clear()
    belief = re.search(r"^zeros-are-spread-evenly:.*?(?=^```)", WRITING, re.M | re.S)[0]
    (folder / "misconceptions.yaml").write_text(belief, encoding="utf-8")
    questions = folder / "12_cut_off.yaml"
    questions.write_text(typed()[f"{BANK}/12_cut_off.yaml"], encoding="utf-8")
    assert rules.mistakes(rules.Contents(folder)) == []
    if "has changed" in message:
        list(rules._record(rules.Contents(folder)))
        assert rules.problems(folder) == []
    (slip,) = [edit for words, edit in BANK_SLIPS.items() if words in message]
    text = questions.read_text(encoding="utf-8")
    assert slip[0] in text
    questions.write_text(text.replace(*slip, 1), encoding="utf-8")
    found = [without_id(str(problem)) for problem in rules.problems(folder)]
    rules._headings.cache_clear()
    assert without_id(message) in found


# --- All pages ------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What a link into a page can name, as GitHub makes it of the headings."""
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings
    }


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.glob("*.md"))], ids=lambda p: p.name
)
def test_every_link_inside_the_course_leads_somewhere(page):
    text = CODE.sub("", page.read_text(encoding="utf-8"))
    links = [to for to in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", to)]
    for link in links:
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link
