"""Writes the copy of the course that student code sees while a class is graded.

What an answer could be taken from is not in it: the references, the cases and the ways of judging
them, the techniques of `course_utils.pruning`, the test images. The copy is made from the source
as it is, so a new exercise needs no line here. Of an exercises module only that is kept which
running an answer needs: fields, `call`, and what these use.

Nothing here imports torch, or the modules that it copies.
"""

import ast
import gzip
import importlib.util
import shutil
from pathlib import Path

import numpy

from course_utils.grading.parsing import parse

COURSE = Path(__file__).resolve().parents[1]
ELSEWHERE = ("authoring", "cli.py", "jupyter", "lab.py")  # not for notebooks
INSIDE = ("answers",)  # of `grading`, and whatever of it that imports
UNCHECKED = ("study/checking.py", "study/claims.py")  # replaced by `grading/unchecked.py`
JUDGING = {"cases", "verify", "wanted", "expected", "shown", "refused"}  # never inside
TEST_IMAGES = 500  # as `data` splits the digits; a test compares


def write(folder: Path, exercises: list[str]) -> dict[Path, Path]:
    """Write `folder/course_utils` for an assignment with these exercises; returns which files
    outside of it are to be seen as which others."""
    course = folder / "course_utils"
    left_out = shutil.ignore_patterns("__pycache__", *ELSEWHERE, "grading")
    shutil.copytree(COURSE, course, ignore=left_out)
    _write_exercises(course / "exercises", exercises)
    if not _delegating(exercises):
        for path in sorted((course / "pruning").rglob("*.py")):
            _refuse_all(path)
    _write_grading(course / "grading")
    for name in UNCHECKED:
        shutil.copy(COURSE / "grading" / "unchecked.py", course / name)
    replaced = _without_test_images(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)  # seen by a user who is not this one
    return replaced


# --- grading and pruning --------------------------------------------------------------------------


def _write_grading(folder: Path) -> None:
    folder.mkdir()
    docstring = '"""The part of `grading` that runs beside student code."""\n'
    (folder / "__init__.py").write_text(docstring, encoding="utf-8")
    waiting, copied = list(INSIDE), set()
    while waiting:
        name = waiting.pop()
        if name not in copied:
            copied.add(name)
            shutil.copy(COURSE / "grading" / f"{name}.py", folder)
            waiting += _imported(_parsed(folder / f"{name}.py"), "course_utils.grading")


def _imported(tree: ast.AST, package: str) -> set[str]:
    """The modules of a package that a file imports by name."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == package:
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package}."):
            found.add(node.module.removeprefix(f"{package}."))
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
            found |= {n.removeprefix(f"{package}.") for n in names if n.startswith(f"{package}.")}
    return found


def _refuse(node: ast.FunctionDef | ast.ClassDef) -> None:
    """Nothing stays but names: every function raises `Delegated`, noted as it is in a notebook."""
    if isinstance(node, ast.ClassDef):
        node.body = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        for part in node.body:
            _refuse(part)
    else:
        node.body = parse(_REFUSAL).body


_REFUSAL = "from course_utils.exercises.delegation import refuse\nrefuse()"


def _refuse_all(path: Path) -> None:
    tree = _parsed(path)
    outermost = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            outermost += [part for part in node.body if isinstance(part, ast.FunctionDef)]
    for node in outermost:
        _refuse(node)
    _save(path, tree)


def _parsed(path: Path) -> ast.Module:
    return parse(path.read_text(encoding="utf-8"))


def _save(path: Path, tree: ast.Module) -> None:
    text = ast.unparse(ast.fix_missing_locations(tree))
    path.write_text(text + "\n", encoding="utf-8")


# --- exercises ------------------------------------------------------------------------------------


def _write_exercises(folder: Path, exercises: list[str]) -> None:
    fields = _fields(_parsed(folder / "engine.py"))
    delegating = _delegating(exercises)
    lessons = sorted(folder.glob("lesson*.py"))
    for path in lessons:
        _save(path, _slim(_parsed(path), path.stem, fields, delegating))
    waiting, needed = [folder / "__init__.py", *lessons], set()
    while waiting:
        path = waiting.pop()
        if path.exists() and path not in needed:
            needed.add(path)
            names = _imported(_parsed(path), "course_utils.exercises")
            waiting += [folder / f"{name}.py" for name in names]
    for path in set(folder.glob("*.py")) - needed:
        path.unlink()


def _fields(engine: ast.Module) -> set[str]:
    """What every exercise has, but for what judges."""
    base = next(n for n in engine.body if isinstance(n, ast.ClassDef) and n.name == "Exercise")
    return {name for node in base.body for name in _defined(node)} - JUDGING


def _delegating(exercises: list[str]) -> set[str]:
    """Those exercises that may use whatever the course has, but for their own solution."""
    found = set()
    for path in (COURSE / "exercises").glob("lesson*.py"):
        for node in _exercise_classes(_parsed(path)):
            if _field(node, "delegates") and _field(node, "name") in exercises:
                found.add(_field(node, "name"))
    return found


def _slim(tree: ast.Module, module: str, fields: set[str], delegating: set[str]) -> ast.Module:
    """A lesson's exercises, as far as running an answer needs them."""
    tree.body = _one_by_one(tree.body)
    classes, refused = _exercise_classes(tree), set()
    for node in classes:
        refused |= _forbidden_here(node, module)
        if not delegating or _field(node, "name") in delegating:
            refused |= _references(node)
    for name in refused:
        parts = [part for part in tree.body if name in _defined(part)]
        if not any(isinstance(part, ast.FunctionDef | ast.ClassDef) for part in parts):
            raise ValueError(f"{name} in {module} is neither a function nor a class: what is it?")
        for part in parts:
            _refuse(part)
    needed = _needed_by(classes, {"call"})
    for node in classes:
        node.body = [part for part in node.body if _defined(part) & (fields | needed)]
        node.body = node.body or [ast.Pass()]
    tree.body = _reached(tree.body, {"EXERCISES", *refused})
    return tree


def _exercise_classes(tree: ast.Module) -> list[ast.ClassDef]:
    """The classes that derive from `Exercise`, by way of others of the module too."""
    known, found = {"Exercise"}, []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and known & set(map(ast.unparse, node.bases)):
            known.add(node.name)
            found.append(node)
    return found


def _field(node: ast.ClassDef, name: str):
    """What a class says of itself in so many words, if it does."""
    for part in node.body:
        if name in _defined(part) and isinstance(getattr(part, "value", None), ast.Constant):
            return part.value.value
    return None


def _references(node: ast.ClassDef) -> set[str]:
    """The functions and classes that are an exercise's reference; a method is refused at once."""
    found = set()
    for part in node.body:
        if "reference" in _defined(part):
            if isinstance(part, ast.FunctionDef):
                _refuse(part)
            else:
                found |= _names(part.value) - {"staticmethod"}
    return found


def _forbidden_here(node: ast.ClassDef, module: str) -> set[str]:
    """Functions of its own module that an exercise names as not to be called."""
    start = f"course_utils.exercises.{module}."
    texts = [
        part.value
        for field in node.body
        if "forbids" in _defined(field)
        for part in ast.walk(field)
        if isinstance(part, ast.Constant)
    ]
    return {text.removeprefix(start) for text in texts if text.startswith(start)}


def _needed_by(classes: list[ast.ClassDef], names: set[str]) -> set[str]:
    """Names of the classes' parts: these, and those that they mention, and so on."""
    needed, before = set(names), set()
    while needed != before:
        before = set(needed)
        for part in (part for node in classes for part in node.body):
            if _defined(part) & needed:
                needed |= {n.attr for n in ast.walk(part) if isinstance(n, ast.Attribute)}
        needed -= JUDGING
    return needed


def _reached(body: list[ast.stmt], names: set[str]) -> list[ast.stmt]:
    """The statements that define these names, and what those mention, and so on; and those that
    define nothing."""
    kept, wanted, before = [], set(names), None
    while len(kept) != before:
        before = len(kept)
        kept = [part for part in body if not _defined(part) or _defined(part) & wanted]
        wanted.update(*map(_names, kept))
    return kept


def _one_by_one(body: list[ast.stmt]) -> list[ast.stmt]:
    """Imports of several names as several imports, so that each can go."""
    parts = []
    for part in body:
        if isinstance(part, ast.ImportFrom):
            parts += [ast.ImportFrom(part.module, [a], part.level) for a in part.names]
        else:
            parts += (
                [ast.Import([a]) for a in part.names] if isinstance(part, ast.Import) else [part]
            )
    return parts


def _defined(part: ast.stmt) -> set[str]:
    """The names that a statement defines, one way or another."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {part.name}
    if isinstance(part, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in part.names}
    stored = [n for n in ast.walk(part) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)]
    return {node.id for node in stored}


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


# --- images ---------------------------------------------------------------------------------------


def _without_test_images(folder: Path) -> dict[Path, Path]:
    """Scikit-learn's file of digits with the course's test images gone dark."""
    package = importlib.util.find_spec("sklearn").submodule_search_locations[0]
    original = Path(package, "datasets", "data", "digits.csv.gz")
    rows = gzip.decompress(original.read_bytes()).decode().splitlines()
    order = numpy.random.RandomState(0).permutation(len(rows))
    for row in order[-TEST_IMAGES:]:
        rows[row] = ",".join("0" for _ in rows[row].split(","))
    blanked = folder / "digits.csv.gz"
    blanked.write_bytes(gzip.compress("\n".join([*rows, ""]).encode(), mtime=0))
    return {original: blanked}
