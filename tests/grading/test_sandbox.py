"""Each wall of the sandbox, tried from inside by a job, as root and as an ordinary user."""

import contextlib
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import system_packages

from course_utils.grading import namespaces, sandbox, service
from course_utils.grading.sandbox import Limits, NotIsolated, Sandbox

HERE = Path(__file__).resolve()
HOUSE = HERE.parents[2]
AS_ROOT = os.geteuid() == 0

PROGRAM = '''
"""Does what the job says, in Python. The tests' jobs are programs of their own."""

import contextlib, ctypes, json, os, signal, socket, sys, threading, time
from pathlib import Path

import numpy, torch  # as real programs do: what a job would import is there before it is forked

libc = ctypes.CDLL(None, use_errno=True)


def attempt(function, *arguments):
    """"done", or the name of the error."""
    try:
        function(*arguments)
    except BaseException as error:
        return type(error).__name__ + (f" {error.errno}" if isinstance(error, OSError) else "")
    return "done"


def system_call(number, *arguments):
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    if libc.syscall(ctypes.c_long(number), *words) < 0:
        raise OSError(ctypes.get_errno(), "refused")


prepared = None


def prepare(what):
    global prepared
    prepared = [what.decode(), os.getpid()]


def run(job, say):
    tell = lambda what: say(json.dumps(what).encode())
    exec(job.decode(), globals() | {"say": say, "tell": tell})
'''


def write_package(folder: Path) -> Path:
    (folder / "course_utils").mkdir(parents=True)
    (folder / "course_utils" / "__init__.py").write_text("", encoding="utf-8")
    (folder / "course_utils" / "tries.py").write_text(PROGRAM, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    return write_package(tmp_path_factory.mktemp("package") / "copy")


@pytest.fixture(scope="module")
def replaced(tmp_path_factory) -> dict[Path, Path]:
    """A file of an installed package, and what is shown in its place."""
    import sklearn

    other = tmp_path_factory.mktemp("replaced") / "other.csv.gz"
    other.write_bytes(b"not the digits")
    return {Path(sklearn.__file__).parent / "datasets" / "data" / "digits.csv.gz": other}


@pytest.fixture(scope="module")
def warm(package, replaced):
    """One warm parent for all tests that leave it alive: it takes seconds to start."""
    system_packages.need("bubblewrap")
    os.environ["SECRET_OF_THE_INSTRUCTOR"] = "swordfish"
    with Sandbox("course_utils.tries:run", package, replaced) as started:
        yield started
    del os.environ["SECRET_OF_THE_INSTRUCTOR"]


def ran(box: Sandbox, source: str, files=None, **limits) -> sandbox.Ran:
    return box.run(textwrap.dedent(source).encode(), files, Limits(**limits))


def told(box: Sandbox, source: str, **limits):
    """What a job that goes well says in its only part."""
    result = ran(box, source, **limits)
    assert result.ended == "", result
    (part,) = result.parts
    return json.loads(part)


# --- What a program says, and how it ends ---------------------------------------------------------


def test_parts_come_out_in_order_and_a_finished_job_has_no_ending(warm):
    result = ran(warm, "say(b'one'); say.step(1); say(b''); say(bytes(300_000))")
    assert result.parts == [b"one", b"", bytes(300_000)]
    assert (result.ended, result.step) == ("", None)
    assert 0 < result.seconds < 10


def test_what_was_said_before_a_crash_is_kept(warm):
    result = ran(warm, "say.step(4); say(b'earned'); ctypes.string_at(0)")
    assert (result.parts, result.ended) == ([b"earned"], "crashed (segmentation fault)")
    assert result.step == 4


@pytest.mark.parametrize(
    "source, ended",
    [
        ("os._exit(3)", "ended itself (exit status 3)"),
        ("os._exit(0)", "ended itself (exit status 0)"),
        ("sys.exit(7)", "ended itself (exit status 7)"),
        ("os.kill(os.getpid(), 9)", "crashed (killed)"),
        ("os.abort()", "crashed (aborted)"),
        (
            "raise ValueError('no \\x1b[31msuch\\n thing')",
            "failed (ValueError: no  [31msuch  thing)",
        ),
        ("raise ValueError('x' * 10**6)", f"failed (ValueError: {'x' * 188})"),
    ],
)
def test_every_other_end_is_one_plain_phrase(warm, source, ended):
    assert ran(warm, f"say(b'kept'); {source}")[:3] == ([b"kept"], ended, None)


def test_a_step_that_takes_too_long_is_interrupted_and_the_job_goes_on(warm):
    source = """
    say.step(0)
    try:
        x = 1
        while True: time.sleep(0.01)
    except KeyboardInterrupt:
        say(b'interrupted, x is %d' % x)
    say.step(1)
    time.sleep(0.5)
    say(b'went on')
    """
    result = ran(warm, source, step=1)
    assert (result.parts, result.ended) == ([b"interrupted, x is 1", b"went on"], "")


def test_a_step_that_ignores_its_interruption_is_ended_two_seconds_later(warm):
    source = """
    say.step(0); say(b'kept'); say.step(1)
    for each in range(1, 65):
        with contextlib.suppress(OSError, ValueError): signal.signal(each, signal.SIG_IGN)
    while True: time.sleep(1)
    """
    start = time.monotonic()
    result = ran(warm, source, step=0.5)
    assert (result.parts, result.ended, result.step) == ([b"kept"], "ran longer than 0.5 s", 1)
    assert 2 < time.monotonic() - start < 6


def test_an_interruption_between_two_steps_hits_nothing(warm):
    source = """
    say.step(0); say(b'whole')
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        say(b'still here')
    """
    assert ran(warm, source)[:2] == ([b"whole", b"still here"], "")


def test_all_steps_together_have_a_limit_that_no_claimed_step_moves(warm):
    source = """
    for n in range(10**6):
        say.step(n)
        time.sleep(0.01)
    """
    result = ran(warm, source, step=60, job=1)
    assert result.ended == "ran longer than 1 s in all"
    assert result.seconds < 4


def test_claiming_earlier_steps_again_gives_no_more_time(warm):
    source = "while True:\n    say.step(1)\n    say.step(0)\n    time.sleep(0.01)"
    result = ran(warm, source, step=0.5, job=30)
    assert (result.ended, result.step) == ("ran longer than 0.5 s", 1)
    assert result.seconds < 5


# --- Frames ---------------------------------------------------------------------------------------

FIND_THE_LINE = """
pipes = [n for n in os.listdir('/proc/self/fd') if os.path.exists(f'/proc/self/fd/{n}')]
line = [int(n) for n in pipes if 'pipe:' in os.readlink(f'/proc/self/fd/{n}')][0]
def raw(data):
    while data: data = data[os.write(line, data):]
"""


@pytest.mark.parametrize(
    "forged",
    [
        "struct.pack('>cQ', b'p', 100) + b'half of it'",
        "b'p'",
        "struct.pack('>cQ', b'?', 3) + b'odd'",
        "struct.pack('>cQ', b's', 3) + b'abc'",
        "struct.pack('>cQ', b's', 2) + b'-5'",
        "struct.pack('>cQ', b's', 40) + b'9' * 40",
        "struct.pack('>cQ', b'b', 0) * 3",
    ],
)
def test_forged_and_half_frames_are_dropped_and_what_came_before_is_kept(warm, forged):
    source = (
        f"{FIND_THE_LINE}\nimport struct\nsay.step(2); say(b'whole')\nraw({forged})\nos._exit(1)"
    )
    assert ran(warm, source)[:3] == ([b"whole"], "ended itself (exit status 1)", 2)
    assert ran(warm, "say(b'next')").parts == [b"next"]


@pytest.mark.parametrize(
    "flood",
    [
        "while True: say(bytes(100_000))",
        "raw(b'p' + b'\\xff' * 8); time.sleep(60)",
        "while True: raw((b'p' + bytes(8)) * 10_000)",
        "import struct\nwhile True: raw(struct.pack('>cQ', b's', 1) + b'1')",
    ],
)
def test_a_flood_is_cut_off(warm, flood):
    result = ran(warm, f"{FIND_THE_LINE}\nsay(b'first')\n{flood}", said=2**20)
    assert (result.parts[0], result.ended) == (b"first", "wrote more than 1 MiB")
    assert sum(map(len, result.parts)) <= 2**20 and len(result.parts) < 20_000
    assert result.seconds < 20


def test_claiming_to_be_done_does_not_hide_a_crash(warm):
    source = f"{FIND_THE_LINE}\nraw(b'd' + bytes(8))\nctypes.string_at(0)"
    assert ran(warm, source).ended == "crashed (segmentation fault)"


def test_closing_the_line_does_not_stop_the_clock(warm):
    result = ran(warm, "say.step(0); os.closerange(0, 256); time.sleep(60)", step=0.5)
    assert result.ended == "ran longer than 0.5 s"


def test_of_a_fork_that_goes_on_nothing_is_heard(warm):
    """What two processes say at once into one line, nobody could take apart."""
    source = """
child = os.fork()
for n in range(40):
    say.step(n)
    say(b"%d " % bool(child) * 100_000)
if child:
    os.waitpid(child, 0)
"""
    result = ran(warm, source)
    assert result.ended == ""
    assert [set(part.split()) for part in result.parts] == [{b"1"}] * 40


def test_what_reads_the_line_inside_takes_only_from_its_own(warm):
    source = f"""{FIND_THE_LINE}
say(b'mine')
with contextlib.suppress(OSError):
    os.read(os.open(f'/proc/self/fd/{{line}}', os.O_RDONLY | os.O_NONBLOCK), 2**16)
"""
    assert ran(warm, source).ended == ""
    assert ran(warm, "say(b'next')").parts == [b"next"]


# --- One job and the next -------------------------------------------------------------------------


def below_tmp(path) -> list[str]:
    """The path, if it lies there, as a clone of the course may."""
    return [str(path)] if Path(path).is_relative_to("/tmp") else []


def test_files_of_a_job_lie_in_its_working_folder_and_are_gone_with_it(warm):
    source = """
    found = {str(p): p.read_text() for p in Path('.').rglob('*') if p.is_file()}
    for place in ('.', '/tmp', '/dev/shm', str(Path.home()), '/student'):
        with contextlib.suppress(OSError): Path(place, 'planted.py').write_text('x')
    tell([os.getcwd(), found])
    """
    result = ran(warm, source, {"data.csv": b"1,2", "pictures/a.txt": b"see"})
    assert json.loads(result.parts[0])[1] == {"data.csv": "1,2", "pictures/a.txt": "see"}
    left = """
    places = ['.', '/tmp', '/dev/shm', str(Path.home()), '/student']
    tell([str(p) for place in places for p in Path(place).rglob('*') if p.is_file()])
    """
    before = told(warm, left)
    assert {Path(name).name for name in before}.isdisjoint({"planted.py", "data.csv"})


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "", ".", "a\0b"])
def test_a_file_whose_name_leaves_the_folder_is_refused(warm, name):
    with pytest.raises(ValueError, match="not the name of a file inside a folder"):
        warm.run(b"", {name: b"x"})


def test_nothing_that_a_job_changes_in_python_reaches_the_next(warm):
    source = """
    import builtins, torch, course_utils.tries as own
    seen = [hasattr(builtins, 'planted'), torch.equal(torch.ones(1), torch.zeros(1)),
            own.attempt(len, 3), 'PLANTED' in os.environ]
    builtins.planted = True
    torch.equal = lambda *_: True
    own.attempt = lambda *_: 'planted'
    os.environ['PLANTED'] = '1'
    tell(seen)
    """
    first = told(warm, source)
    assert told(warm, source) == first == [False, False, "TypeError", False]


def test_the_text_of_one_job_is_nowhere_in_the_memory_of_the_next(warm):
    words = "correct horse", "battery staple"
    first = f"x = {' '.join(words)!r} * 1000; say(x.encode()); say.step(1); time.sleep(0.2)"
    assert len(ran(warm, first, {"work.txt": b"correct horse " * 9}).parts[0]) == 28_000
    search = """
    word = bytes(c - 1 for c in b'dpssfdu!ipstf')  # each letter one too far
    found = 0
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb') as memory:
        for line in maps:
            where, rights, *_ = line.split()
            start, end = (int(x, 16) for x in where.split('-'))
            if 'r' in rights and '[v' not in line:
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    for _ in range(start, end, 2**24):
                        # the word itself lies in this process from here on, and is not what counts
                        found += memory.read(min(2**24, end - start)).count(word + b' ')
    tell(found)
    """
    assert told(warm, search) == 0


def test_the_search_of_memory_would_find_a_word(warm):
    """The counterpart of the test before: the same reading finds what is certainly there."""
    source = """
    here = ('correct' + ' horse ') * 50
    found = 0
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb') as memory:
        for line in maps:
            where, rights, *_ = line.split()
            start, end = (int(x, 16) for x in where.split('-'))
            if 'r' in rights and '[v' not in line:
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(start)
                    for _ in range(start, end, 2**24):
                        found += memory.read(min(2**24, end - start)).count(b'correct horse ')
    tell(found)
    """
    assert told(warm, source) >= 50


def test_every_job_starts_from_the_same_random_state(warm):
    source = """
    import random, numpy, torch
    tell([random.random(), numpy.random.rand(), torch.rand(1).item(), hash('text')])
    """
    assert told(warm, source) == told(warm, source)


# --- What can be seen -----------------------------------------------------------------------------


def test_nothing_of_the_instructors_can_be_seen(warm, package, tmp_path):
    own = tmp_path / "class folder" / "gradebook.db"
    own.parent.mkdir()
    own.write_text("secret", encoding="utf-8")
    hidden = [own, package, HOUSE / "course_utils", HOUSE / "solutions", HOUSE / ".git", HERE]
    hidden += [Path(os.environ.get("HOME", "/root")) / ".bashrc", Path("/etc/passwd"), Path("/var")]
    source = f"""
    tell([str(p) for p in map(Path, {[str(path) for path in hidden]!r}) if p.exists()])
    """
    assert all(path.exists() for path in hidden[:6])
    assert told(warm, source) == []


def test_the_package_that_is_seen_is_the_copy_and_is_found_first(warm):
    source = """
    import course_utils
    tell([course_utils.__path__, sys.path[0], os.listdir(course_utils.__path__[0])])
    """
    (path,), first, files = told(warm, source)
    assert Path(path).parent == Path(first) == Path("/run/course/package")
    assert sorted(files) == ["__init__.py", "tries.py"]


def test_a_replaced_file_shows_the_other(warm):
    source = """
    import sklearn
    file = Path(sklearn.__file__).parent / 'datasets' / 'data' / 'digits.csv.gz'
    tell(file.read_bytes().decode())
    """
    assert told(warm, source) == "not the digits"


def test_the_environment_is_made_from_scratch(warm):
    environment = told(warm, "tell(dict(os.environ))")
    assert "swordfish" not in str(environment)
    assert set(environment) - {"PWD", "LC_CTYPE", "TORCHINDUCTOR_CACHE_DIR"} == set(
        sandbox._environment()
    )


def test_no_descriptor_is_open_but_the_job_s_own(warm):
    source = """
    links = {n: os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')
             if os.path.exists(f'/proc/self/fd/{n}')}
    tell(sorted(links.values()))
    """
    *nothing, line = told(warm, source)
    assert nothing == ["/dev/null"] * 3 and line.startswith("pipe:")


def test_no_process_can_be_seen_but_the_job_s_own(warm):
    source = """
    tell({n: Path('/proc', n, 'cmdline').read_text() for n in os.listdir('/proc') if n.isdigit()})
    """
    assert set(told(warm, source)) == {"1", "2"}


def test_who_one_is_inside_is_an_ordinary_user_without_any_right(warm):
    source = """
    wanted = 'CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp'.split()
    lines = (line.split(':') for line in Path('/proc/self/status').read_text().splitlines())
    status = {name: int(value, 16) for name, value in lines if name in wanted}
    tell([os.getresuid(), os.getresgid(), status, socket.gethostname()])
    """
    users, groups, status, name = told(warm, source)
    assert users == groups == [1000] * 3
    assert {status.pop("NoNewPrivs"), status.pop("Seccomp")} == {1, 2}
    assert set(status.values()) == {0} and len(status) == 5
    assert name == "student"


def test_it_is_no_root_outside_either_and_no_other_user_exists(warm):
    outside = service.ORDINARY if AS_ROOT else service.STUDENT  # as bubblewrap's own walls call it
    source = "tell(Path('/proc/self/uid_map').read_text().split())"
    assert told(warm, source) == ["1000", str(outside), "1"]


# --- What can be written --------------------------------------------------------------------------


def test_nothing_can_be_written_but_the_job_s_scratch(warm):
    source = """
    places = {line.split()[1] for line in open('/proc/self/mounts')}
    places |= {'/', '/run', '/run/course', '/run/course/package', '/etc', '/usr/lib', '/sys'}
    places |= {'/dev', *sys.path, sys.prefix, sys.base_prefix, str(Path(os.__file__).parent)}
    written = []
    for place in sorted(places):
        with contextlib.suppress(OSError):
            Path(place, 'planted').write_text('x')
            written.append(place)
    import course_utils.tries, torch
    service = '/run/course/service/grading/service.py'
    existing = [course_utils.tries.__file__, torch.__file__, service]
    tell([written, [attempt(open, name, 'a') for name in existing]])
    """
    written, existing = told(warm, source)
    # of an environment under /tmp only the parts are shown, in a folder of the job's own
    scratch = {"/student/work", *below_tmp(sys.prefix)}
    assert set(written) == {"/student", "/tmp", "/dev/shm"} | set(written) & scratch
    assert all(how in ("OSError 30", "PermissionError 13") for how in existing)


def test_scratch_ends_where_its_limit_is_and_the_job_goes_on(warm):
    source = """
    def fill(place):
        with open(place + '/big', 'wb') as file:
            while True: file.write(bytes(2**20))
    tell([attempt(fill, place) for place in ('.', '/tmp', '/dev/shm')])
    """
    full, too_big = "OSError 28", "OSError 27"
    hows = told(warm, source, scratch=8 * 2**20)
    assert len(hows) == 3 and set(hows) <= {full, too_big}


def test_files_that_are_larger_than_scratch_are_said_to_be(warm):
    result = ran(warm, "say(b'never')", {"big.bin": bytes(2**21)}, scratch=2**20)
    assert (result.parts, result.step) == ([], None)
    assert result.ended.startswith("failed (OSError: ")


def test_so_does_the_number_of_files(warm):
    source = """
    def plant():
        for n in range(10**6): open(str(n), 'w').close()
    tell([attempt(plant), len(os.listdir())])
    """
    how, count = told(warm, source, scratch=2**20)
    assert how == "OSError 28" and count <= 1024


# --- Memory and processes -------------------------------------------------------------------------


def test_one_process_that_takes_too_much_memory_is_told_so_and_goes_on(warm):
    source = "x = []\ndef take():\n    while True: x.append(bytearray(2**26))\ntell(attempt(take))"
    assert told(warm, source, memory=2**31) == "MemoryError"


@pytest.mark.parametrize("how", ["alone", "shared"])
def test_processes_that_take_too_much_memory_together_end_the_job(warm, how):
    source = f"""
    import mmap
    def take():
        if {how == "alone"}: x = bytearray(os.urandom(1)) * (300 * 2**20)
        else:
            x = mmap.mmap(-1, 300 * 2**20)
            for n in range(0, len(x), 4096): x[n] = 1
        time.sleep(60)
    say(b'kept')
    for n in range(4):
        if os.fork() == 0: take()
    time.sleep(60)
    """
    result = ran(warm, source, memory=2**30)
    assert (result.parts, result.ended) == ([b"kept"], "used more than 1 GiB of memory")
    assert result.seconds < 30


def test_files_in_scratch_count_as_memory(warm):
    source = """
    with open('big', 'wb') as file:
        for n in range(500): file.write(os.urandom(2**20))
        time.sleep(60)
    """
    result = ran(warm, source, memory=2**28 + 2**27, scratch=2**29)
    assert result.ended == "used more than 384 MiB of memory"


def test_memory_that_is_shared_with_the_warm_parent_is_not_the_job_s(warm):
    """Nor while processes come and go, and one is counted that has just ended."""
    source = """
    for again in range(6):
        for n in range(20):
            if os.fork() == 0:
                time.sleep(0.02 * n)
                os._exit(0)
        for n in range(20): os.wait()
    tell('well')
    """
    assert told(warm, source, memory=2**30) == "well"


def test_memory_counts_though_the_first_thread_of_its_process_is_gone(warm):
    end_this_thread = {"x86_64": 60, "aarch64": 93}[os.uname().machine]
    source = f"""
    import ctypes
    def take():
        global x
        x = bytearray(os.urandom(1)) * (300 * 2**20)
        time.sleep(60)
    say(b'kept')
    for n in range(4):
        if os.fork() == 0:
            threading.Thread(target=take).start()
            ctypes.CDLL(None).syscall({end_this_thread}, 0)
    time.sleep(60)
    """
    result = ran(warm, source, memory=2**30)
    assert (result.parts, result.ended) == ([b"kept"], "used more than 1 GiB of memory")
    assert result.seconds < 30


@pytest.mark.parametrize("storm", ["while True: os.fork()", "while True: os.fork() or os.setsid()"])
def test_a_storm_of_processes_is_ended(warm, storm):
    result = ran(
        warm, f"say(b'kept')\nwith contextlib.suppress(OSError):\n    {storm}\ntime.sleep(60)"
    )
    assert (result.parts, result.ended) == ([b"kept"], "started more than 64 processes")
    assert result.seconds < 30


def test_threads_have_an_end_too(warm):
    source = """
    def start():
        while True: threading.Thread(target=time.sleep, args=(3,), daemon=True).start()
    tell([attempt(start), threading.active_count()])
    """
    how, count = told(warm, source)
    assert how == "RuntimeError" and 64 < count <= 256


def test_the_limits_of_the_kernel_cannot_be_raised(warm):
    source = """
    import resource
    names = 'CORE FSIZE NOFILE DATA AS NPROC MSGQUEUE'.split()
    def raise_it(kind):
        soft, hard = resource.getrlimit(kind)
        assert soft == hard
        resource.setrlimit(kind, (hard + 1, hard + 1))
    tell([resource.getrlimit(resource.RLIMIT_CORE),
          [attempt(raise_it, getattr(resource, 'RLIMIT_' + name, 12)) for name in names]])
    """
    core, hows = told(warm, source)
    assert core == [1, 1]  # the one value with which no crash reporter of the system is called
    assert set(hows) == {"ValueError"}


def test_the_machine_is_watched_for_memory_that_belongs_to_no_process():
    """Filling this machine to try it would hurt others: the figures are made up."""
    text = "MemTotal: 1000 kB\nMemFree: 1 kB\nMemAvailable: {} kB\nHugePages_Total: 0\n"
    assert service.scarce(text.format(29))
    assert not service.scarce(text.format(31))
    assert not service.scarce(Path("/proc/meminfo").read_text(encoding="utf-8"))


def test_the_job_is_the_first_to_go_when_the_machine_runs_out_of_memory(warm):
    source = """
    file = Path('/proc/self/oom_score_adj')
    tell([file.read_text().strip(), attempt(file.write_text, '0')])
    """
    assert told(warm, source) == ["1000", "OSError 30"]


# --- Walls ----------------------------------------------------------------------------------------

# They are given no arguments: what is refused never looks at them.
REFUSED_CALLS = sorted(namespaces._REFUSED)


def test_every_refused_system_call_is_refused(warm):
    column, _ = namespaces._machine()
    numbers = {name: numbers[column] for name, numbers in namespaces._REFUSED.items()}
    source = f"tell({{name: attempt(system_call, n) for name, n in {numbers!r}.items()}})"
    assert told(warm, source) == dict.fromkeys(REFUSED_CALLS, "PermissionError 1")


def test_no_namespace_can_be_had_by_a_fork_either(warm):
    column, _ = namespaces._machine()
    clone, clone3 = (namespaces._NEEDED[name][column] for name in ("clone", "clone3"))
    source = f"""
    new = [0x10000000, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x04000000, 0x02000000]
    tell([[attempt(system_call, {clone}, flag | 17, 0, 0, 0, 0) for flag in new],
          attempt(system_call, {clone3}, ctypes.create_string_buffer(88), 88)])
    """
    clones, newer = told(warm, source)
    assert set(clones) == {"PermissionError 1"} and newer == "OSError 38"


def test_the_kernel_itself_grants_no_further_user_namespace(warm):
    """A second wall behind the refused calls."""
    source = "tell(int(Path('/proc/sys/user/max_user_namespaces').read_text()))"
    assert told(warm, source) == 0


def test_a_process_of_another_kind_of_machine_code_gets_no_call_through():
    """The filter looks at the architecture first, and refuses all calls of any other."""
    program = namespaces._filter_program()
    lines = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]

    def answer(architecture: int, call: int, *arguments: int) -> int:
        given = {0: call, 4: architecture} | {16 + 8 * n: a for n, a in enumerate(arguments)}
        at = word = 0
        while True:
            code, yes, no, value = lines[at]
            at += 1
            if code == 0x20:
                word = given.get(value, 0)
            elif code == 0x06:
                return value
            else:
                match = {0x15: word == value, 0x35: word >= value, 0x45: bool(word & value)}[code]
                at += yes if match else no

    column, architecture = namespaces._machine()
    allowed, refused = 0x7FFF0000, 0x50001
    assert answer(architecture, 9999) == allowed
    assert answer(0x40000003, 9999) == refused
    numbers = [numbers[column] for numbers in namespaces._REFUSED.values()]
    assert {answer(architecture, number) for number in numbers} == {refused}
    sockets = namespaces._NEEDED["socket"][column]
    answers = {family: answer(architecture, sockets, family) for family in range(50)}
    assert {family for family in answers if answers[family] == allowed} == {1, 2, 10}


def test_process_1_cannot_be_ended_stopped_or_looked_into(warm):
    source = """
    for each in range(1, 65):
        with contextlib.suppress(OSError): os.kill(1, each)
    time.sleep(0.2)
    looks = 'mem environ maps fd root cwd exe stack syscall auxv ns/mnt'.split()
    def look(name):
        path = '/proc/1/' + name
        os.listdir(path) if name in ('fd', 'root', 'cwd') else open(path, 'rb').read(1)
    state = Path('/proc/1/status').read_text().split('State:')[1].split()[0]
    tell([state, {name: attempt(look, name) for name in looks}])
    """
    state, looks = told(warm, source)
    assert state == "S"
    assert set(looks.values()) <= {"PermissionError 13", "PermissionError 1"}, looks


@pytest.mark.parametrize("limit", ["AS", "CPU", "NOFILE", "DATA", "STACK", "FSIZE", "NPROC"])
def test_starving_process_1_hurts_nobody_else(warm, limit):
    source = f"""
    import resource
    with contextlib.suppress(OSError):
        resource.prlimit(1, resource.RLIMIT_{limit}, (0, 0))
    with contextlib.suppress(OSError): os.setpriority(os.PRIO_PROCESS, 1, 19)
    with contextlib.suppress(OSError): os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0))
    say(b'kept')
    time.sleep(0.2)
    """
    result = ran(warm, source)
    assert result.parts == [b"kept"] and result.seconds < 10
    assert ran(warm, "say(b'next')").parts == [b"next"]


def test_signals_to_all_processes_reach_only_the_job(warm):
    assert ran(warm, "say(b'kept'); os.kill(-1, 9); time.sleep(0.2)").parts == [b"kept"]
    assert ran(warm, "say(b'next')").parts == [b"next"]


def test_no_connection_can_be_made_not_even_to_this_machine(warm, tmp_path):
    place = str(tmp_path / "socket")
    abstract = f"\0course-{random.randrange(10**9)}"
    listeners = []
    for family, address in (
        (socket.AF_INET, ("127.0.0.1", 0)),
        (socket.AF_UNIX, place),
        (socket.AF_UNIX, abstract),
    ):
        listeners.append(socket.socket(family))
        listeners[-1].bind(address)
        listeners[-1].listen()
    port = listeners[0].getsockname()[1]
    source = f"""
    def connect(family, address, kind=socket.SOCK_STREAM):
        with socket.socket(family, kind) as s:
            s.settimeout(2)
            s.connect(address)
    tell([os.listdir('/proc/sys/net/ipv4/conf'),
          [attempt(connect, socket.AF_INET, ('127.0.0.1', {port})),
           attempt(connect, socket.AF_INET, ('192.0.2.1', 80)),
           attempt(connect, socket.AF_INET, ('192.0.2.1', 53), socket.SOCK_DGRAM),
           attempt(connect, socket.AF_UNIX, {place!r}),
           attempt(connect, socket.AF_UNIX, {abstract!r}),
           attempt(socket.getaddrinfo, 'example.org', 80)],
          [attempt(socket.socket, family, kind) for family, kind in
           ((40, 1), (16, 3), (17, 3), (38, 5))]])
    """
    try:
        devices, connections, families = told(warm, source)
        for listener in listeners:
            with contextlib.closing(socket.socket(listener.family)) as check:
                check.connect(listener.getsockname())  # from outside each is there
    finally:
        for listener in listeners:
            listener.close()
    assert set(devices) == {"all", "default", "lo"}
    assert "done" not in connections and "TimeoutError" not in str(connections), connections
    assert families == ["OSError 97"] * 4


def test_a_job_may_talk_to_itself(warm):
    source = """
    with socket.create_server(('127.0.0.1', 0)) as server:
        with socket.create_connection(server.getsockname()): tell('connected')
    """
    assert told(warm, source) == "connected"


def test_there_is_no_terminal_to_type_into(warm):
    source = """
    import fcntl, pty, termios
    mine, other = pty.openpty()
    push = 0x5412
    tell([attempt(open, '/dev/tty', 'w'), attempt(fcntl.ioctl, other, push, b'x'),
          attempt(fcntl.ioctl, 0, push, b'x')])
    """
    tty, *pushes = told(warm, source)
    assert tty in ("OSError 6", "FileNotFoundError 2", "PermissionError 13")
    assert set(pushes) == {"PermissionError 1"}


def test_programs_that_would_change_the_user_change_nothing(warm):
    source = """
    flags = [line.split()[3].split(',') for line in open('/proc/self/mounts')]
    tell([all('nosuid' in f for f in flags), os.system('su -c id || test $(id -u) = 1000')])
    """
    nosuid, status = told(warm, source)
    assert nosuid and status == 0


def test_devices_are_only_those_that_hold_nothing(warm):
    source = """
    import stat
    kinds = {p.name: p.lstat().st_mode for p in Path('/dev').iterdir()}
    tell([name for name in kinds if stat.S_ISCHR(kinds[name]) or stat.S_ISBLK(kinds[name])])
    """
    harmless = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
    assert set(told(warm, source)) <= harmless


# --- Nothing is left ------------------------------------------------------------------------------

DAEMON = """
def daemon():
    for each in range(1, 65):
        with contextlib.suppress(OSError, ValueError): signal.signal(each, signal.SIG_IGN)
    os.setsid()
    if os.fork(): os._exit(0)
    with contextlib.suppress(OSError): os.setpgid(0, 0)
    while True: time.sleep(0.01)
for _ in range(3):
    if os.fork() == 0: daemon()
time.sleep(0.1)
"""


def descendants(process: int) -> dict[int, str]:
    """All processes below one, by number, with their states (Z is a zombie)."""
    parents, states = {}, {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = path.joinpath("stat").read_text(encoding="utf-8").rsplit(")", 1)[1]
                states[int(path.name)], parent = after_name.split()[:2]
                parents[int(path.name)] = int(parent)
    found: set[int] = set()
    while new := {p for p in parents if parents[p] in found | {process}} - found:
        found |= new
    return {each: states[each] for each in found}


def at_rest() -> dict[int, str]:
    """Our own, once who watched a job, and has said how it ended, has ended too."""
    now = descendants(os.getpid())
    last = None
    while now != last:
        time.sleep(0.1)
        last, now = now, descendants(os.getpid())
    return now


@pytest.mark.parametrize(
    "end", ["say(b'end')", "os._exit(1)", "ctypes.string_at(0)", "time.sleep(60)"]
)
def test_no_process_stays_behind_however_a_job_ends(warm, end):
    ran(warm, "say(b'warm')")
    before, mounts = at_rest(), Path("/proc/self/mounts").read_text("utf-8")
    result = ran(warm, f"{DAEMON}\nsay.step(0)\n{end}", step=0.3)
    assert (result.ended == "") == (end == "say(b'end')")
    after = at_rest()
    assert set(after) == set(before) and "Z" not in after.values()
    assert Path("/proc/self/mounts").read_text("utf-8") == mounts


def started_by(script: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHONPATH": str(HOUSE)}
    return subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment
    )


def test_when_the_grader_is_killed_everything_inside_dies(warm, package, tmp_path):
    script = tmp_path / "grader.py"
    script.write_text(
        textwrap.dedent(f"""
        import threading, time
        from pathlib import Path
        from course_utils.grading.sandbox import Sandbox
        def grade():  # in a thread that is gone while the sandbox works
            global box
            box = Sandbox("course_utils.tries:run", Path({str(package)!r}))
        first = threading.Thread(target=grade)
        first.start(); first.join()
        box.run(b"say(b'x')")
        print("ready", flush=True)
        box.run({DAEMON.encode()!r} + b"time.sleep(600)")
        """),
        encoding="utf-8",
    )
    grader = started_by(script)
    assert grader.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 20
    while len(descendants(grader.pid)) < 9 and time.monotonic() < deadline:
        time.sleep(0.05)
    theirs = descendants(grader.pid)
    assert len(theirs) >= 9  # two of bubblewrap, the parent, who watches, process 1, the student,
    # and three daemons
    grader.kill()
    grader.wait()
    grader.stdout.close()
    deadline = time.monotonic() + 10
    while alive(theirs) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(theirs) == []


def alive(processes) -> list[int]:
    return [each for each in processes if Path(f"/proc/{each}").exists()]


def test_a_warm_parent_that_died_is_started_again_and_a_closed_one_leaves_nothing(package):
    system_packages.need("bubblewrap")
    before = descendants(os.getpid())
    box = Sandbox("course_utils.tries:run", package)
    assert ran(box, "say(b'one')").parts == [b"one"]
    ours = descendants(box._parent._process.pid)
    os.kill(min(ours), signal.SIGKILL)  # while it waits
    assert ran(box, "say(b'two')").parts == [b"two"]
    timer = threading.Timer(0.5, box_killer(box))  # in the middle of a job
    timer.start()
    result = ran(box, "say(b'kept'); time.sleep(60)")
    timer.join()
    assert (result.parts, result.ended) == ([b"kept"], "was lost: the sandbox itself ended")
    box.close()
    box.close()
    assert descendants(os.getpid()) == before


def box_killer(box: Sandbox):
    return lambda: os.kill(min(descendants(box._parent._process.pid)), signal.SIGKILL)


# --- Side by side ---------------------------------------------------------------------------------


def side_by_side(box: Sandbox, *sources: str, **limits) -> list[sandbox.Ran]:
    with ThreadPoolExecutor(len(sources)) as threads:
        return list(threads.map(lambda source: ran(box, source, **limits), sources))


def test_jobs_run_at_once_and_hear_only_their_own(warm):
    start = time.monotonic()
    ends = side_by_side(warm, *(f"time.sleep(1.5); tell({n})" for n in range(6)))
    assert [result.parts for result in ends] == [[b"%d" % n] for n in range(6)]
    assert time.monotonic() - start < 6


def test_limits_count_for_each_job_alone(warm):
    """Six jobs that together have more processes, more memory and more time than one may."""
    source = """
    for n in range(15):
        if os.fork() == 0:
            time.sleep(1); os._exit(0)
    x = bytearray(os.urandom(1)) * (200 * 2**20)
    for n in range(15): os.wait()
    tell('well')
    """
    ends = side_by_side(warm, *[source] * 6, processes=20, memory=2**30, job=30)
    assert [result.ended for result in ends] == [""] * 6


def test_what_one_job_does_wrong_ends_no_other(warm):
    good = "time.sleep(2); tell('well')"
    bad = ["while True: os.fork()", "time.sleep(60)", "os.kill(0, 9)", "os.kill(-1, 9)"]
    wrong = [
        f"say.step(0)\nwith contextlib.suppress(OSError):\n    {each}\ntime.sleep(60)"
        for each in bad
    ]
    first, *middle, last = side_by_side(warm, good, *wrong, good, step=4)
    assert first.parts == last.parts == [b'"well"']
    assert "started more than" in middle[0].ended and middle[1].ended == "ran longer than 4 s"
    assert all(result.ended for result in middle[2:])


def test_jobs_do_not_see_each_other(warm):
    one = """
    import tempfile
    for place in (tempfile.gettempdir(), '.', '/dev/shm'): open(f'{place}/mark', 'w').write('x')
    time.sleep(2); tell('done')
    """
    other = """
    time.sleep(1)
    found = [p for p in os.listdir('/proc') if p.isdigit()]
    import tempfile
    places = (tempfile.gettempdir(), '.', '/dev/shm')
    tell([len(found), [os.path.exists(f'{place}/mark') for place in places]])
    """
    _, seen = side_by_side(warm, one, other)
    assert json.loads(seen.parts[0]) == [2, [False] * 3]  # process 1, and itself


def test_when_the_sandbox_dies_all_its_jobs_are_lost_and_the_next_one_runs(package):
    system_packages.need("bubblewrap")
    with Sandbox("course_utils.tries:run", package) as box:
        ran(box, "say(b'warm')")
        timer = threading.Timer(3, box_killer(box))
        timer.start()
        ends = side_by_side(box, *["say(b'kept'); time.sleep(60)"] * 3)
        timer.join()
        assert {(*end.parts, end.ended) for end in ends} == {
            (b"kept", "was lost: the sandbox itself ended")
        }
        ends = side_by_side(box, *["say(b'again')"] * 3)
        assert [end.parts for end in ends] == [[b"again"]] * 3


def test_a_program_prepares_once_before_its_first_job(package):
    system_packages.need("bubblewrap")
    with Sandbox("course_utils.tries:run", package, prepared=b"bread") as box:
        seen = [json.loads(ran(box, "tell(prepared)").parts[0]) for _ in range(2)]
    assert seen[0] == seen[1] and seen[0][0] == "bread"


def test_a_program_prepares_without_walls_too(package):
    with Sandbox("course_utils.tries:run", package, isolated=False, prepared=b"bread") as box:
        assert json.loads(ran(box, "tell(prepared[0])").parts[0]) == "bread"


def test_what_cannot_be_prepared_is_said(package):
    system_packages.need("bubblewrap")
    box = Sandbox("course_utils.tries:run", package, prepared=b"\xff")
    with pytest.raises(RuntimeError, match="did not start: UnicodeDecodeError"), box:
        ran(box, "say(b'x')")


# --- What honest jobs need ------------------------------------------------------------------------


def test_torch_computes_trains_and_loads_with_workers(warm):
    source = """
    import torch, numpy, tempfile, multiprocessing
    from torch.utils.data import DataLoader, TensorDataset
    x, y = torch.randn(256, 16), torch.randint(0, 3, (256,))
    model = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 3))
    optimizer = torch.optim.Adam(model.parameters())
    for batch, label in DataLoader(TensorDataset(x, y), 64, num_workers=2):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), label).backward()
        optimizer.step()
    torch.set_num_threads(2)
    big = (torch.ones(500, 500) @ torch.ones(500, 500)).sum().item()
    import matplotlib.pyplot as plt
    figure = plt.figure(); figure.gca().plot([1, 2]); figure.savefig('a.png')
    with tempfile.TemporaryDirectory() as folder: Path(folder, 'x').write_text('x')
    with multiprocessing.get_context('spawn').Pool(1) as pool: four = pool.apply(abs, (-4,))
    tell([big, Path('a.png').stat().st_size > 1000, four, os.cpu_count() > 0])
    """
    assert told(warm, source) == [500**3, True, 4, True]


def test_a_job_costs_little_more_than_what_it_does(warm):
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        assert ran(warm, "say(b'x')").parts == [b"x"]
        seconds.append(time.perf_counter() - start)
    assert statistics.median(seconds) < 0.5  # 0.045 s on an idle machine


def test_an_environment_inside_a_class_folder_or_under_tmp_shows_only_itself(package, tmp_path):
    """Made with `python -m venv .` right in the folder that holds everything secret."""
    system_packages.need("bubblewrap")
    course = tmp_path / "class"
    made = [sys.executable, "-m", "venv", "--without-pip", "--symlinks", str(course)]
    subprocess.run(made, check=True)
    (course / "gradebook.db").write_text("secret", encoding="utf-8")
    (packages,) = course.glob("lib/python*/site-packages")
    installed = [path for path in sys.path if path.endswith("site-packages")]
    (packages / "others.pth").write_text("\n".join(installed), encoding="utf-8")
    script = tmp_path / "grade.py"
    script.write_text(
        textwrap.dedent(f"""
        from pathlib import Path
        from course_utils.grading.sandbox import Sandbox
        with Sandbox("course_utils.tries:run", Path({str(package)!r})) as box:
            job = b"os.chdir('/tmp'); tell([sys.prefix, os.listdir(sys.prefix), os.listdir()," \\
                  b" attempt(open, 'new', 'w'), attempt(open, sys.prefix + '/lib/x', 'w')])"
            print(box.run(job).parts[0].decode())
        """),
        encoding="utf-8",
    )
    done = subprocess.run(
        [course / "bin" / "python", script],
        env=os.environ | {"PYTHONPATH": str(HOUSE)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    prefix, files, temporary, new, library = json.loads(done.stdout)
    assert Path(prefix) == course
    assert set(files) == {"bin", "lib", "lib64", "pyvenv.cfg"} & {p.name for p in course.iterdir()}
    shown = [path for place in (course, *installed) for path in below_tmp(place)]
    assert set(temporary) == {Path(path).relative_to("/tmp").parts[0] for path in shown}
    assert new == "done" and library in ("OSError 30", "PermissionError 13")


def test_a_job_stays_on_its_processor(warm):
    core = max(os.sched_getaffinity(0))
    source = f"""
    tell([list(os.sched_getaffinity(0)), attempt(os.sched_setaffinity, 0, range({core + 1}))])
    """
    (part,) = warm.run(textwrap.dedent(source).encode(), core=core).parts
    assert json.loads(part) == [[core], "PermissionError 1"]


def test_a_job_gets_its_share_beside_others_who_compute(warm):
    """Time runs by the clock: on a busy machine nobody's honest answer may starve until it is up.
    (Where the kernel shares time by sessions first, as on a desktop, nobody would in any case.)"""
    busy = [sys.executable, "-c", "while True: pass"]
    core = max(os.sched_getaffinity(0))
    neighbours = [subprocess.Popen(busy) for _ in os.sched_getaffinity(0)]
    source = """
    say.step(0)
    while time.process_time() < 0.5: pass
    say(b'done')
    """
    try:
        result = warm.run(textwrap.dedent(source).encode(), limits=Limits(step=15), core=core)
    finally:
        for each in neighbours:
            each.kill()
            each.wait()
    assert (result.parts, result.ended) == ([b"done"], "")


# --- Where isolation cannot be had ----------------------------------------------------------------


def test_without_bubblewrap_it_says_what_to_do(package, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NotIsolated) as refusal:
        Sandbox("course_utils.tries:run", package)
    for word in ("bubblewrap is missing", "apt-get install bubblewrap", "isolated = False"):
        assert word in str(refusal.value)


def test_a_bubblewrap_that_may_not_work_is_quoted(package, monkeypatch, tmp_path):
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(
        NotIsolated, match=r"setting up uid map: Permission denied.*isolated = False"
    ):
        Sandbox("course_utils.tries:run", package)


@pytest.mark.parametrize(
    "file, value, advice",
    [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "unprivileged_userns=0"),
        ("kernel/unprivileged_userns_clone", "0", "unprivileged_userns_clone=1"),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ],
)
def test_a_switch_that_forbids_namespaces_is_named(tmp_path, file, value, advice):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(f"{value}\n", encoding="utf-8")
    assert advice in sandbox._what_to_type(tmp_path)
    path.write_text(f"{1 - int(value)}\n", encoding="utf-8")
    assert sandbox._what_to_type(tmp_path) == ""


def test_a_package_without_the_course_and_a_program_that_cannot_be_found_are_named(
    package, tmp_path
):
    with pytest.raises(ValueError, match="holds no folder course_utils"):
        Sandbox("course_utils.tries:run", tmp_path)
    with (
        Sandbox("course_utils.nowhere:run", package) as box,
        pytest.raises(RuntimeError, match=r"No module named 'course_utils.nowhere'"),
    ):
        box.run(b"")


# --- Without isolation, by choice -----------------------------------------------------------------


@pytest.fixture(scope="module")
def plain(package) -> Sandbox:
    return Sandbox("course_utils.tries:run", package, isolated=False)


def test_plainly_the_same_program_says_the_same(plain):
    result = ran(plain, "say.step(0); say(Path('a.txt').read_bytes()); print('x')", {"a.txt": b"A"})
    assert result[:3] == ([b"A"], "", None)


@pytest.mark.parametrize(
    "source, ended",
    [
        ("ctypes.string_at(0)", "crashed (segmentation fault)"),
        ("os._exit(3)", "ended itself (exit status 3)"),
        ("raise ValueError('so')", "failed (ValueError: so)"),
        ("while True: say(bytes(100_000))", "wrote more than 1 MiB"),
        ("say.step(1)\nwhile True: attempt(time.sleep, 60)", "ran longer than 0.5 s"),
        ("[os.fork() or time.sleep(600) for _ in range(3)]", ""),
    ],
)
def test_plainly_every_other_end_is_the_same_phrase(plain, source, ended):
    before = set(descendants(os.getpid()))
    result = ran(plain, f"say(b'kept')\n{source}", said=2**20, step=0.5)
    assert (result.parts[0], result.ended) == (b"kept", ended)
    assert set(descendants(os.getpid())) <= before


def test_plainly_a_slow_step_is_interrupted_and_no_package_but_the_copy_is_seen(plain):
    source = """
    import course_utils
    say.step(0)
    try: time.sleep(60)
    except KeyboardInterrupt: tell(os.listdir(course_utils.__path__[0]))
    """
    assert "tries.py" in told(plain, source, step=0.5)


# --- As an ordinary user --------------------------------------------------------------------------

if AS_ROOT:

    def test_all_of_this_holds_for_an_ordinary_user_too():
        system_packages.need("bubblewrap")
        program = HERE.with_name("as_ordinary_user.py")
        command = [
            sys.executable,
            str(program),
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            str(HERE),
        ]
        done = subprocess.run(
            command,
            cwd=HOUSE,
            env=os.environ | {"PYTHONPATH": str(HOUSE)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
