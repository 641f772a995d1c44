"""Runs a program on strangers' data or code where it can reach nothing: the outside.

A `Sandbox` is one warm parent (`service`) behind bubblewrap; each `run` forks a fresh process tree
from it, with namespaces, scratch and limits of its own, and listens to what it says. Threads may
call `run` at once: their jobs run side by side. Nobody inside
is believed: what comes out is bytes of limited length, and how a job ended is for the kernel and
the clock to say. What the bytes mean is the callers' business. Imports no torch.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from . import service

NO_MEMORY_LEFT = "was ended because the machine had no memory left"
STARTING = 120  # seconds for the imports of a warm parent, or of a plain process
AFTER_INTERRUPT = 2  # seconds in which an interrupted step must come to its end
ROOT = Path("/")
_PYTHON = Path(os.path.abspath(sys.executable))  # without `..`, and with its links
_PACKAGE = "/run/course/package"
_SERVICE = "/run/course/service"
_BOOT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from grading import service; "
    "del sys.path[0]; service.main(sys.argv[2])"
)


class Limits(NamedTuple):
    step: float = 60  # seconds for one cell or one check
    job: float = 600  # seconds for all
    memory: int = 4 * 2**30  # bytes, of all processes of a job together
    processes: int = 64
    scratch: int = 512 * 2**20  # bytes that it may write
    said: int = 32 * 2**20  # bytes that may come out


DEFAULTS = Limits()


class Ran(NamedTuple):
    parts: list[bytes]  # what the program said, in order, whole parts only
    ended: str  # "" when it finished; otherwise one plain phrase, such as "ran longer than 60 s"
    step: int | None  # the step it was in when it ended like that
    seconds: float


class _Gone(RuntimeError):
    """The warm parent died before it began the job, which therefore cannot be to blame."""


_ENDED = "the sandbox ended before it began a job"


class NotIsolated(ValueError):
    """Students' code would not be isolated here; says why, and what to do about it."""


class Sandbox:
    """One warm parent for one program, "module:function", called as function(job, say).

    `package` holds the `course_utils` that is seen inside; the real one is not. `replaced` shows
    one file in the place of another. The module's `prepare(prepared)` is called once, before the
    first job, if there is anything to prepare. With `isolated=False` every job is an ordinary
    process of this user with none of the walls: for machines without bubblewrap, and by explicit
    choice only.
    """

    def __init__(
        self,
        program: str,
        package: Path,
        replaced: dict[Path, Path] | None = None,
        isolated: bool = True,
        prepared: bytes = b"",
    ):
        self._program, self._prepared = program, prepared
        self._package = Path(package).resolve()
        self._replaced = dict(replaced or {})
        self._isolated = isolated
        self._starting = threading.Lock()
        self._parent: _WarmParent | None = None
        if not (self._package / "course_utils").is_dir():
            raise ValueError(f"{self._package} holds no folder course_utils.")
        if isolated:
            self._parent = self._start()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        with self._starting:
            if self._parent:
                self._parent.stop()
            self._parent = None

    def run(
        self,
        job: bytes,
        files: dict[str, bytes] | None = None,
        limits: Limits = DEFAULTS,
        core: int | None = None,
    ) -> Ran:
        """One job, with `files` in its working folder. Waits for its end, and for that of all that
        it started. `core` is the one processor it runs on, so that no job, however many processes
        it starts, takes time from those beside it; without it, it may use all."""
        packed = service.pack(job, _harmless(files or {}))
        if not self._isolated:
            return _run_plainly(self._program, self._package, self._prepared, packed, limits)
        with contextlib.suppress(_Gone):
            return self._alive().run(packed, limits, core)
        return self._alive().run(packed, limits, core)

    def _alive(self) -> "_WarmParent":
        """The parent, or a new one in the place of one that has died."""
        with self._starting:
            if self._parent is None or not self._parent.alive:
                if self._parent:
                    self._parent.stop()
                self._parent = self._start()
            return self._parent

    def _start(self) -> "_WarmParent":
        command = _bubblewrap(self._program, self._package, self._replaced)
        with contextlib.suppress(_Gone):
            return _WarmParent(command, self._prepared)
        return _WarmParent(command, self._prepared)


def _harmless(files: dict[str, bytes]) -> dict[str, bytes]:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in name:
            raise ValueError(f"{name!r} is not the name of a file inside a folder.")
    return files


# --- The warm parent, seen from outside -----------------------------------------------------------


class _WarmParent:
    """A running service: one socket to it, and one thread that started it and waits for it."""

    def __init__(self, command: list[str], prepared: bytes = b""):
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `stop`)
        self._process: subprocess.Popen | None = None
        self._first = threading.Lock()
        self._ready = self._stopped = False
        self._reason: str | None = None  # for not being ready, once that is known
        started = threading.Event()

        def start_and_wait():
            # What dies with its parent dies with the *thread* that started it, so this one waits:
            # as a daemon it lives until the whole process ends, however that ends. (The service
            # inside ends then too: nobody is left at the other end of its socket.)
            try:
                self._process = subprocess.Popen(
                    command,
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=self._complaints,
                    env=_environment(),
                    start_new_session=True,
                )
            except OSError as error:
                self._complaints.write(str(error).encode())
            finally:
                theirs.close()
                started.set()
            if self._process:
                self._process.wait()

        self._thread = threading.Thread(target=start_and_wait, daemon=True)
        self._thread.start()
        started.wait()
        said = _heard(self._control)
        if said != {"walls": "stand"}:
            why = said.get("missing") or self._complaint()
            self.stop()
            if self._killed():
                raise _Gone(_ENDED)
            raise NotIsolated(_cannot(why or "bubblewrap ended without a word"))
        with _in_memory(prepared) as file, contextlib.suppress(OSError):
            socket.send_fds(self._control, [b"prepare"], [file])

    @property
    def alive(self) -> bool:
        return not self._stopped and self._thread.is_alive()

    def run(self, packed: bytes, limits: Limits, core: int | None) -> Ran:
        self._wait_until_ready()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        events: queue.SimpleQueue = queue.SimpleQueue()
        reads, writes = os.pipe()
        with ours, _in_memory(packed) as job:
            try:
                asked = json.dumps({**limits._asdict(), "core": core}).encode()
                socket.send_fds(self._control, [asked], [job, writes, theirs.fileno()])
            except OSError:
                pass  # it has just died, which is what will be heard
            finally:
                theirs.close()
                os.close(writes)
            hearers = [_reading(reads, limits.said, events)]
            hearers.append(_telling(lambda: _heard(ours), events))
            try:
                interrupt, kill = (partial(_tell, ours, w) for w in (b"interrupt", b"kill"))
                return _follow(events, limits, interrupt, kill)
            except _Gone:
                self._thread.join(2)  # it is about to be seen
                raise
            except BaseException:
                self.stop()
                raise
            finally:
                with contextlib.suppress(OSError):
                    ours.shutdown(socket.SHUT_RDWR)  # nobody waits any more: what runs is ended
                for each in hearers:
                    each.join()
                os.close(reads)

    def _wait_until_ready(self) -> None:
        with self._first:
            if not self._ready and self._reason is None:
                self._ready = _heard(self._control) == {"ready": True}
                if not self._ready:
                    why = self._complaint()
                    self._reason = "" if self._killed() else why
            if not self._ready:  # as all threads that waited are told
                if self._reason:
                    raise RuntimeError(f"the sandbox did not start: {self._reason}")
                raise _Gone(_ENDED)

    def _killed(self) -> bool:
        """Whether bubblewrap was, or, which its exit status says, what it ran."""
        status = self._process.returncode if self._process else 0
        return status is not None and (status < 0 or status == 128 + signal.SIGKILL)

    def _complaint(self) -> str:
        self._thread.join(5)
        self._complaints.seek(0)
        lines = self._complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def stop(self) -> None:
        """It ends when nobody is at the other end; and with it, all that is inside."""
        if self._stopped:
            return
        self._stopped = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)
        self._thread.join(2)
        if self._thread.is_alive():
            self._process.kill()
            self._thread.join()
        self._control.close()
        self._complaints.close()


def _heard(control: socket.socket) -> dict:
    """What is said next; nothing once whoever would say it is dead."""
    with contextlib.suppress(OSError):
        said = control.recv(65536)
        if said:
            return json.loads(said)
    return {}


def _tell(control: socket.socket, what: bytes) -> None:
    with contextlib.suppress(OSError):
        control.send(what)


def _cannot(why: str) -> str:
    return (
        f"Students' code cannot be isolated on this machine: {why}. {_what_to_type()}"
        "To grade all the same, with code that can read and change whatever you can, "
        "say so: `--not-isolated`, or `c.ExecuteIsolated.isolated = False` in nbgrader_config.py."
    )


def _what_to_type(kernel: Path = Path("/proc/sys")) -> str:
    """For the switches by which systems are known to forbid ordinary users a namespace."""
    for name, forbids, allows in (
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
        ("user/max_user_namespaces", "0", "10000"),
    ):
        path = kernel / name
        if path.exists() and path.read_text(encoding="utf-8").strip() == forbids:
            switch = name.replace("/", ".")
            return f"This allows it: `sudo sysctl -w {switch}={allows}`. "
    return ""


@contextlib.contextmanager
def _in_memory(content: bytes):
    """A descriptor to read `content` from, which is on no disk."""
    with open(os.memfd_create("job"), "w+b") as file:
        file.write(content)
        file.seek(0)
        yield file.fileno()


# --- What is seen inside --------------------------------------------------------------------------


def _bubblewrap(program: str, package: Path, replaced: dict[Path, Path]) -> list[str]:
    """The command that starts the service where only what it needs can be seen, and only read."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        advice = "`sudo apt-get install bubblewrap`, or with your system's package manager"
        if not sys.platform.startswith("linux"):
            advice = "it exists on Linux only"
        raise NotIsolated(_cannot(f"bubblewrap is missing ({advice})"))
    command = [bwrap, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--new-session", "--die-with-parent", "--cap-drop", "ALL"]
    if _is_root():  # which the service gives up itself, once it has mounted its own /proc
        for each in ("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"):
            command += ["--cap-add", each]
    else:
        student = str(service.STUDENT)
        command += ["--unshare-user", "--uid", student, "--gid", student]
    interpreter = _interpreter()
    sites = _sites()
    shown = _outermost([*_SYSTEM, *interpreter, *sites])
    for path in shown:
        command += _link(path) if path.is_symlink() and path.parent == ROOT else _show(path)
    command += _links_to(_PYTHON, shown)
    seen = package / "course_utils"
    command += _show(seen, f"{_PACKAGE}/course_utils")
    real = Path(__file__).resolve().parents[1]
    if any(real.is_relative_to(path) for path in shown):
        command += _show(seen, real)
    for path, instead in replaced.items():
        command += _show(instead, path)
    for name in ("service.py", "namespaces.py"):
        command += _show(real / "grading" / name, f"{_SERVICE}/grading/{name}")
    for folder in ("/tmp", service.ROOM, f"{service.ROOM}/home"):
        command += ["--dir", folder]
    command += ["--proc", "/proc", "--dev", "/dev", "--chdir", service.ROOM]
    inside = {
        "program": program,
        "package": _PACKAGE,
        "sites": [str(site) for site in sites],
        "kept": [str(path) for path in shown if path.is_relative_to("/tmp")],
    }
    return [*command, "--", str(_PYTHON), "-s", "-P", "-c", _BOOT, _SERVICE, json.dumps(inside)]


# Programs and libraries, what tells where they are, fonts, and what processors there are.
_SYSTEM = [
    *map(Path, ("/usr", "/bin", "/sbin", "/lib", "/lib64")),
    *map(Path, ("/etc/ld.so.cache", "/etc/alternatives", "/etc/fonts")),
    Path("/sys/devices/system/cpu"),
]


def _interpreter() -> list[Path]:
    """Of an environment and of the Python it was made from: its programs and libraries. The folder
    around them may be anybody's: many make an environment right inside a folder of their work."""
    prefixes = {Path(prefix) for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    prefixes |= {prefix.resolve() for prefix in prefixes}
    return [prefix / part for prefix in prefixes for part in ("bin", "lib", "lib64", "pyvenv.cfg")]


def _sites() -> list[Path]:
    """Folders of installed packages, wherever they lie: a user's own are often in their home."""
    paths = map(Path, filter(None, sys.path))
    return [path for path in paths if path.name in ("site-packages", "dist-packages")]


def _outermost(paths: list[Path]) -> list[Path]:
    """Those that exist and do not lie within another one."""
    there = {path for path in paths if path.exists()}
    return sorted(path for path in there if there.isdisjoint(path.parents))


def _show(path: Path, place: Path | str | None = None) -> list[str]:
    place = Path(place or path)
    return [*_open_folders_above(place), "--ro-bind", str(path), str(place)]


def _open_folders_above(place: Path) -> list[str]:
    """Those that bubblewrap makes on its own can be entered by their owner only."""
    folders = [folder for folder in reversed(place.parents) if folder != ROOT]
    return [word for folder in folders for word in ("--dir", str(folder))]


def _link(path: Path) -> list[str]:
    return [*_open_folders_above(path), "--symlink", os.readlink(path), str(path)]


def _links_to(program: Path, shown: list[Path]) -> list[str]:
    """The links on the way to the interpreter that lie outside of what is shown."""
    command = []
    while program.is_symlink():
        if not any(program.is_relative_to(path) for path in shown):
            command += _link(program)
        program = Path(os.path.normpath(program.parent / os.readlink(program)))
    return command


def _is_root() -> bool:
    """Root, and not only so called: in some containers no other user exists."""
    if os.geteuid() != 0:
        return False
    lines = Path("/proc/self/uid_map").read_text(encoding="utf-8").splitlines()
    ranges = [(int(first), int(count)) for first, _, count in map(str.split, lines)]
    return any(first <= service.ORDINARY < first + count for first, count in ranges)


def _environment() -> dict[str, str]:
    """From scratch: nothing of what the instructor's says gets in."""
    threads = ("OMP", "MKL", "OPENBLAS", "NUMEXPR", "VECLIB")
    return {
        "PATH": f"{_PYTHON.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{service.ROOM}/home",
        "USER": "student",
        "LOGNAME": "student",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MALLOC_ARENA_MAX": "2",
        **{f"{name}_NUM_THREADS": "1" for name in threads},
    }


# --- Listening ------------------------------------------------------------------------------------


def _reading(descriptor: int, most: int, events: queue.SimpleQueue) -> threading.Thread:
    """Hands over a little more than `most` bytes; whatever comes then is read and forgotten."""

    def read():
        count = 0
        while data := os.read(descriptor, 2**18):
            if count <= most:
                events.put(("data", data))
            count += len(data)
        events.put(("closed", None))

    return _started(read)


def _telling(how, events: queue.SimpleQueue) -> threading.Thread:
    return _started(lambda: events.put(("ended", how())))


def _started(function) -> threading.Thread:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    return thread


def _follow(
    events: queue.SimpleQueue,
    limits: Limits,
    interrupt: Callable[[], None],
    kill: Callable[[], None],
    patience: float = 60,
) -> Ran:
    """Listen until the job has ended and all is heard; interrupt and kill where limits ask for it.

    `patience`: how long to go on listening after the end, where a process that is left may hold
    the line.
    """
    heard = _Heard(limits)
    begun = time.monotonic()
    step_ends = job_ends = begun + STARTING
    interrupted = False
    verdict, how, closed = "", None, False
    too_slow = f"ran longer than {limits.step:g} s"
    while how is None or not closed:
        now = time.monotonic()
        running = how is None and not verdict
        wait = max(0.0, min(step_ends, job_ends) - now) if running else 60
        if how is not None:
            wait = patience
        try:
            event, what = events.get(timeout=wait)
        except queue.Empty:
            if how is not None:
                break
            if not running:
                raise TimeoutError("a job could not be ended.") from None
            now = time.monotonic()
            if now >= job_ends:
                verdict = f"ran longer than {limits.job:g} s in all"
                kill()
            elif interrupted:
                verdict = too_slow
                kill()
            else:
                interrupted, step_ends = True, now + AFTER_INTERRUPT
                interrupt()
            continue
        if event == "data":
            before, ready = heard.step, heard.begun
            heard.take(what)
            now = time.monotonic()
            if heard.begun and not ready:
                begun, job_ends, step_ends = now, now + limits.job, now + limits.step
            if heard.step != before:
                step_ends, interrupted = now + limits.step, False
            if heard.too_much and not verdict:
                verdict = f"wrote more than {_size(limits.said)}"
                kill()
        elif event == "closed":
            closed = True
        else:
            how = what
    if not how and not heard.begun:
        raise _Gone(_ENDED)
    if not verdict:
        verdict = _ending(how, heard, limits)
        if verdict and interrupted:  # and its last step, which did not survive that, is to blame
            verdict = too_slow
    seconds = time.monotonic() - begun
    return Ran(heard.parts, verdict, heard.step if verdict else None, seconds)


class _Heard:
    """Frames, as far as they can be believed: so many bytes, steps that only rise, whole parts."""

    def __init__(self, limits: Limits):
        self.parts: list[bytes] = []
        self.step: int | None = None
        self.begun = self.done = self.too_much = False
        self.failure = ""
        self._limit = limits.said
        self._total = 0
        self._rest = bytearray()

    def take(self, data: bytes) -> None:
        self._total += len(data)
        self.too_much = self.too_much or self._total > self._limit
        if self.too_much:
            return
        self._rest += data
        size = service.FRAME.size
        while len(self._rest) >= size:
            kind, length = service.FRAME.unpack_from(self._rest)
            if length > self._limit:
                self.too_much = True
                return
            if len(self._rest) < size + length:
                return
            self._frame(kind, bytes(self._rest[size : size + length]))
            del self._rest[: size + length]

    def _frame(self, kind: bytes, content: bytes) -> None:
        self._total += 64  # a million empty parts are much as well
        if kind == service.PART:
            self.parts.append(content)
        elif kind == service.BEGIN:
            self.begun = True
        elif kind == service.DONE:
            self.done = True
        elif kind == service.FAILED:
            text = content[:1000].decode(errors="replace")
            self.failure = "".join(letter if letter.isprintable() else " " for letter in text)[:200]
        elif kind == service.STEP and content.isdigit() and len(content) < 10:
            number = int(content)
            if self.step is None or number > self.step:
                self.step = number


def _ending(how: dict, heard: _Heard, limits: Limits) -> str:
    """How it ended, for people: the kernel's word, not the job's."""
    if "missing" in how:
        return f"could not be isolated: {how['missing']}"
    if how.get("over") == "memory":
        return f"used more than {_size(limits.memory)} of memory"
    if how.get("over") == "processes":
        return f"started more than {limits.processes} processes"
    if how.get("over") == "machine":
        return NO_MEMORY_LEFT
    status = how.get("status")
    if status is None:
        return "was lost: the sandbox itself ended"
    if status < 0:
        return f"crashed ({_signal(-status)})"
    if status == 0 and heard.done:
        return ""
    if status and heard.failure:
        return f"failed ({heard.failure})"
    return f"ended itself (exit status {status})"


def _signal(number: int) -> str:
    name = signal.strsignal(number) if number in signal.valid_signals() else None
    return (name or f"signal {number}").lower()


def _size(count: int) -> str:
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= size:
            return f"{count / size:.4g} {unit}"
    return f"{count} bytes"


# --- Without isolation ----------------------------------------------------------------------------


def _run_plainly(
    program: str, package: Path, prepared: bytes, packed: bytes, limits: Limits
) -> Ran:
    """The same program in an ordinary fresh process, with the limits that this platform has."""
    settings = {"program": program, "package": str(package), "sites": []}
    settings["limits"] = limits._asdict()
    here = str(Path(__file__).resolve().parents[1])
    command = [sys.executable, "-s", "-P", "-c", _BOOT, here, json.dumps(settings)]
    events: queue.SimpleQueue = queue.SimpleQueue()
    folder = tempfile.TemporaryDirectory(prefix="course-job-", ignore_cleanup_errors=True)
    with folder as scratch, tempfile.TemporaryFile() as job:
        job.write(service.pack(prepared, {}))
        job.write(packed)
        job.seek(0)
        process = subprocess.Popen(
            command,
            stdin=job,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            env=os.environ | _environment_of_a_plain_job(scratch),
            start_new_session=True,
        )

        def interrupt():
            if os.name == "posix":  # elsewhere nothing but the end is understood
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGINT)

        def kill():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()

        _reading(process.stdout.fileno(), limits.said, events)
        _telling(lambda: {"status": process.wait()}, events)
        try:
            return _follow(events, limits, interrupt, kill, patience=1)
        finally:
            kill()
            process.wait()


def _environment_of_a_plain_job(scratch: str) -> dict[str, str]:
    ours = _environment()
    return {name: ours[name] for name in ours if name not in ("PATH", "LANG")} | {"HOME": scratch}
