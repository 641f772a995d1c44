"""The warm parent inside the sandbox, and what it does for each job. `sandbox` is the outside.

It imports the program, lets it prepare what it wants prepared, and then does nothing but fork. For
a job it is handed three descriptors: one to read the job from, one to write what it says to, and
one to talk with who asked. It never reads from any, so nothing of one job is left in the memory
that the next one is forked from, and several run at once. The first fork watches how much memory
and how many processes there are, interrupts and kills when told, and says how it ended; behind the
next one the job gets walls of its own, and a process 1 that only reaps.

It is started as part of a package that holds only this file and `namespaces`, and imports nothing
else of the course but the program's module. Without isolation (`plain`) the same program runs once,
in an ordinary fresh process.
"""

import contextlib
import gc
import importlib
import json
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

STUDENT = 1000  # who one is inside, whoever started it
ORDINARY = 65533  # who root becomes on the outside of those walls
ROOM = "/student"  # all that a job may write lies here
WATCH = 0.05  # seconds between two looks at memory and processes
FRAME = struct.Struct(">cQ")  # what is said: kind, length
BEGIN, PART, STEP, DONE, FAILED = b"b", b"p", b"s", b"d", b"f"


# --- The warm parent ------------------------------------------------------------------------------


def serve(settings: dict) -> None:
    """Answer until the other end is closed. What is in `settings`, `sandbox._bubblewrap` says."""
    from . import namespaces as walls

    control = socket.socket(fileno=os.dup(0))
    _nothing_on([0, 1])
    try:
        _enter(walls)
        trial = _Job(walls, settings["kept"], lambda: os._exit(0))
        ended = trial.finish(control=None, limits=_NARROW)
        if ended != {"status": 0}:
            raise OSError(0, f"a first trial did not end well ({ended})")
        _answer(control, {"walls": "stand"})
    except OSError as error:
        _answer(control, {"missing": str(error.strerror or error)})
        return
    function = _load(settings, _to_prepare(control))
    threads = len(os.listdir("/proc/self/task"))
    if threads > 1:
        raise RuntimeError(f"{threads} threads run after the imports: it is not safe to fork.")
    gc.collect()
    gc.freeze()
    walls.gather_pages()
    _nothing_on([2])
    _answer(control, {"ready": True})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for those who watch
    while True:
        asked, descriptors, *_ = socket.recv_fds(control, 65536, 3)
        if not asked:
            return
        theirs = socket.socket(fileno=descriptors.pop())
        try:
            watching = os.fork() == 0
        except OSError as error:
            watching = False
            _answer(theirs, {"missing": str(error.strerror)})
        if watching:
            with contextlib.suppress(BaseException):
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                control.close()
                _answer(theirs, _one_job(walls, settings, function, theirs, asked, descriptors))
            os._exit(0)
        theirs.close()
        for each in descriptors:
            os.close(each)


def _enter(walls) -> None:
    """What cannot be done by bubblewrap: root becomes an ordinary user with a /proc of its own."""
    if os.getuid() == 0:
        # bubblewrap covers parts of root's /proc, and from a covered one no job could get its own
        walls.mount("proc", "/proc", "proc", walls.NO_SETUID | walls.NO_DEVICES | walls.NO_PROGRAMS)
        for folder in (ROOM, os.environ["HOME"]):
            os.chown(folder, ORDINARY, ORDINARY)
        os.setgroups([])
        os.setresgid(ORDINARY, ORDINARY, ORDINARY)
        os.setresuid(ORDINARY, ORDINARY, ORDINARY)
    os.umask(0o022)
    walls.readable_by_others(False)


def _load(settings: dict, prepared: bytes):
    """The program's function, with all imported and prepared that its jobs will need."""
    sys.path[:] = [settings["package"], *sys.path]
    sys.path += [site for site in settings["sites"] if site not in sys.path]
    module, _, function = settings["program"].partition(":")
    program = importlib.import_module(module)
    if prepared:
        program.prepare(prepared)
    return getattr(program, function)


def _to_prepare(control: socket.socket) -> bytes:
    _, descriptors, *_ = socket.recv_fds(control, 65536, 1)
    if not descriptors:
        os._exit(0)  # whoever started this is gone
    with open(descriptors[0], "rb") as file:
        return file.read()


def _one_job(walls, settings, function, control, asked: bytes, descriptors: list[int]) -> dict:
    limits = json.loads(asked)
    job, said = descriptors

    def work():
        _limit(limits, isolated=True)
        with open(job, "rb") as file:
            bytes_, files = unpack(file)
        _run(function, bytes_, files, said)

    try:
        running = _Job(walls, settings["kept"], work, descriptors, limits)
    except OSError as error:
        return {"missing": str(error.strerror or error)}
    finally:
        for each in descriptors:
            os.close(each)
    return running.finish(control, limits)


_NARROW = {"memory": 2**40, "processes": 64, "scratch": 2**20, "core": None}  # for a first trial


class _Job:
    """A process 1 behind walls of its own, and the student's process, which it starts."""

    def __init__(self, walls, kept: list[str], work, keep: list[int] = (), limits=_NARROW):
        self.report, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        outside = os.getuid(), os.getgid()
        self.one = walls.fork_behind_walls()
        if self.one == 0:
            with contextlib.suppress(BaseException):
                _be_process_1(walls, outside, there, kept, work, keep, limits)
            os._exit(1)
        there.close()
        said, self.handles, *_ = socket.recv_fds(self.report, 65536, 3)
        if len(self.handles) != 3:
            self._wait()
            raise OSError(0, said.decode() or "the first process of a job died")
        self.room, self.student, self.proc = self.handles

    def finish(self, control: socket.socket | None, limits: dict) -> dict:
        """Watch until it has ended, one way or another; afterwards nothing of it is left."""
        ended = None
        sources = select.poll()
        sources.register(self.report, select.POLLIN)
        if control:
            sources.register(control, select.POLLIN)
        precisely = 0.0  # when memory may next be counted page by page
        while ended is None:
            for descriptor, _ in sources.poll(WATCH * 1000):
                if descriptor == self.report.fileno():
                    ended = json.loads(self.report.recv(4096) or b'{"status": -9}')
                    break
                asked = control.recv(65536)
                if asked == b"interrupt":
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(self.student, signal.SIGINT)
                else:  # told so, or whoever asked is gone
                    ended = {"killed": True}
            if ended is None:
                ended, precisely = self._over(limits, precisely)
        self._wait()
        return ended

    def _over(self, limits: dict, precisely: float) -> tuple[dict | None, float]:
        """Whether the job has more than its share. The kernel's quick count comes first: it counts
        pages that processes share once for each, so only what exceeds it is counted page by page,
        and for at most a quarter of the time."""
        names = self._processes()  # first of all: to read about each takes time, which bombs use
        if len(names) > limits["processes"]:
            return {"over": "processes"}, precisely
        theirs = {each: self._memory(each) for each in names}
        if scarce(Path("/proc/meminfo").read_text(encoding="utf-8")):
            return {"over": "machine"}, precisely
        files = os.statvfs(self.room)
        files = (files.f_blocks - files.f_bfree) * files.f_frsize
        if files + sum(theirs.values()) <= limits["memory"] or time.monotonic() < precisely:
            return None, precisely
        start = time.monotonic()

        def too_much() -> bool:
            return files + sum(map(self._own_pages, theirs)) > limits["memory"]

        # Twice: of processes that end meanwhile, those counted last have all that they shared.
        over = {"over": "memory"} if too_much() and too_much() else None
        took = time.monotonic() - start
        return over, time.monotonic() + 3 * took

    # Its own /proc lists the processes of this job, and no others.

    def _processes(self) -> list[int]:
        numbers = [int(name) for name in os.listdir(self.proc) if name.isdigit()]
        return [number for number in numbers if number != 1]

    def _memory(self, process: int) -> int:
        """What it has for itself or shares; nothing once it has ended."""
        try:
            found = self._kilobytes(f"{process}/status", b"RssAnon", b"RssShmem")
            if found:
                return found
            # its first thread is gone: whatever is left, the others hold
            tasks = os.open(f"{process}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.proc)
            try:
                each = [f"{process}/task/{task}/status" for task in os.listdir(tasks)]
            finally:
                os.close(tasks)
            return max(self._kilobytes(one, b"RssAnon", b"RssShmem") for one in each)
        except (OSError, ValueError):
            return 0

    def _own_pages(self, process: int) -> int:
        """Its memory, with its part of what it shares; if it hides that, as much as can be."""
        try:
            return self._kilobytes(f"{process}/smaps_rollup", b"Pss_Anon", b"Pss_Shmem")
        except OSError:
            return self._memory(process)

    def _kilobytes(self, path: str, *wanted: bytes) -> int:
        return _kilobytes(os.open(path, os.O_RDONLY, dir_fd=self.proc), *wanted)

    def _wait(self) -> None:
        """Process 1 is the last to go: the kernel ends all others of its namespace first."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.one, signal.SIGKILL)
        os.waitpid(self.one, 0)
        self.report.close()
        for each in self.handles:
            os.close(each)


def scarce(meminfo: str) -> bool:
    """Whether the machine itself is about to run out, by what the job hides in buffers that belong
    to no process, or by no fault of its own: the kernel would end the job next, and say nothing."""
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in meminfo.splitlines()}
    return sizes["MemAvailable"] < 0.03 * sizes["MemTotal"]


def _kilobytes(file: str | int, *wanted: bytes) -> int:
    with open(file, "rb") as opened:
        lines = [line.split() for line in opened]
    return sum(int(line[1]) * 1024 for line in lines if line and line[0][:-1] in wanted)


def _answer(control: socket.socket, what: dict) -> None:
    with contextlib.suppress(OSError):
        control.send(json.dumps(what).encode())


# --- Behind the fork ------------------------------------------------------------------------------


def _be_process_1(walls, outside, report: socket.socket, kept, work, keep, limits) -> None:
    """Of fresh namespaces: furnish them, give up every right, and look after the student's."""
    try:
        walls.readable_by_others(True)  # or its own /proc files would belong to root
        walls.become(STUDENT, outside)
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="utf-8")
        _furnish(walls, kept, limits["scratch"])
        if limits["core"] is not None:
            os.sched_setaffinity(0, {limits["core"]})  # the last time that this is allowed
        _close_all_but([report.fileno(), *keep])
        walls.drop_capabilities()
        walls.no_new_privileges()
        walls.readable_by_others(False)
        walls.refuse_system_calls()
    except OSError as error:
        report.send(str(error.strerror or error).encode())
        os._exit(1)
    _reap(walls, report, work, keep)


def _furnish(walls, kept: list[str], room: int) -> None:
    """A world of its own: nothing of the one outside can be written, and nothing outlives it."""
    os.setsid()
    walls.forget_keys()
    walls.name_this_machine("student")
    walls.loopback_up()
    walls.forbid_further_namespaces()
    walls.everything_read_only()
    careful = walls.NO_SETUID | walls.NO_DEVICES
    size = f"size={room},nr_inodes={max(1024, room // 16384)},mode=0755"
    walls.mount("tmpfs", ROOM, "tmpfs", careful, size)
    for name in ("home", "work", "tmp", "shm"):
        os.mkdir(f"{ROOM}/{name}", 0o700)
    for path in kept:  # an environment under /tmp stays where it is
        target = Path(ROOM, "tmp", os.path.relpath(path, "/tmp"))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if os.path.isdir(path) else target.touch()
        walls.mount(path, str(target), flags=walls.BIND | walls.RECURSIVE)
    walls.mount(f"{ROOM}/tmp", "/tmp", flags=walls.BIND | walls.RECURSIVE)
    walls.mount(f"{ROOM}/shm", "/dev/shm", flags=walls.BIND)
    walls.mount("proc", "/proc", "proc", careful | walls.NO_PROGRAMS | walls.READ_ONLY)
    os.chdir(f"{ROOM}/work")


def _reap(walls, report: socket.socket, work, keep: list[int]) -> None:
    """Process 1: start the student's process, tell the parent how it ended, and end everything."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)  # what process 1 does not handle cannot reach it
    student = os.fork()
    if student == 0:
        with contextlib.suppress(BaseException):
            report.close()
            walls.readable_by_others(True)
            os.setsid()
            _nothing_on([0, 1, 2])
            os.nice(5)  # who watches goes first, and nobody starves beside a busy neighbour
            work()
        os._exit(1)
    for each in keep:
        os.close(each)
    handles = [os.open(ROOM, os.O_PATH | os.O_DIRECTORY), os.pidfd_open(student)]
    handles.append(os.open("/proc", os.O_RDONLY | os.O_DIRECTORY))
    socket.send_fds(report, [b"started"], handles)
    for each in handles:
        os.close(each)
    while True:
        process, status = os.waitpid(-1, 0)
        if process == student:
            report.send(json.dumps({"status": os.waitstatus_to_exitcode(status)}).encode())
            os._exit(0)


def _close_all_but(wanted: list[int]) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in wanted:
            with contextlib.suppress(OSError):  # the one that listed them
                os.close(int(name))


def _nothing_on(descriptors: list[int]) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for each in descriptors:
        os.dup2(nothing, each)
    os.close(nothing)


def _limit(limits: dict, isolated: bool) -> None:
    """What the kernel itself counts, for each process. Totals are counted by who watches."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return

    def limit(what: str, most: int) -> None:
        kind = getattr(resource, what, None)
        if kind is None:
            return
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(ValueError, OSError):  # not every platform takes every limit
            resource.setrlimit(kind, (most, most))

    # at 0 a system's crash reporter, which runs as root, would still be called
    limit("RLIMIT_CORE", 1)
    limit("RLIMIT_FSIZE", limits["scratch"])
    limit("RLIMIT_NOFILE", 256)  # each may hold a buffer in the kernel that nobody counts
    if not sys.platform.startswith("linux"):
        return
    limit("RLIMIT_MSGQUEUE", 0)
    # On top of what torch has mapped already. One process alone gets no more than a part of all, so
    # that most who ask for too much are told so, in a MemoryError, instead of being ended.
    alone = limits["memory"] * 3 // 4
    limit("RLIMIT_DATA", _kilobytes("/proc/self/status", b"VmData") + alone)
    limit("RLIMIT_AS", _kilobytes("/proc/self/status", b"VmSize") + alone + 2**30)
    if isolated:  # threads count too; elsewhere all processes of the user would be counted
        limit("RLIMIT_NPROC", 2 * limits["processes"])


# --- The job itself -------------------------------------------------------------------------------


class Say:
    """How a program says something: `say(data)`, and `say.step(n)` when step n begins."""

    def __init__(self, descriptor: int):
        self._descriptor = descriptor
        self._in_a_step = False

    def __call__(self, data: bytes) -> None:
        self._in_a_step = False
        self.frame(PART, bytes(data))

    def step(self, number: int) -> None:
        self._in_a_step = False
        self.frame(STEP, b"%d" % number)
        self._in_a_step = True

    def frame(self, kind: bytes, data: bytes = b"") -> None:
        left = memoryview(FRAME.pack(kind, len(data)) + data)
        while left:
            left = left[os.write(self._descriptor, left) :]

    def interrupted(self, *_) -> None:
        """A step that took too long ends like one that somebody interrupted, and only once."""
        if self._in_a_step:
            self._in_a_step = False
            raise KeyboardInterrupt


def _run(function, job: bytes, files: dict[str, bytes], descriptor: int) -> None:
    """Run the program's function in this process, which is its own, and end the process."""
    say = Say(descriptor)
    # Of a student's own forks none is heard: what two say at once, nobody understands.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: _nothing_on([descriptor]))
    signal.signal(signal.SIGINT, say.interrupted)
    try:
        _lay_out(files)
        _seed()
        say.frame(BEGIN)
        function(job, say)
        say.frame(DONE)
        os._exit(0)
    except SystemExit as end:
        os._exit(end.code if isinstance(end.code, int) and 0 <= end.code < 256 else 1)
    except BaseException as error:
        with contextlib.suppress(BaseException):
            say.frame(FAILED, f"{type(error).__name__}: {error}".encode(errors="replace")[:1000])
        os._exit(1)


def _lay_out(files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _seed() -> None:
    """Forked children share the parent's state: every job starts from the same one, its own."""
    random.seed(0)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def pack(job: bytes, files: dict[str, bytes]) -> bytes:
    """A job as it travels: a line that says how long each part is, then the parts."""
    sizes = json.dumps({"job": len(job), "files": {name: len(files[name]) for name in files}})
    return b"".join([sizes.encode(), b"\n", job, *files.values()])


def unpack(file) -> tuple[bytes, dict[str, bytes]]:
    sizes = json.loads(file.readline())
    job = file.read(sizes["job"])
    return job, {name: file.read(size) for name, size in sizes["files"].items()}


def plain(settings: dict) -> None:
    """Without isolation: one job from standard input, in this ordinary process."""
    prepared, _ = unpack(sys.stdin.buffer)
    job, files = unpack(sys.stdin.buffer)
    said = os.dup(1)
    _nothing_on([0, 1])
    function = _load(settings, prepared)
    _limit(settings["limits"], isolated=False)
    _run(function, job, files, said)


def main(settings: str) -> None:
    how = json.loads(settings)
    plain(how) if "limits" in how else serve(how)
