"""`course lab`: the lessons in the learner's own folder, and JupyterLab open on the first of them.

Learners edit copies. A lesson is copied once; a newer version takes the place of a copy that is as
it was delivered, and lands beside any other (01-v2_topic.ipynb), never over it. The glossary is
treated likewise. What has been delivered is remembered by hash, so that neither an edited nor a
deleted copy is taken for one that never came. JupyterLab runs as a process of its own and keeps the
secret of its address to itself and its user.
"""

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from urllib.parse import quote

from course_utils.copies import (
    at_hand,
    copies,
    digest,
    digest_of,
    is_notebook,
    later_name,
    read_record,
    sorted_out,
    version_of,
    write,
    write_record,
)
from course_utils.lesson_changes import SAME, changes

REPOSITORY = Path(__file__).resolve().parents[1]
NOTEBOOKS = REPOSITORY / "notebooks"
WORK = REPOSITORY / "work"
START_PAGE = "00"  # the number of its lesson
GLOSSARY = "glossary.md"
PATIENCE = 120  # seconds that JupyterLab may take to start

# Settings that go before the user's own: no news or updates from the network, no chatter in the
# terminal, and for learners no instructor's menus and pages of Markdown to read.
SETTINGS = Path(__file__).with_name("jupyter")
TEACHING = SETTINGS / "teaching"
HOMEWORK = SETTINGS / "homework"  # the assignment list and Validate, nothing of the instructor's


def run(work: Path, port: int = 8888, browser: bool = True) -> int:
    """Delivers the lessons, serves the folder until it is stopped, and returns the exit status."""
    work = work.expanduser().absolute()
    for line in deliver(NOTEBOOKS, work, in_use=bool(_already_open(work, _servers()))):
        print(line)
    start = at_hand(START_PAGE, work)
    page = f"lab/tree/{quote(start.name)}" if start else "lab"
    return serve(work, port, browser, page, "The course is at", SETTINGS)


# --- The lessons in the work folder ---------------------------------------------------------------


def deliver(notebooks: Path, work: Path, in_use: bool = False) -> list[str]:
    """Copies into `work` what has not been delivered yet; returns what to tell the learner. While
    the folder is in use no copy is replaced: it may be open, with work that is not saved yet."""
    lessons = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    if not lessons:
        raise FileNotFoundError(
            f"There are no lessons in {notebooks}: run this from a clone of the course,"
            " and if you are its author run `course build` first."
        )
    try:
        work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=work):  # a learner will want to save, even if we do not
            pass
        return _deliver(lessons, notebooks / GLOSSARY, work, in_use)
    except OSError as error:
        reason = error.strerror or error
        raise OSError(
            f"The work folder {work} cannot be written to ({reason});"
            " name another with `course lab --work DIR`."
        ) from error


def _deliver(lessons: list[Path], glossary: Path, work: Path, in_use: bool) -> list[str]:
    delivered = read_record(work)
    new, renewed, newer, told = [], [], [], []
    for lesson in lessons:
        content = lesson.read_bytes()
        version = digest(content)
        known = delivered.setdefault(lesson.stem, [])
        # Without this, a lost record would bring a second copy of everything.
        here = {copy.name: digest_of(copy) for copy in copies(lesson.stem, work)}
        mine, waiting = sorted_out(lesson.stem, work, known)
        # A page that was open all the time has been saved over what was replaced below it.
        saved_over = [n for n in here if delivered.get(n) == [version] and here[n] != version]
        for name in saved_over:
            del delivered[name]
        if not here:
            new.append(_free_name(lesson, 1, work))
            write(work / new[-1], content)
        elif version not in here.values() and (waiting or saved_over or version not in known):
            different = _different(mine, content) if mine else []
            if different != SAME:
                replaced = waiting and not in_use
                numbers = [len(known), *map(version_of, copies(lesson.stem, work))]
                name = waiting.name if replaced else _free_name(lesson, max(numbers) + 1, work)
                write(work / name, content)
                (renewed if replaced else newer).append(name)
                if replaced:
                    delivered[name] = [version]
                told += [f"  {name}: {' '.join(different)}"] if different else []
        if version not in known:
            known.append(version)
        if is_notebook(lesson):
            broken = [c.name for c in copies(lesson.stem, work) if not is_notebook(c)]
            told += [f"  {name}: {_BROKEN}" for name in broken]
    if glossary.is_file():
        content, known = glossary.read_bytes(), delivered.setdefault(glossary.stem, [])
        version, there = digest(content), (work / GLOSSARY).is_file()
        if name := _glossary_name(version, known, work):
            write(work / name, content)
            (newer if name != GLOSSARY else renewed if there else new).append(name)
        if version not in known:
            known.append(version)
    write_record(work, delivered)
    return [*_news(new, renewed, newer, work), *told]


_BROKEN = "no notebook any more. Move it away or delete it, and the next start brings another."


def _different(mine: Path, content: bytes) -> list[str]:
    """What this version brings for whoever works in that copy."""
    try:
        old = mine.read_text(encoding="utf-8", errors="replace")
    except OSError:  # not for us to read: the newer version lies beside it all the same
        return []
    return changes(old, content.decode("utf-8"))


def _glossary_name(version: str, known: list[str], work: Path) -> str | None:
    """Where this version is to be written; None where it need not be."""
    copy = work / GLOSSARY
    have = digest_of(copy) if copy.is_file() else None
    if have == version:
        return None
    if have is None or have in known:
        return GLOSSARY
    return None if version in known else _free_name(copy, len(known) + 1, work)


def _free_name(file: Path, first: int, work: Path) -> str:
    for number in count(first):
        name = file.name if number == 1 else later_name(file.stem, number) + file.suffix
        if not os.path.lexists(work / name):
            return name


def _news(new: list[str], renewed: list[str], newer: list[str], work: Path) -> list[str]:
    lines = []
    if new:
        lines.append(f"Copied into {work}: {', '.join(new)}")
    if renewed:
        lines.append(
            f"A newer version, in place of a copy that you had not changed: {', '.join(renewed)}"
        )
    if newer:
        lines.append(f"A newer version, beside your copy, which stays as it is: {', '.join(newer)}")
    return lines or [f"Your lessons in {work} are up to date."]


# --- JupyterLab -----------------------------------------------------------------------------------


def serve(
    folder: Path, port: int, browser: bool, page: str, announcement: str, settings: Path
) -> int:
    """Runs JupyterLab on a folder until it ends by itself or is ended with ctrl-C."""
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={folder}"]
    command += [f"--ServerApp.port={port}", f"--LabApp.default_url=/{page}"]
    command += [f"--LabApp.open_browser={browser and has_display()}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    print("Starting JupyterLab ...", flush=True)
    before = _servers()
    for other in _already_open(folder, before):
        end = f"{Path(sys.executable).with_name('jupyter')} server stop {other}"
        print(f"This folder is open already, on port {other}, and two at once can overwrite each")
        print(f"other's files. To end that one: {end}", flush=True)
    with _interrupted_by("SIGTERM", "SIGHUP"), _running(command, folder, settings) as jupyter:
        try:
            info = _wait_until_it_answers(jupyter, folder, before)
            token = f"?token={info['token']}" if info["token"] else ""
            if info["port"] != port:
                print(f"Another program uses port {port}, so this is at a new address.")
            print(f"{announcement} {info['url']}{page}{token}")
            print("Leave this running while you work. Ctrl-C ends it.", flush=True)
            return _ended(jupyter.wait(), folder)
        except KeyboardInterrupt:
            print("\nStopping JupyterLab ...", flush=True)
            return 0


def _ended(code: int, folder: Path) -> int:
    """Nobody typed ctrl-C here: JupyterLab was stopped from its own menu, killed, or failed."""
    how = f" (exit status {code})" if code else ""
    print(f"JupyterLab has ended{how}. What was saved is in {folder}.")
    if code:
        print("Leave its page open in the browser and type the same command again: the page finds")
        print("its way back. Save what you had not saved, then reload the page.", flush=True)
    return code


def has_display() -> bool:
    """False where opening a browser would find no screen, or a browser made of text."""
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _interrupted_by(*names: str):
    """Lets these signals end the program as ctrl-C does, so that JupyterLab never outlives it."""
    known = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, _interrupt) for number in known}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(_number, _frame):
    raise KeyboardInterrupt


@contextmanager
def _running(command: list[str], folder: Path, settings: Path):
    """The process, which is gone afterwards together with its kernels.

    It runs in a session of its own: ctrl-C then reaches this program alone, which asks JupyterLab
    to stop in the one way that also ends the kernels. The token travels in the environment, which
    other users cannot read, as they can the list of processes.
    """
    programs = Path(sys.executable).parent  # for JupyterLab's terminals, and nbgrader's helpers
    environment = os.environ | {
        "JUPYTER_CONFIG_PATH": _before("JUPYTER_CONFIG_PATH", settings),
        "JUPYTER_TOKEN": secrets.token_hex(24),
        "PATH": _before("PATH", programs),
    }
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()


def _before(variable: str, first: Path) -> str:
    return os.pathsep.join(filter(None, [str(first), os.environ.get(variable)]))


def _wait_until_it_answers(jupyter: subprocess.Popen, folder: Path, before: dict) -> dict:
    """What JupyterLab says about itself, the address first of all, once a request is answered."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if jupyter.poll() is not None:
            raise OSError(
                f"JupyterLab ended before it answered (exit status {jupyter.returncode}); its own"
                " messages stand above, and `course doctor` looks for the reason."
            )
        for path, changed in _servers().items():
            with suppress(OSError, ValueError, KeyError):
                info = json.loads(path.read_text(encoding="utf-8"))
                mine = changed != before.get(path) and os.path.samefile(info["root_dir"], folder)
                if mine and _answers(info):
                    return info
        time.sleep(0.2)
    raise OSError(
        f"JupyterLab has not answered within {PATIENCE} seconds; it was stopped."
        " `course doctor` looks for the reason."
    )


def _servers() -> dict[Path, int]:
    """The files in which this user's Jupyter servers say where they are, and when they changed."""
    from jupyter_core.paths import jupyter_runtime_dir

    found = {}
    for path in Path(jupyter_runtime_dir()).glob("jpserver-*.json"):
        with suppress(FileNotFoundError):
            found[path] = path.stat().st_mtime_ns
    return found


def _already_open(folder: Path, servers: dict[Path, int]) -> list[int]:
    """The ports on which this user's other servers show this folder."""
    ports = set()
    for path in servers:
        with suppress(OSError, ValueError, KeyError):
            info = json.loads(path.read_text(encoding="utf-8"))
            if os.path.samefile(info["root_dir"], folder) and _answers(info):
                ports.add(info["port"])
    return sorted(ports)


def _answers(info: dict) -> bool:
    """Whether it is there, and no other server that has taken its port since."""
    if info["secure"]:  # a certificate of the user's own making: asking would be refused
        return True
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    asked = urllib.request.Request(info["url"] + ("api/status" if info["token"] else "api"))
    asked.add_header("Authorization", f"token {info['token']}")
    with suppress(OSError):
        return direct.open(asked, timeout=5).status == 200
    return False
