"""`course doctor`: looks at everything that the course stands on, and says what to type where it
does not hold.

It is asked when something does not work, so it counts on nothing: at its top it imports the
standard library alone, what may be broken it tries in a process of its own, and a look that fails
is a line like any other. It changes nothing and asks no network. Where not even `course` starts,
`python3 install.py` is what helps.
"""

import hashlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from course_utils import lab

OK, NOTE, WRONG = "ok", "note", "WRONG"
WIDTH = 80
PATIENCE = 120  # seconds for a program that is tried
ENOUGH = 500  # MB on a disk
PORT = 8888  # the one that `course lab` asks for first
MENUS = "@jupyter/nbgrader"  # what nbgrader adds to JupyterLab's own


class Finding(NamedTuple):
    says: str
    state: str = OK
    type: str = ""  # the command that mends it


Look = Callable[[], Finding]


def run(root: Path = lab.REPOSITORY, work: Path = lab.WORK) -> int:
    """Looks at everything and prints it line by line; 1 if anything that is needed is wrong. What a
    class needs is needed by those who ask from its folder."""
    where = class_folder()
    print("For the lessons:", flush=True)
    wrong = _told(
        {
            "Python": partial(python, root),
            "environment": partial(environment, root),
            "packages": partial(packages, root),
            "PyTorch": torch,
            **({} if where else {"work folder": _own_copies(work)}),
            "progress folder": progress_folder,
            "your progress": progress_file,
            "notebooks": partial(notebooks, root),
            "JupyterLab": jupyterlab,
            "kernel": kernel,
            "port": partial(port, PORT),
        }
    )
    teaching: dict[str, Look] = {"nbgrader": extensions, "isolation": isolation}
    if where:
        print(f"\nFor the class in {where}:", flush=True)
        opened = _command("chmod", "u+rwx", where)
        teaching["class folder"] = partial(writable, where, opened)
        teaching["exchange"] = partial(exchange, where)
        wrong += _told(teaching)
    else:
        print("\nOnly needed to grade a class:", flush=True)
        _told(teaching)
    print("\n" + _ending(wrong))
    return 1 if wrong else 0


def _own_copies(work: Path) -> Look:
    return partial(writable, work, f"{_program('course')} lab --work ~/pruning")


def _told(looks: dict[str, Look]) -> int:
    """Prints what each look finds as soon as it is known; how much of it is wrong."""
    wrong = 0
    for what, look in looks.items():
        try:
            finding = look()
        except ModuleNotFoundError as error:
            finding = Finding(f"not looked at: {error.name} is missing", WRONG)
        except Exception as error:  # whatever is broken, the rest can still be looked at
            finding = Finding(f"could not be looked at ({_one_line(error)})", WRONG)
        print(text(what, finding), flush=True)
        wrong += finding.state == WRONG
    return wrong


def text(what: str, finding: Finding) -> str:
    """A finding for people: wrapped but for the command, which is to be copied whole."""
    lines = textwrap.wrap(
        f"{what}: {finding.says}",
        WIDTH,
        initial_indent=f"  {finding.state:<7}",
        subsequent_indent=" " * 9,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([*lines, *([f"{' ' * 9}type: {finding.type}"] if finding.type else [])])


def _ending(wrong: int) -> str:
    if not wrong:
        return "Nothing that you need is missing."
    things = "One thing is" if wrong == 1 else f"{wrong} things are"
    return f"{things} wrong. Begin with the first, then look again: {_program('course')} doctor"


# --- Python and the packages ----------------------------------------------------------------------


def python(root: Path) -> Finding:
    if complaint := _installer(root).too_old(sys.version_info):
        return Finding(complaint.split(";")[0], WRONG, "make lab PYTHON=python3.12")
    return Finding(".".join(map(str, sys.version_info[:3])))


def environment(root: Path) -> Finding:
    """Whether it is the course's own, and made from what the course asks for today."""
    here = Path.cwd().resolve()
    for folder in (here, *here.parents):
        if folder != root and _is_clone(folder):
            says = f"you are in {folder}, and this `course` belongs to {root}"
            return Finding(says, WRONG, _install(folder))
    if not _is_clone(root):
        return Finding(f"{root} is no clone of the course", WRONG)
    own = root / ".venv"
    if Path(sys.prefix).resolve() != own.resolve():
        whose = "conda's" if (Path(sys.prefix) / "conda-meta").is_dir() else "your own"
        return Finding(f"{whose}, in {sys.prefix}, and not the course's .venv", NOTE)
    installer = _installer(root)
    # Without a record somebody installed by hand, and the packages themselves tell.
    if installer.DONE.exists() and not installer.is_installed(False):
        says = "out of date: what the course needs has changed since, or its folder has moved"
        return Finding(says, WRONG, _install(root))
    return Finding(f"the course's own, {own}")


def packages(root: Path) -> Finding:
    """Each package that the course asks for, in a version that fits."""
    import tomllib

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = project["dependencies"]
    missing = ", ".join(name for name in map(_name, asked) if not _version(name))
    faults = [f"missing: {missing}"] if missing else []
    faults += filter(None, map(_misfit, asked))
    if faults:
        return Finding("; ".join(faults), WRONG, _restored(root))
    pins = (root / "constraints.txt").read_text(encoding="utf-8")
    tested = dict(re.findall(r"^([\w.-]+)==(\S+)", pins, re.M))
    others = [
        f"{name} {have} (tested: {tested[name]})"
        for name in map(_name, asked)
        if name in tested and (have := _version(name).split("+")[0]) != tested[name]
    ]
    if others:
        return Finding(
            f"not in the versions that were tested: {', '.join(others)}", NOTE, _restored(root)
        )
    return Finding(f"all {len(asked)}, in the versions that were tested")


def _misfit(requirement: str) -> str:
    """Says so when a package is there in a version that does not fit."""
    name = _name(requirement)
    bound, have = requirement.removeprefix(name).strip(), _version(name)
    with suppress(ImportError):  # packaging itself may be what is missing
        from packaging.specifiers import SpecifierSet

        if have and not SpecifierSet(bound).contains(have, prereleases=True):
            return f"{name} {have} does not fit: {bound} is needed"
    return ""


def _name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement).group()


def _version(name: str) -> str:
    """Empty where a package is missing, or an interrupted installation left half of it."""
    try:
        return metadata.version(name) or ""
    except (metadata.PackageNotFoundError, FileNotFoundError, KeyError):  # as who else looks says
        return ""


def torch() -> Finding:
    """Whether PyTorch and torchvision start, and were made for each other."""
    done = _tried("import torch, torchvision as v; v.ops.nms(torch.ones(1, 4), torch.ones(1), 0.5)")
    if done.returncode:
        says = f"torch and torchvision do not start together ({_last(done)})"
        return Finding(says, WRONG, _mended(done, "torch", "torchvision"))
    return Finding(f"torch {_version('torch')}, torchvision {_version('torchvision')}")


# --- Folders and files ----------------------------------------------------------------------------


def writable(folder: Path, instead: str) -> Finding:
    """Whether a file can be written where the folder is, or will be, with room for more of them."""
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"course doctor")
        free = shutil.disk_usage(there).free / 1e6
    except OSError as error:
        says = f"{folder} cannot be written to ({error.strerror or error})"
        return Finding(says, WRONG, instead)
    if free < ENOUGH:
        says = f"{free:.0f} MB are left on the disk of {folder}; what pip keeps can go"
        return Finding(says, WRONG, _command(_python(), "-m", "pip", "cache", "purge"))
    return Finding(f"{folder}, {free / 1000:.1f} GB free")


def progress_folder() -> Finding:
    from course_utils.runtime import state_dir

    if "PRUNING_COURSE_HOME" in os.environ:
        instead = "set PRUNING_COURSE_HOME=" if os.name == "nt" else "unset PRUNING_COURSE_HOME"
    else:
        named = "set" if os.name == "nt" else "export"
        instead = f"{named} PRUNING_COURSE_HOME={Path.home() / 'pruning-progress'}"
    return writable(state_dir(), instead)


def progress_file() -> Finding:
    """Whether everything that a learner has done can still be read."""
    from course_utils.study import log

    path = log.path()
    if not path.exists():
        return Finding("nothing is written down yet")
    try:  # rw, and not ro: what a killed notebook left half written can then be taken back
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", timeout=1, uri=True)
        ) as database:
            rows = database.execute("SELECT id, data FROM events").fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return Finding("nothing is written down yet")
        if "locked" in str(error):
            return Finding(f"{path} is in use; close the notebook that writes to it", NOTE)
        opened = _command("chmod", "u+rw", path)
        return Finding(f"{path} cannot be read ({error})", WRONG, opened)
    except sqlite3.DatabaseError as error:
        says = (
            f"{path} is damaged ({error}); this keeps it under another name, and begins a new one"
        )
        return Finding(says, WRONG, f"{_program('course')} progress")
    unreadable = [number for number, data in rows if not _is_object(data)]
    if unreadable:
        says = f"{len(unreadable)} of {len(rows)} entries cannot be read; this takes them out"
        return Finding(says, WRONG, _without(path, unreadable))
    return Finding(f"{len(rows)} entries in {path}")


def _is_object(data: object) -> bool:
    try:
        return isinstance(json.loads(data), dict)
    except (ValueError, TypeError):
        return False


def _without(path: Path, entries: list[int]) -> str:
    numbers = ", ".join(map(str, entries))
    code = (
        f"import sqlite3; d = sqlite3.connect({str(path)!r}); "
        f"d.execute('DELETE FROM events WHERE id IN ({numbers})'); d.commit()"
    )
    return _command(_python(), "-c", code)


def notebooks(root: Path) -> Finding:
    """Whether each lesson is there, untouched, and made from the source that lies beside it."""
    lessons = [path.stem for path in sorted((root / "solutions").glob("[0-9][0-9]_*.py"))]
    if not lessons:
        return Finding(f"there are no lessons in {root}", WRONG)
    files = {name: root / "notebooks" / f"{name}.ipynb" for name in lessons}
    if gone := [name for name, file in files.items() if not file.is_file()]:
        says = f"missing: {', '.join(gone)}"
        if (root / ".git").exists():
            paths = [f"notebooks/{name}.ipynb" for name in gone]
            bring = _command("git", "-C", _near(root), "checkout", "--", *paths)
            return Finding(says, WRONG, bring)
        return Finding(says, WRONG, f"{_program('course')} build {' '.join(n[:2] for n in gone)}")
    for name, file in files.items():
        if _has_been_run(file):
            says = f"somebody worked in {file}; what you edit belongs in the work folder"
            place = root / "work" if (root / "work").is_dir() else root
            mine = place / f"{name}-mine.ipynb"
            return Finding(says, WRONG, _command(_MOVE, _near(file), _near(mine)))
    if stale := [name[:2] for name in lessons if _is_stale(name, root)]:
        says = f"{len(lessons)} lessons; changed since they were built: {', '.join(stale)}"
        return Finding(says, NOTE, f"{_program('course')} build")
    return Finding(f"{len(lessons)} lessons")


def _cells(notebook: Path) -> list[dict]:
    return json.loads(notebook.read_text(encoding="utf-8"))["cells"]


def _has_been_run(notebook: Path) -> bool:
    try:
        return any(cell.get("outputs") for cell in _cells(notebook))
    except (ValueError, KeyError, AttributeError, TypeError):  # no notebook any more
        return True


def _is_stale(name: str, root: Path) -> bool:
    """Whether a file has changed from which `course build` says that it made the notebook."""
    solution = root / "solutions" / f"{name}.ipynb"
    try:
        recorded = json.loads(solution.read_text(encoding="utf-8"))["metadata"]["pruning_course"]
        made_from = recorded["made_from"].items()
        files = {root / path: digest for path, digest in made_from if (root / path).is_file()}
        return any(_digest(path) != digest for path, digest in files.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return True


def _digest(path: Path) -> str:
    """As `course_utils.authoring.made_from` writes it down, which needs torch to be asked."""
    content = path.read_bytes()
    if b"\0" not in content:
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()[:12]


# --- Jupyter --------------------------------------------------------------------------------------


def jupyterlab() -> Finding:
    done = _tried("import jupyterlab.labapp")
    if done.returncode:
        return Finding(f"does not start ({_last(done)})", WRONG, _mended(done, "jupyterlab"))
    return Finding(_version("jupyterlab"))


def kernel() -> Finding:
    """Whether notebooks run in this environment: a kernel of the same name may come before its
    own, and then nothing of the course is found in it."""
    from jupyter_client.manager import KernelManager

    manager = KernelManager(kernel_name="python3")
    folder, program = Path(manager.kernel_spec.resource_dir), manager.format_kernel_cmd()[0]
    prefix, reason = "", ""
    try:
        asked = [program, "-c", "import sys, ipykernel; print(sys.prefix)"]
        done = _process(asked, os.environ | manager.kernel_spec.env)
        prefix, reason = done.stdout.strip(), f" ({_last(done)})" if done.returncode else ""
    except OSError as error:
        reason = f" ({error.strerror})"
    if prefix and Path(prefix).resolve() == Path(sys.prefix).resolve():
        return Finding(f"python3 runs in {prefix}")
    says = f"{folder} makes notebooks run {program}, and not this environment{reason}"
    if folder.resolve().is_relative_to(Path(sys.prefix).resolve()):
        return Finding(says, WRONG, _again("ipykernel"))
    return Finding(says, WRONG, _command(_MOVE, folder, folder.with_name("another-python3")))


def port(first: int) -> Finding:
    if _is_free(first):
        return Finding(f"{first} is free")
    whose = _server_on(first)
    by = f"by your JupyterLab on {whose}" if whose else "by another program"
    free = next((n for n in range(first + 1, first + 50) if _is_free(n)), "another")
    says = f"{first} is taken {by}; `course lab` takes {free}"
    return Finding(says, NOTE, f"{_program('jupyter')} server stop {first}" if whose else "")


def _is_free(number: int) -> bool:
    with closing(socket.socket()) as one:
        if os.name == "posix":  # as Jupyter asks: a server that has just ended holds nothing
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", number))
        except OSError:
            return False
    return True


def _server_on(number: int) -> str:
    """The folder of this user's Jupyter server there, if it is one."""
    with suppress(ImportError):
        from jupyter_server.serverapp import list_running_servers

        for server in list_running_servers():
            if server.get("port") == number:
                return server.get("root_dir", "")
    return ""


def extensions() -> Finding:
    """Whether nbgrader's pages and menus are there in what `course class open` starts."""
    paths = [str(lab.TEACHING), os.environ.get("JUPYTER_CONFIG_PATH")]
    teaching = {"JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, paths))}
    done = _tried(_ASK_JUPYTER, os.environ | teaching)
    if done.returncode:
        return Finding(f"does not start ({_last(done)})", WRONG, _mended(done, "nbgrader"))
    found = json.loads(done.stdout.splitlines()[-1])
    pages, jupyter, level = _pages(), _program("jupyter"), found["level"]
    if not (set(pages) <= set(found["pages"]) and MENUS in found["menus"]):
        says = "its pages for JupyterLab are not installed"
        return Finding(says, WRONG, _again("nbgrader"))
    if off := [name for name in pages if not found["pages"][name]]:
        says = f"switched off: {', '.join(name.rpartition('.')[2] for name in off)}"
        return Finding(says, WRONG, f"{jupyter} server extension enable --{level} {' '.join(off)}")
    if any(name.split(":")[0] == MENUS for name in found["off"]):
        level = level.replace("-", "_")
        enabled = f"{jupyter} labextension enable --level={level} {MENUS}"
        return Finding("its menus in JupyterLab are switched off", WRONG, enabled)
    return Finding(f"{_version('nbgrader')}, with its pages in JupyterLab")


def _pages() -> list[str]:
    """nbgrader's, as the settings for learners list them, which switch them off."""
    settings = (lab.SETTINGS / "jupyter_server_config.json").read_text(encoding="utf-8")
    pages = json.loads(settings)["ServerApp"]["jpserver_extensions"]
    return [name for name in pages if name.startswith("nbgrader")]


_ASK_JUPYTER = """
import json, logging
logging.disable()
import nbgrader.server_extensions.formgrader
from jupyter_core.paths import jupyter_path, prefer_environment_over_user
from jupyter_server.serverapp import ServerApp
from jupyterlab_server.config import get_page_config
app = ServerApp()
app.load_config_file()
app.find_server_extensions()
page = get_page_config(jupyter_path("labextensions"))
print(json.dumps({
    "pages": app.jpserver_extensions,
    "menus": [each["name"] for each in page["federated_extensions"]],
    "off": list(page["disabledExtensions"]),
    "level": "sys-prefix" if prefer_environment_over_user() else "user",
}))
"""


# --- Grading --------------------------------------------------------------------------------------


def isolation() -> Finding:
    """Whether students' code can be run behind bubblewrap's walls: something is."""
    from course_utils.grading import sandbox

    try:
        package = Path(__file__).resolve().parents[1]
        with sandbox.Sandbox("course_utils.doctor:say_hello", package) as box:
            ran = box.run(b"")
    except sandbox.NotIsolated as error:
        why = str(error).partition(" To grade all the same")[0]
        typed = re.search(r"`(sudo [^`]+)`", why)
        why = re.sub(r" This allows it: `[^`]+`\.| \(`[^`]+`[^)]*\)", "", why)
        if typed:
            return Finding(why, WRONG, typed.group(1))
        return Finding(f"{why} docs/grading.md says how to grade without.", WRONG)
    if ran.parts != [b"hello"] or ran.ended:
        return Finding(f"what ran behind bubblewrap's walls {ran.ended or 'was not heard'}", WRONG)
    return Finding("bubblewrap is there, and code runs behind its walls")


def say_hello(_job: bytes, say: Callable[[bytes], None]) -> None:
    """What is run behind the walls to see whether they stand."""
    say(b"hello")


def class_folder() -> Path | None:
    """The class that one stands in."""
    with suppress(ImportError, OSError, ValueError):
        from course_utils.grading import classes

        return classes.find()
    return None


def exchange(folder: Path) -> Finding:
    """Whether homework can be released to accounts on this machine and collected from them."""
    from nbgrader.exchange.default import ExchangeReleaseAssignment

    from course_utils.grading import classes

    if os.name == "nt":
        return Finding("none on Windows; docs/grading.md says how work travels without", NOTE)
    with classes.nbgrader(folder) as app:
        place = Path(ExchangeReleaseAssignment(coursedir=app.coursedir, parent=app).root)
    make = _command("sudo", "install", "-d", "-m", "1777", place)
    needed = "only needed if students have accounts on this machine, as docs/grading.md says"
    if not os.path.isdir(place):
        return Finding(f"there is no {place}; {needed}", NOTE, make)
    if place.stat().st_mode & 0o1777 != 0o1777:
        return Finding(f"not everybody may hand in through {place}; {needed}", NOTE, make)
    return Finding(f"{place}, where everybody may hand in")


# --- What to type ---------------------------------------------------------------------------------

_MOVE = "move" if os.name == "nt" else "mv"


def _command(*words: str | Path) -> str:
    """As it is typed here, with the quotes that it needs."""
    listed = list(map(str, words))
    return subprocess.list2cmdline(listed) if os.name == "nt" else shlex.join(listed)


def _near(path: Path | str) -> str:
    """A path as short as it can be from here."""
    path, here = Path(path), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _python() -> str:
    return _near(sys.executable)


def _program(name: str) -> str:
    """One of the environment's own."""
    return _command(_near(Path(sys.executable).with_name(name)))


def _install(root: Path) -> str:
    install = f"{'py' if os.name == 'nt' else 'python3'} install.py"
    return install if Path.cwd() == root else f"{_command('cd', root)} && {install}"


def _mended(done: subprocess.CompletedProcess, *names: str) -> str:
    """Brings what is missing, or once more what is there and does not start."""
    missing = re.search(r"No module named '(\w+)", _last(done))
    absent = missing and (missing.group(1) not in names or not _version(missing.group(1)))
    return _restored(lab.REPOSITORY) if absent else _again(*names)


def _restored(root: Path) -> str:
    """Brings all that is needed, in the versions that were tested."""
    versions = _near(root / "constraints.txt")
    return _command(_python(), "-m", "pip", "install", "-e", _near(root), "-c", versions)


def _again(*names: str) -> str:
    """Installs the same versions once more, PyTorch in the build that is there."""
    wanted = [f"{name}=={have}" if (have := _version(name)) else name for name in names]
    cpu = ["--extra-index-url", "https://download.pytorch.org/whl/cpu"]
    index = cpu if any(each.endswith("+cpu") for each in wanted) else []
    pip = (_python(), "-m", "pip", "install", "--force-reinstall", "--no-deps")
    return _command(*pip, *index, *wanted)


# --- Asking ---------------------------------------------------------------------------------------


def _installer(root: Path):
    """install.py, which knows when an environment is out of date."""
    spec = importlib.util.spec_from_file_location("course_install", root / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_clone(folder: Path) -> bool:
    return (folder / "install.py").is_file() and (folder / "course_utils" / "cli.py").is_file()


def _tried(code: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
    return _process([sys.executable, "-c", code], environment)


def _process(command: list[str], environment: dict[str, str] | None) -> subprocess.CompletedProcess:
    return subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=PATIENCE,
    )


def _last(done: subprocess.CompletedProcess) -> str:
    """The last line of a program's complaint, which names the reason."""
    if done.returncode < 0:
        return f"it crashed with signal {-done.returncode}"
    lines = done.stderr.strip().splitlines()
    return _one_line(lines[-1] if lines else f"exit status {done.returncode}")


def _one_line(error: object) -> str:
    return " ".join(str(error).split())[:300]
