"""A class graded on a Dask cluster that shares nothing with it but the scheduler's address: what
came of it, what a student's code sees of it, and what is said when it is not as it should be."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import homework
import nbformat
import pytest
import system_packages
from as_ordinary_user import HOUSE, NOBODY_ELSE
from cluster import Cluster, course_class_grade, gradebook, outcome
from distributed import Client

from course_utils import cli
from course_utils.authoring import notebooks
from course_utils.grading import classes

AS_ROOT = os.geteuid() == 0
CRASHES = """\
def model_sparsity(model):
    import os
    os._exit(3)
"""

# Looks for ports of this machine wherever a process can look, and for one that answers.
SEARCH = r"""
import os, re, socket, sys
from pathlib import Path

ROOTS, PORTS = [Path("/")], range(1, 65536)
LIBRARIES = ["/proc", "/sys", "/usr", "/lib", "/lib64", sys.prefix, sys.base_prefix, *sys.path]
TEXT, KERNEL = re.compile(rb"127\.0\.0\.1:(\d+)"), re.compile(rb"0100007F:([0-9A-F]{4})")
BYTES = re.compile(rb"\x7f\x00\x00\x01\x00{8}")  # as the kernel has it, after 2, 0 and the port
found, looked = {}, {}

def look(place, content):
    looked[place] = looked.get(place, 0) + len(content)
    ports = [int(port) for port in TEXT.findall(content)]
    ports += [int(port, 16) for port in KERNEL.findall(content)]
    before = [content[match.start() - 4:match.start()] for match in BYTES.finditer(content)]
    ports += [int.from_bytes(each[2:], "big") for each in before if each[:2] == b"\2\0"]
    found.setdefault(place, set()).update(ports)

def read(place, path):
    try:
        if path.is_file():  # and no device that would never end
            look(place, path.read_bytes()[:2**24])
    except OSError:
        pass

def memory(process):
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as file:
        for line in maps.read().splitlines():
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                try:
                    file.seek(start)
                    look("memory", file.read(end - start))
                except OSError:
                    pass

for process in [path for path in Path("/proc").iterdir() if path.name.isdigit()]:
    for name in ("environ", "cmdline", "maps", "mountinfo", "net/tcp", "net/tcp6", "net/unix"):
        read("processes", process / name)
    try:
        memory(process.name)
        for link in (process / "fd").iterdir():
            look("processes", os.readlink(link).encode())
    except OSError:
        pass
look("environment", repr(dict(os.environ)).encode() + repr(sys.argv).encode())
opened = []  # or the descriptors would be closed
for number in range(256):
    for name in ("getsockname", "getpeername"):
        try:
            opened.append(socket.socket(fileno=number))
            said = getattr(opened[-1], name)()
        except OSError:
            continue
        look("sockets", b"%s:%d" % (said[0].encode(), said[1]) if isinstance(said, tuple) else b"")
for root in ROOTS:
    for at, folders, files in os.walk(root):
        folders[:] = [name for name in folders if os.path.join(at, name) not in LIBRARIES]
        for name in files:
            read("files", Path(at, name))
answers = set()
for port in PORTS:
    with socket.socket() as one:
        if one.connect_ex(("127.0.0.1", port)) == 0 and one.getsockname() != one.getpeername():
            answers.add(port)  # and it is not this socket that has met itself
found["answers"] = answers
import json
print("SEARCHED", json.dumps([looked, {place: sorted(ports) for place, ports in found.items()}]))
"""


# --- The same class, here and there ---------------------------------------------------------------


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A class with lesson 01, and what three students handed in for it."""
    system_packages.need("bubblewrap")
    folder = tmp_path_factory.mktemp("instructor") / "class"
    classes.new(folder, {homework.LESSON: notebooks.instructor(homework.lesson())})
    right = homework.solutions()
    hand_in(folder, "right", right)
    hand_in(folder, "wrong", right | {"count_parameters": homework.COUNTS_ROWS})
    hand_in(folder, "crashing", right | {"model_sparsity": CRASHES})
    return folder


def hand_in(folder: Path, student: str, answers: dict[str, str]) -> None:
    place = folder / "submitted" / student / "01"
    place.mkdir(parents=True)
    shutil.copy(folder / "release" / "01" / f"{homework.LESSON}.ipynb", place)
    homework.answer(place / f"{homework.LESSON}.ipynb", answers)


@pytest.fixture(scope="module")
def here(template) -> Path:
    """It, graded on this machine."""
    folder = shutil.copytree(template, template.with_name("here"))
    run = course_class_grade(folder, "--workers", "2")
    assert run.ends() == 0, run.said
    return folder


@pytest.fixture(scope="module")
def cluster(template, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    with Cluster(folder, hidden=template.parent) as running:
        yield running.start()


@pytest.fixture(scope="module")
def there(template, cluster) -> Path:
    """It, graded on the cluster, with one more student who searches it."""
    folder = shutil.copytree(template, template.with_name("there"))
    hand_in(folder, "searching", {"sparsity": SEARCH + homework.solutions()["sparsity"]})
    run = course_class_grade(folder, "--scheduler", cluster.address)
    assert run.ends() == 0, run.said
    return folder


def test_points_comments_notes_and_feedback_are_the_same_as_on_this_machine(here, there):
    local, remote = outcome(here), outcome(there)
    assert len(local["gradebook"]["submitted_assignment"]) == len(local["autograded"]) == 3
    for table, rows in remote["gradebook"].items():
        assert [row for row in rows if "searching" not in str(row)] == local["gradebook"][table]
    for what in ("notes", "autograded"):
        ours = {name: text for name, text in remote[what].items() if "searching" not in name}
        assert ours == local[what]
    assert set(local["files"]) < set(remote["files"])


def test_each_gets_what_the_answers_are_worth(there):
    with classes.nbgrader(there) as app, classes.gradebook_of(app) as book:
        stood = [classes.standing(book, there, "01", who) for who in ("right", "wrong", "crashing")]
    right, wrong, crashing = stood
    assert right.raw == homework.points()
    assert wrong.raw < homework.points()
    assert crashing.points is None
    assert crashing.ungraded == {"check_model_sparsity": "ended itself (exit status 3)"}


def test_workers_see_nothing_of_the_class_and_are_nobody_who_could(there, cluster):
    with Client(cluster.address, set_as_default=False) as client:
        seen = client.run(os.path.exists, str(there / "gradebook.db"))
        users = client.run(os.getuid)
    assert len(seen) == 2
    if AS_ROOT:
        assert set(seen.values()) == {False}
        assert set(users.values()) == {NOBODY_ELSE}


def test_nothing_of_the_class_is_written_where_the_workers_are(there, cluster):
    seed = (there / ".grading" / "seed").read_text(encoding="utf-8").strip()
    written = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert written
    assert [path for path in written if seed.encode() in path.read_bytes()] == []


# --- What a student's code sees of it -------------------------------------------------------------


def ports_of(cluster: Cluster) -> set[int]:
    """The scheduler's, and those of the workers and of their keepers."""
    said = "".join(one.said for one in (cluster.scheduler, *cluster.workers))
    return {int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", said)} - {0}


def told(outputs: str) -> tuple[dict, dict]:
    """By place: how much was looked through, and the ports that were found."""
    (line,) = re.findall(r"^SEARCHED (.+)$", outputs, re.M)
    return json.loads(line)


def test_a_students_code_finds_no_trace_of_the_scheduler(there, cluster):
    path = there / "autograded" / "searching" / "01" / f"{homework.LESSON}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    streams = [o for cell in cells for o in cell.get("outputs", []) if o.output_type == "stream"]
    looked, found = told("".join(stream.text for stream in streams))
    assert looked["memory"] > 10**7 and looked["processes"] and looked["environment"]
    assert len(ports_of(cluster)) >= 5
    assert {place: ports_of(cluster) & set(ports) for place, ports in found.items()} == {
        place: set() for place in found
    }
    assert found["answers"] == []


PLACES = ["environment", "processes", "sockets", "files", "memory", "answers"]


@pytest.mark.parametrize("place", PLACES)
def test_the_search_would_have_found_it(place, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        address = f"tcp://127.0.0.1:{port}"
        (tmp_path / "file").write_text(address if place == "files" else "", encoding="utf-8")
        ours = f"kept = [b'tcp://127.0.0.1:%d' % {port}]" if place == "memory" else ""
        ports = f"range({port}, {port + 1})" if place == "answers" else "[]"
        search = SEARCH.replace('[Path("/")]', f"[Path({str(tmp_path)!r})]")
        search = search.replace("range(1, 65536)", ports).replace(
            'Path("/proc").iterdir()', '[Path("/proc") / str(os.getpid())]'
        )
        done = subprocess.run(
            [sys.executable, "-c", f"{ours}\n{search}", *[address] * (place == "processes")],
            env={"PATH": os.environ["PATH"]}
            | ({"DASK": address} if place == "environment" else {}),
            pass_fds=[server.fileno()] if place == "sockets" else [],
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert port in told(done.stdout)[1][place]


# --- When it is not as it should be ---------------------------------------------------------------


def test_workers_may_come_late_and_must_be_the_same_version(template, here, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(HOUSE / "course_utils", changed / "course_utils")
    with (changed / "course_utils" / "plots.py").open("a", encoding="utf-8") as file:
        file.write("# another version\n")
    folder = shutil.copytree(template, tmp_path / "class")
    with Cluster(tmp_path / "elsewhere") as cluster:
        cluster.start(workers=0)
        run = course_class_grade(folder, "--scheduler", cluster.address)
        run.wait_for("No worker has joined tcp://.+ yet: waiting for one", patience=30)
        other = cluster.add_worker(PYTHONPATH=str(changed))
        assert run.ends() == 1
        assert re.fullmatch(
            r"No worker has joined .+\n"
            r"course: the worker on \S+ is not the same as here: course, Python and torch are .+ "
            r"there and .+ here\. Install the same versions, and start it again\.\n",
            run.said,
        )
        assert gradebook(folder) == gradebook(template)
        assert list((folder / ".grading" / "results").iterdir()) == []
        other.stop()

        cluster.add_worker(threads=2)
        again = course_class_grade(folder, "--scheduler", cluster.address)
        assert again.ends() == 0, again.said
    assert outcome(folder) == outcome(here)


@pytest.fixture(scope="module")
def refused(template, cluster) -> dict[str, tuple[int, str]]:
    """What is said where no scheduler can be talked to; all at once, as most of it is waiting."""
    folders = []

    def grade(name: str, address: str):
        folders.append(shutil.copytree(template, template.with_name(f"refused-{name}")))
        return course_class_grade(folders[-1], "--scheduler", address)

    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        runs = {
            "nobody": grade("nobody", "tcp://127.0.0.1:1"),
            "silence": grade("silence", f"tcp://127.0.0.1:{port}"),
            "no address": grade("no-address", "the big machine"),
            "no certificate": grade("no-certificate", cluster.address.replace("tcp", "tls")),
        }
        said = {name: (run.ends(40), run.said) for name, run in runs.items()}
    for folder in folders:
        assert gradebook(folder) == gradebook(template)
    return said


@pytest.mark.parametrize("name", ["nobody", "silence", "no address", "no certificate"])
def test_a_scheduler_that_does_not_answer_is_said_in_a_sentence(refused, name):
    status, said = refused[name]
    assert status == 1
    assert re.fullmatch(r"course: No Dask scheduler answers at .+\n", said), said


def test_here_and_elsewhere_at_once_is_a_mistake(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["class", "grade", "01", "--workers", "2", "--scheduler", "tcp://127.0.0.1:8786"])
    assert stopped.value.code == 2
    assert "--scheduler: not allowed with argument --workers" in capsys.readouterr().err


# --- With certificates, as the page has them made -------------------------------------------------


def block(begins: str) -> str:
    """A block of code of the page, by its first words."""
    page = (HOUSE / "docs" / "clusters.md").read_text(encoding="utf-8")
    (found,) = [
        text for text in re.findall(r"```\w*\n(.+?)```", page, re.S) if text.startswith(begins)
    ]
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> dict[str, str]:
    """Those of the page, made by its own command; whoever has them belongs to the cluster."""
    place = tmp_path_factory.mktemp("certificates")
    system_packages.need("openssl")
    subprocess.run(["sh", "-ec", block("openssl")], cwd=place, check=True, capture_output=True)
    assert {path.name for path in place.iterdir()} == {"course-key.pem", "course-cert.pem"}
    text = block("distributed:").replace("/srv/course", str(place))
    (place / "tls.yaml").write_text(text, encoding="utf-8")
    return {"DASK_CONFIG": str(place / "tls.yaml")}


def test_with_certificates_everything_is_encrypted_and_strangers_are_refused(
    template, here, certificates, tmp_path
):
    folder = shutil.copytree(template, tmp_path / "class")
    with Cluster(tmp_path / "elsewhere", **certificates) as cluster:
        cluster.start(workers=1, threads=2)
        assert cluster.address.startswith("tls://")
        stranger = course_class_grade(folder, "--scheduler", cluster.address)
        plain = course_class_grade(
            shutil.copytree(template, tmp_path / "plain"),
            "--scheduler",
            cluster.address.replace("tls", "tcp"),
        )
        for each in (stranger, plain):
            assert each.ends(40) == 1
            assert re.fullmatch(r"course: No Dask scheduler answers at .+\n", each.said), each.said
        run = course_class_grade(folder, "--scheduler", cluster.address, **certificates)
        assert run.ends() == 0, run.said
    assert outcome(folder) == outcome(here)
