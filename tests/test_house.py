"""The house rules: who may import whom, how fast the command answers, and what must stay equal."""

import ast
import os
import re
import statistics
import subprocess
import sys
import time
import tomllib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from course_utils import cli

HOUSE = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text(encoding="utf-8"))
DEPENDENCIES = PYPROJECT["project"]["dependencies"]
TEST_DEPENDENCIES = PYPROJECT["project"]["optional-dependencies"]["test"]

# --- Who may import whom --------------------------------------------------------------------------

_GROUND = {"data", "download", "measure", "models", "plots", "runtime", "training"}
MAY_IMPORT = {
    **{part: _GROUND - {part} for part in _GROUND},
    "runtime": set(),
    "onnx_file": {"measure"},
    "report": {"measure", "pruning"},
    "pruning": {"measure"},
    "exercises": {"data", "measure", "models", "onnx_file", "pruning"},
    "quiz": {"runtime"},
    "study": _GROUND | {"copies", "exercises", "lesson_changes", "quiz"},
    "grading": {"data", "exercises", "quiz", "study"},
    "authoring": _GROUND | {"exercises", "pruning", "quiz"},
    "copies": set(),
    "lab": {"copies", "lesson_changes"},
    "lesson_changes": set(),
    "doctor": {"grading", "lab", "runtime", "study"},
    "cli": {"authoring", "doctor", "grading", "lab", "models", "quiz", "study"},
}


def ours(file: Path, package: Path) -> set[str]:
    """The parts of the package that a file imports, wherever in the file and in whatever way."""
    where = [package.name, *file.relative_to(package).parts[:-1]]
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = where[: len(where) - node.level + 1] if node.level else []
            base += [node.module] if node.module else []
            found |= {".".join([*base, alias.name]) for alias in node.names}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in {"import_module", "__import__"}:
                found.add(str(node.args[0].value))
    return {name.split(".")[1] for name in found if name.startswith(f"{package.name}.")}


def broken_rules(package: Path) -> list[str]:
    broken = []
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        part = inside.parts[0].removesuffix(".py")
        if part == "__init__":
            allowed = set()
        elif part in MAY_IMPORT:
            allowed = MAY_IMPORT[part] | {part}
        else:
            broken.append(f"{inside}: the house has no rule for {part} yet")
            continue
        broken += [f"{inside} imports {name}" for name in sorted(ours(file, package) - allowed)]
    return broken


def test_every_part_imports_only_what_it_may():
    assert broken_rules(HOUSE / "course_utils") == []


@pytest.mark.parametrize(
    "file, line",
    [
        ("exercises/one.py", "import course_utils.study"),
        ("exercises/one.py", "from course_utils import study"),
        ("exercises/one.py", "from course_utils.study import check"),
        ("exercises/one.py", "from .. import study"),
        ("exercises/one.py", "from ..study.panel import show"),
        ("exercises/deep/one.py", "from ... import study"),
        ("exercises/one.py", "def late():\n    from course_utils import study"),
        ("exercises/one.py", "import importlib\nimportlib.import_module('course_utils.study')"),
        ("exercises/one.py", "__import__('course_utils.study')"),
        ("authoring/one.py", "from course_utils import study"),
        ("authoring/one.py", "from course_utils import grading"),
        ("pruning/one.py", "from course_utils import models"),
        ("data.py", "from course_utils import exercises"),
        ("study/one.py", "from course_utils import authoring"),
        ("cellar.py", "import os"),
        ("__init__.py", "from course_utils import models"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path, file, line):
    path = tmp_path / "course_utils" / file
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    assert len(broken_rules(tmp_path / "course_utils")) == 1


@pytest.mark.parametrize(
    "file, line",
    [
        ("exercises/one.py", "from course_utils.models import LeNet"),
        ("exercises/one.py", "from .two import name"),
        ("exercises/deep/one.py", "from ..two import study"),
        ("pruning/one.py", "import study"),
        ("pruning/one.py", "from course_utils.measure import sparsity"),
        ("cli.py", "def late():\n    from course_utils.authoring.build import build"),
    ],
)
def test_an_allowed_import_is_let_pass(tmp_path, file, line):
    path = tmp_path / "course_utils" / file
    path.parent.mkdir(parents=True)
    path.write_text(line, encoding="utf-8")
    assert broken_rules(tmp_path / "course_utils") == []


# --- The command ----------------------------------------------------------------------------------


def test_course_help_imports_nothing_heavy():
    asked = [sys.executable, "-X", "importtime", "-m", "course_utils.cli", "--help"]
    done = subprocess.run(asked, cwd=HOUSE, capture_output=True, text=True, check=True)
    imported = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "argparse" in imported
    assert imported.isdisjoint({"torch", "numpy", "matplotlib", "jupyter_core", "nbformat"})
    assert "usage: course" in done.stdout


def test_course_help_answers_in_under_half_a_second():
    course = Path(sys.executable).with_name("course")
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([course, "--help"], stdout=subprocess.DEVNULL, check=True)
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.5


@pytest.mark.parametrize("error", [FileNotFoundError("no such lesson"), ValueError("odd lesson")])
def test_an_expected_error_is_one_sentence_and_exit_code_1(monkeypatch, capsys, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr("course_utils.authoring.build.build", fails)
    assert cli.main(["build"]) == 1
    assert capsys.readouterr().err == f"course: {error}\n"


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    def fails(*_, **__):
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr("course_utils.authoring.build.build", fails)
    with pytest.raises(RuntimeError):
        cli.main(["build"])


def test_build_hands_over_what_was_asked_and_gives_back_the_exit_code(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "course_utils.authoring.build.build",
        lambda lessons, check: asked.append((lessons, check)) or 3,
    )
    assert cli.main(["build"]) == 3
    assert cli.main(["build", "00", "01", "--check"]) == 3
    assert asked == [([], False), (["00", "01"], True)]


def test_nobody_hears_of_it_when_a_reader_has_read_enough():
    reads, writes = os.pipe()
    os.close(reads)
    command = [sys.executable, "-m", "course_utils.cli", "language"]
    ended = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, text=True)
    os.close(writes)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_no_two_files_of_tests_have_one_name():
    """pytest would take the second for the first, and run neither."""
    names = [path.name for path in HOUSE.glob("tests/**/*.py") if path.name != "conftest.py"]
    assert len(names) == len(set(names))


def test_progress_prints_what_study_says(monkeypatch, capsys):
    monkeypatch.setattr("course_utils.study.progress_text", lambda: "all done")
    assert cli.main(["progress"]) == 0
    assert capsys.readouterr().out == "all done\n"


def test_checkpoints_hands_over_and_gives_back_the_exit_code(monkeypatch):
    monkeypatch.setattr("course_utils.models.rebuild_checkpoints", lambda check: 4 if check else 0)
    assert cli.main(["checkpoints"]) == 0
    assert cli.main(["checkpoints", "--check"]) == 4


@pytest.mark.parametrize("arguments", [[], ["class"]])
def test_without_a_verb_the_help_is_printed_and_the_exit_code_is_2(arguments, capsys):
    assert cli.main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out.startswith(f"usage: {' '.join(['course', *arguments])} ")
    assert "verbs:" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("arguments", [["dance"], ["lab", "--port", "0"], ["lab", "--port", "web"]])
def test_what_cannot_be_asked_is_refused_with_exit_code_2(arguments, capsys):
    with pytest.raises(SystemExit) as refusal:
        cli.main(arguments)
    assert refusal.value.code == 2
    assert "usage: course" in capsys.readouterr().err


# --- Things that must stay equal ------------------------------------------------------------------


def split(requirement: str) -> tuple[str, str]:
    """("jupyterlab", ">=4.4") from "jupyterlab>=4.4"."""
    name, bound = re.fullmatch(r"([A-Za-z0-9_.-]+?)\s*((?:[<>=!~].*)?)", requirement).groups()
    return name, bound


def test_the_conda_environment_equals_the_package():
    listed = yaml.safe_load((HOUSE / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (with_pip,) = [entry["pip"] for entry in listed if isinstance(entry, dict)]
    conda = dict(split(entry) for entry in listed if isinstance(entry, str))
    assert conda.pop("python") == PYPROJECT["project"]["requires-python"]
    assert conda.pop("pip") == ""
    conda["torch"] = conda.pop("pytorch")  # its name on conda-forge
    assert "-e ." in with_pip
    everything = conda | dict(split(entry) for entry in with_pip if entry != "-e .")
    assert everything == dict(map(split, DEPENDENCIES + TEST_DEPENDENCIES))


def test_every_dependency_is_pinned():
    lines = (HOUSE / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [line for line in lines if not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][\w.]*", line) for line in pinned)
    names = {line.split("==")[0].lower() for line in pinned}
    assert {split(entry)[0] for entry in DEPENDENCIES + TEST_DEPENDENCIES} <= names


def test_every_pin_can_be_installed_on_the_oldest_python_that_the_package_admits():
    """Debian 12 has 3.11.2; a pin that asks for 3.11.5 leaves its users with no installation."""
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=") + ".0"
    asked_for = {}
    for line in (HOUSE / "constraints.txt").read_text(encoding="utf-8").splitlines():
        with suppress(PackageNotFoundError):
            installed = metadata(line.split("==")[0])
            if installed["Version"] == line.split("==")[-1]:
                asked_for[line] = installed.get("Requires-Python") or ">=3"
    assert len(asked_for) > 50, "the pinned versions are the ones installed here"
    assert {
        line: asked for line, asked in asked_for.items() if oldest not in SpecifierSet(asked)
    } == {}


def test_the_readme_says_what_every_dependency_is_for():
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    for name, _ in map(split, DEPENDENCIES + TEST_DEPENDENCIES):
        assert re.search(rf"^\|[^|]*`{re.escape(name)}`[^|]*\| *\w[^|]+\|$", readme, re.M), name


def test_every_file_that_the_readme_points_to_exists():
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", readme)
    assert targets
    assert [target for target in targets if not (HOUSE / target).exists()] == []


def test_the_readme_lists_the_lessons_that_exist_and_no_others():
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(notebooks/(\w+\.ipynb)\)", readme))
    assert linked == {path.name for path in (HOUSE / "notebooks").glob("*.ipynb")}


def test_the_list_of_the_modules_of_grading_names_every_one_once():
    folder = HOUSE / "course_utils" / "grading"
    says = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    listed = re.findall(r"^    ([a-z_]+) {2,}\S", says, re.M)
    assert sorted(listed) == sorted({path.stem for path in folder.glob("*.py")} - {"__init__"})


# --- Tidiness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [["check"], ["format", "--check"]])
def test_ruff_has_nothing_to_say(asked):
    command = [sys.executable, "-m", "ruff", *asked, "--no-cache", "."]
    done = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


# A folder of one machine, as an absolute path: what a stray output or a copied command leaves.
MACHINE_PATH = re.compile(r"(?<![\w.~{}$/-])/(?:home|root|work|opt|Users|tmp)/\w|[A-Z]:\\Users\\")


def repository_files() -> list[Path]:
    """What is tracked, or would be with the next commit."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, check=True).stdout
    paths = [HOUSE / name for name in listed.split("\0") if name]
    return [path for path in paths if path.is_file()]


def test_no_file_names_a_folder_of_one_machine():
    found = []
    for path in repository_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture or weights
        found += [
            f"{path.relative_to(HOUSE)}: {hit.group()}" for hit in MACHINE_PATH.finditer(text)
        ]
    assert found == []


def test_a_folder_of_one_machine_is_recognised():
    for folder in ("home", "root", "work", "opt", "Users", "tmp"):
        assert MACHINE_PATH.search(f"see {os.sep}{folder}/someone/course")
    assert not MACHINE_PATH.search("the file work/01_topic.ipynb, or https://example.org/home/page")
