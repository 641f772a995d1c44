"""What an executed notebook was made from: the lesson, and the parts of the package it uses.

Found by reading imports, not by running anything, so that asking costs milliseconds and the answer
is the same under every Python. A file is known by the first digits of its SHA-256, newlines made
the same on every system.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import course_utils
from course_utils import exercises
from course_utils.authoring.source import Lesson, as_python

PACKAGE = Path(course_utils.__file__).parent
QUIZ = PACKAGE / "quiz"


def made_from(lesson: Lesson) -> dict[str, str]:
    """The digest of each file whose change could change what the lesson's cells print."""
    digests = {lesson.label: digest(lesson.path)}
    code = "\n".join(as_python(cell.source) for cell in lesson.cells if cell.is_code)
    if "progress()" in code:
        digests["the list of exercises"] = _digest(repr(_all_exercises()).encode())
    # the package of exercises loads its lessons by name, where no import can be read
    asked = {cell.name for cell in lesson.cells if cell.kind == "exercise"}
    modules = {type(exercises.find(name)).__module__ for name in asked}
    for path in package_files(code, modules):
        if _is_anothers(path, lesson):
            continue
        digests[f"{PACKAGE.name}/{path.relative_to(PACKAGE).as_posix()}"] = digest(path)
    return digests


def _is_anothers(path: Path, lesson: Lesson) -> bool:
    """The data of quizzes that a built lesson does not show: it shows its own questions with their
    pictures, in English."""
    if QUIZ not in path.parents or path.suffix == ".py":
        return False
    own = (QUIZ / "bank").glob(f"{lesson.number}_*.yaml")
    if path.suffix == ".png":  # named after the question
        asked = f"id: {path.stem}\n"
        return not any(asked in file.read_text(encoding="utf-8") for file in own)
    return path not in own


def digest(path: Path) -> str:
    content = path.read_bytes()
    if b"\0" not in content:  # as git tells text from other things
        content = content.replace(b"\r\n", b"\n")
    return _digest(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def _all_exercises() -> list[tuple]:
    """What the table of progress shows of them, those of other lessons too."""
    return [(e.lesson, e.name, e.points) for e in map(exercises.find, exercises.names())]


def package_files(code: str, modules: Iterable[str] = (), package: Path = PACKAGE) -> list[Path]:
    """The files of a package that this code or these modules use, directly or through others:
    what is imported anywhere, inside functions too, and the data files that are named."""
    tree = ast.parse(code)
    waiting = [*_imports(tree, "", package.name), *modules]
    found: dict[str, Path] = {}
    words: set[str] = set()
    while waiting:
        module = waiting.pop()
        path = _path(module, package)
        if module in found or path is None:
            continue
        found[module] = path
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parent = module.rpartition(".")[0]
        inside = module if path.name == "__init__.py" else parent
        waiting += [parent, *_imports(tree, inside, package.name)]
        words.update(word for text in _strings(tree) for word in text.split("/"))
    data = {path for path in _data_files(package) if words & _names(path, package)}
    return sorted({*found.values(), *data})


def _path(module: str, package: Path) -> Path | None:
    """Where a module of the package lies, or None if it is somebody else's or no module."""
    first, *rest = module.split(".")
    if first != package.name:
        return None
    place = package.joinpath(*rest)
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _imports(tree: ast.AST, inside: str, package: str) -> Iterator[str]:
    """Everything the code might import, in absolute names; some of them are no modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # from . import x, from ..y import x
                steps = inside.split(".")
                base = ".".join([*steps[: len(steps) - node.level + 1], *filter(None, [base])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
    # import_module("course_utils.models")
    yield from (text for text in _strings(tree) if text.startswith(f"{package}."))


def _strings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def _names(path: Path, package: Path) -> set[str]:
    """What code calls a data file: its own name, or that of a folder that holds data alone."""
    folders = [part for part in path.relative_to(package).parents if part != Path(".")]
    return {path.name, *(f.name for f in folders if not (package / f / "__init__.py").is_file())}


def _data_files(package: Path) -> list[Path]:
    return [
        path
        for path in package.rglob("*")
        if path.is_file()
        and path.suffix not in (".py", ".pyc")
        and not any(part.startswith((".", "__")) for part in path.relative_to(package).parts)
    ]
