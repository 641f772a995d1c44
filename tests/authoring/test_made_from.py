import pytest

from course_utils import exercises
from course_utils.authoring.build import ROOT
from course_utils.authoring.made_from import digest, made_from, package_files
from course_utils.authoring.source import read


@pytest.fixture
def package(tmp_path):
    """A package whose files import and name each other in every way ours may."""
    files = {
        "__init__.py": "",
        "alone.py": "",
        "plain.py": "import os\n",
        "late.py": "def f():\n    from course.deep import inner\n",
        "deep/__init__.py": "",
        "deep/inner.py": "from . import sister\nfrom ..plain import x\nfrom .aunt import y\n",
        "deep/sister.py": "",
        "deep/aunt.py": "",
        "deep/stranger.py": "",
        "circle.py": "import course.square\n",
        "square.py": "import course.circle as c\n",
        "byname.py": "from importlib import import_module\nimport_module('course.plain')\n",
        "keeper.py": "from pathlib import Path\nFOLDER = Path(__file__).parent / 'store'\n",
        "reader.py": "def f(here, n):\n    return here / f'shelf/{n}.bin', here / 'one.yaml'\n",
        "store/a.bin": "a",
        "store/deeper/b.bin": "b",
        "shelf/c.bin": "c",
        "deep/one.yaml": "1",
        "deep/two.yaml": "2",
    }
    root = tmp_path / "course"
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("code", "used"),
    [
        ("import torch", []),
        ("import coursework.plain", []),
        ("import course", ["__init__.py"]),
        ("import course.plain as p", ["__init__.py", "plain.py"]),
        ("from course import plain, unknown", ["__init__.py", "plain.py"]),
        ("def f():\n    from course.plain import x", ["__init__.py", "plain.py"]),
        (
            "from course.late import f",
            [
                "__init__.py",
                "deep/__init__.py",
                "deep/aunt.py",
                "deep/inner.py",
                "deep/sister.py",
                "late.py",
                "plain.py",
            ],
        ),
        ("import course.circle", ["__init__.py", "circle.py", "square.py"]),
        ("import course.byname", ["__init__.py", "byname.py", "plain.py"]),
        ("import course.keeper", ["__init__.py", "keeper.py", "store/a.bin", "store/deeper/b.bin"]),
        ("import course.reader", ["__init__.py", "deep/one.yaml", "reader.py", "shelf/c.bin"]),
    ],
)
def test_what_is_used_is_found_through_every_kind_of_import(package, code, used):
    files = package_files(code, package=package)
    assert [path.relative_to(package).as_posix() for path in files] == used


def test_a_digest_does_not_depend_on_how_lines_end(tmp_path):
    unix, windows, other = (tmp_path / name for name in ("a.py", "b.py", "c.py"))
    unix.write_bytes(b"x = 1\ny = 2\n")
    windows.write_bytes(b"x = 1\r\ny = 2\r\n")
    other.write_bytes(b"x = 1\ny = 3\n")
    assert digest(unix) == digest(windows) != digest(other)


def test_a_digest_of_binary_data_takes_every_byte(tmp_path):
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"\0\n")
    other.write_bytes(b"\0\r\n")
    assert digest(one) != digest(other)


LESSON_00 = """\
# %%
from course_utils import models

# %% exercise="keep_largest"
def keep_largest(values, k):
    ### BEGIN SOLUTION
    return values
    ### END SOLUTION

# %% check="keep_largest"
from course_utils.exercises import grade as check

check("keep_largest", keep_largest)
"""


def test_a_lesson_is_made_from_itself_its_exercises_and_what_it_imports(tmp_path):
    path = tmp_path / "solutions" / "00_start.py"
    path.parent.mkdir()
    path.write_text(LESSON_00, encoding="utf-8")
    used = made_from(read(path))
    assert next(iter(used)) == "solutions/00_start.py"
    assert {
        "course_utils/exercises/engine.py",
        "course_utils/exercises/lesson00.py",
        "course_utils/models.py",
    } <= set(used)
    assert any(name.startswith("course_utils/checkpoints/") for name in used)
    assert not {
        "course_utils/exercises/lesson01.py",
        "course_utils/cli.py",
        "course_utils/authoring/build.py",
    } & set(used)


def test_a_lesson_with_a_quiz_depends_on_its_own_questions_and_no_others(tmp_path):
    path = tmp_path / "solutions" / "01_topic.py"
    path.parent.mkdir()
    quiz = '# %%\nfrom course_utils.study import quiz\n\nquiz("01", "exit")\n'
    path.write_text(quiz, encoding="utf-8")
    used = set(made_from(read(path)))
    assert {"course_utils/study/quizzes.py", "course_utils/quiz/markup.py"} <= used
    bank = ROOT / "course_utils" / "quiz" / "bank"
    own = bank / "01_networks_and_weights.yaml"
    pictures = [p for p in bank.rglob("*.png") if f"id: {p.stem}\n" in own.read_text("utf-8")]
    assert pictures
    expected = {path.relative_to(ROOT).as_posix() for path in [own, *pictures]}
    assert {name for name in used if "/bank/" in name} == expected
    assert not [name for name in used if name.endswith(".po")]


def test_a_lesson_that_shows_progress_depends_on_what_is_listed_there(tmp_path, monkeypatch):
    path = tmp_path / "solutions" / "00_start.py"
    path.parent.mkdir()

    def used(text):
        path.write_text(text, encoding="utf-8")
        return made_from(read(path))

    shows = LESSON_00 + "\n# %%\nprogress()\n"
    plain, before = used(LESSON_00), used(shows)
    fewer = exercises.names()[:-1]
    monkeypatch.setattr(exercises, "names", lambda: fewer)
    after = used(shows)
    assert set(before) - set(plain) == {"the list of exercises"}
    assert [key for key in before if before[key] != after[key]] == ["the list of exercises"]
