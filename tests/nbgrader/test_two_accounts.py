"""The stock pipeline on one machine with several accounts: what a student does in one, the
instructor does in another, and nobody sees what is not theirs.

Ada hands in the solution in time. Ben hands in too late an answer that is right, one that is half
right, and code that looks around while it is graded. Then he turns to the exchange, where his
homework lies in a folder of his own until the instructor collects it. Dora's came by mail. All of
it runs once; the tests look at what is left.
"""

import csv
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import homework
import nbformat
import pytest
import system_packages
from accounts import Machine
from homework import ASSIGNMENT, LESSON, WRITTEN, points, solutions

from course_utils.authoring import notebooks, source
from course_utils.exercises import grade

TEACHER, ADA, BEN = "teacher", "ada", "ben"
FORMATS = ("csv", "canvas", "moodle")

PARTLY_RIGHT = """\
def count_parameters(model):
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
"""
LOOKS_AROUND = """

from pathlib import Path
for place in (SECRETS, "."):
    for path in sorted(Path(place).rglob("*")) or [place]:
        try:
            print("found", path, Path(path).read_bytes()[:200])
        except OSError as error:
            print("no", path, type(error).__name__)
"""

# In his folder: ways to what only the instructor can read, and files that nobody can. Beside it: a
# folder that says it is Ada's, one that says nothing, and one that is the instructor's.
TRICKS = """\
cd "$2" && class="$1" && inbound="$(dirname "$2")"
ln -s "$class/.grading/seed" notes.txt
ln -s "$class/.grading" data
ln -s "$class/gradebook.db" more.csv
mkfifo pipe && touch closed && mkdir shut && chmod 0 closed shut
false_="$inbound/ada+01+2099-01-01 00:00:00.0 UTC+x"
mkdir "$false_" && cp *.ipynb timestamp.txt "$false_"
mkdir "$inbound/cleo+01+no time+x"
ln -s "$class/source/01" "$inbound/ben+01+2099-01-01 00:00:00.0 UTC+x"
"""

BY_MAIL = "mkdir -p submitted/dora/01 && cp release/01/*.ipynb submitted/dora/01/"

STUDENTS_CONFIG = """\
c = get_config()
c.CourseDirectory.course_id = "pruning"
c.Exchange.root = {exchange!r}
"""
TEACHERS_CONFIG = """
c.Exchange.root = {exchange!r}
c.LateSubmissionPlugin.penalty_method = "zero"
"""


def answers(folder: Path) -> dict[str, dict[str, str]]:
    right = {name: unmarked(code) for name, code in solutions().items()}
    looks = LOOKS_AROUND.replace("SECRETS", repr(str(folder / ".grading")))
    wrong = {"sparsity": right["sparsity"] + looks, "count_parameters": PARTLY_RIGHT}
    return {ADA: right | WRITTEN, BEN: wrong}


def unmarked(code: str) -> str:
    """A solution without the comments around it, which tell where it comes from."""
    return re.sub(r"\n *### (BEGIN|END) SOLUTION", "", code)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if os.geteuid() != 0:
        complaint = "only root can give a test accounts of its own"
        pytest.fail(complaint) if system_packages.in_ci() else pytest.skip(complaint)
    system_packages.need("bubblewrap")
    return Machine(tmp_path_factory.mktemp("machine"), [TEACHER, ADA, BEN])


@pytest.fixture(scope="module")
def semester(machine):
    """Everything that the three did, and what each command said."""
    exchange = machine.folder / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    folder = machine.home(TEACHER) / "pruning"
    said = {}

    def run(person: str, *command: str) -> str:
        place = folder if person == TEACHER else machine.home(person)
        said[person, *command] = machine.run(person, place, *command)
        return said[person, *command]

    def at_once(*commands: list[str]) -> None:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda command: run(*command), commands))

    machine.run(TEACHER, machine.home(TEACHER), "course", "class", "new", "pruning")
    with open(folder / "nbgrader_config.py", "a", encoding="utf-8") as config:
        config.write(TEACHERS_CONFIG.format(exchange=str(exchange)))
    for student in (ADA, BEN):
        config = machine.home(student) / "nbgrader_config.py"
        config.write_text(STUDENTS_CONFIG.format(exchange=str(exchange)), encoding="utf-8")

    run(TEACHER, "nbgrader", "release_assignment", ASSIGNMENT)
    at_once(*([student, "nbgrader", "fetch_assignment", ASSIGNMENT] for student in (ADA, BEN)))
    for student, written in answers(folder).items():
        homework.answer(machine.home(student) / ASSIGNMENT / f"{LESSON}.ipynb", written)
    run(ADA, "nbgrader", "submit", ASSIGNMENT)
    due = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f} UTC"
    run(TEACHER, "nbgrader", "db", "assignment", "add", ASSIGNMENT, f"--duedate={due}")
    (inbox,) = re.findall("Destination: (.*)", run(BEN, "nbgrader", "submit", ASSIGNMENT))
    run(BEN, "sh", "-c", TRICKS, "tricks", str(folder), inbox)

    run(TEACHER, "nbgrader", "collect", ASSIGNMENT)
    run(TEACHER, "sh", "-c", BY_MAIL)
    run(TEACHER, "nbgrader", "autograde", ASSIGNMENT)
    run(TEACHER, "nbgrader", "generate_feedback", ASSIGNMENT)
    run(TEACHER, "nbgrader", "release_feedback", ASSIGNMENT)
    at_once(
        *([student, "nbgrader", "fetch_feedback", ASSIGNMENT] for student in (ADA, BEN)),
        [TEACHER, "nbgrader", "export"],
        *([TEACHER, "course", "class", "export", "--format", form] for form in FORMATS),
    )
    return SimpleNamespace(machine=machine, folder=folder, exchange=exchange, said=said, due=due)


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def of(found: list[dict[str, str]], column: str, value: str) -> dict[str, str]:
    (row,) = [
        row for row in found if row[column] == value and row.get("assignment") in (None, "01")
    ]
    return row


def feedback(semester, student: str) -> str:
    place = semester.machine.home(student) / ASSIGNMENT / "feedback"
    (page,) = place.glob(f"*/{LESSON}.html")
    return page.read_text(encoding="utf-8")


def count_parameters(model):
    """The same as PARTLY_RIGHT, to learn what it is worth and what is said about it."""
    return {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}


def worth_of_bens() -> float:
    share = grade("count_parameters", count_parameters).score
    assert 0 < share < 1
    return points("sparsity") + round(share * points("count_parameters"), 2)


# --- What everybody can see -----------------------------------------------------------------------


def test_every_file_belongs_to_whom_it_should(semester):
    machine = semester.machine
    owners = {machine.home(person).stat().st_uid for person in (TEACHER, ADA, BEN)}
    assert len(owners) == 3 and 0 not in owners
    assert semester.folder.stat().st_uid == machine.home(TEACHER).stat().st_uid
    inbound = semester.exchange / "pruning" / "inbound"
    for student in (ADA, BEN):
        (path,) = [path for path in inbound.glob(f"{student}+*") if "+2099" not in path.name]
        assert path.stat().st_uid == machine.home(student).stat().st_uid


SECRET = [
    "{class}",
    "{class}/.grading/seed",
    "{class}/.grading/notes/01/ada.json",
    "{class}/source/01/01_networks_and_weights.ipynb",
    "{class}/gradebook.db",
    "{class}/submitted/ada/01/01_networks_and_weights.ipynb",
    "{class}/feedback/ada/01/01_networks_and_weights.html",
    "{exchange}/pruning/inbound",
    "{exchange}/pruning/feedback",
]


def read(semester, person: str, path: str):
    command = ["ls", path] if Path(path).is_dir() else ["cat", path]
    return semester.machine.try_(person, semester.machine.home(person), *command)


@pytest.mark.parametrize("secret", SECRET)
def test_a_student_reads_nothing_of_the_class_and_nobodys_work(semester, secret):
    folders = {"class": str(semester.folder), "exchange": str(semester.exchange)}
    path = secret.format_map(folders)
    assert read(semester, TEACHER, path).returncode == 0  # it is there
    refused = read(semester, BEN, path)
    assert refused.returncode != 0
    assert "Permission denied" in refused.stdout


def test_a_student_has_what_was_released(semester):
    lesson = source.read(homework.ROOT / "solutions" / f"{LESSON}.py")
    ours = notebooks.to_text(notebooks.student(lesson)).encode()
    path = semester.exchange / "pruning" / "outbound" / ASSIGNMENT / f"{LESSON}.ipynb"
    assert read(semester, BEN, str(path)).returncode == 0
    assert path.read_bytes() == ours


def test_code_that_looks_around_while_it_is_graded_finds_nothing(semester):
    path = semester.folder / "autograded" / BEN / ASSIGNMENT / f"{LESSON}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    (cell,) = [cell for cell in notebook.cells if cell.id == "sparsity"]
    (shown,) = [output.text for output in cell.outputs if output.output_type == "stream"]
    assert f"no {semester.folder}/.grading FileNotFoundError" in shown
    assert set(re.findall(r"^found (\S+)", shown, re.MULTILINE)) <= {"submission_secret.txt"}  # his


def test_nothing_that_the_instructor_alone_can_read_is_carried_to_a_student(semester):
    seed = (semester.folder / ".grading" / "seed").read_bytes().strip()
    for place in ("submitted", "autograded", "feedback"):
        found = [path for path in (semester.folder / place / BEN).rglob("*") if path.is_file()]
        assert found
        assert not [path for path in found if seed in path.read_bytes()]
        assert not [path for path in found if path.read_bytes().startswith(b"SQLite")]
        assert not [path for path in found if b"BEGIN SOLUTION" in path.read_bytes()]
    assert seed.decode() not in feedback(semester, BEN)


def test_what_one_student_puts_into_the_exchange_costs_nobody_else(semester):
    handed_in = semester.machine.home(ADA) / ASSIGNMENT / f"{LESSON}.ipynb"
    collected = semester.folder / "submitted" / ADA / ASSIGNMENT / f"{LESSON}.ipynb"
    assert collected.read_bytes() == handed_in.read_bytes()
    assert {path.name for path in (semester.folder / "submitted").iterdir()} == {ADA, BEN, "dora"}
    said = semester.said[TEACHER, "nbgrader", "collect", ASSIGNMENT]
    for trick in ("ada+01+2099", "cleo+01+no time", "ben+01+2099", "pipe", "closed", "shut"):
        assert re.search(rf"WARNING\].*{re.escape(trick)}.*was not collected", said)


# --- What comes out of it -------------------------------------------------------------------------


def test_no_command_complains(semester):
    complaints = ("| ERROR]", "| CRITICAL]", "Traceback")
    assert not [key for key, said in semester.said.items() if any(c in said for c in complaints)]


def test_code_was_run_behind_walls_and_its_results_are_the_instructors_alone(semester):
    hidden = semester.folder / ".grading"
    assert len(list((hidden / "results").glob("*.json"))) == 3
    assert [oct(path.stat().st_mode)[-3:] for path in (hidden, hidden / "seed")] == ["700", "600"]
    assert hidden.stat().st_uid == semester.machine.home(TEACHER).stat().st_uid


def test_whoever_handed_in_by_mail_keeps_nobody_from_their_feedback(semester):
    said = semester.said[TEACHER, "nbgrader", "release_feedback", ASSIGNMENT]
    assert "dora handed in another way: give feedback back that way" in said
    assert (semester.folder / "feedback" / "dora" / ASSIGNMENT / f"{LESSON}.html").is_file()


def test_everybody_gets_their_own_feedback(semester):
    message = grade("count_parameters", count_parameters).messages[0]
    assert "does not train" in message
    assert "does not train, and still has to be stored" in feedback(semester, BEN)
    assert f"sparsity: correct, {points('sparsity'):g} of 1 points" in feedback(semester, BEN)
    assert "does not train" not in feedback(semester, ADA)
    assert WRITTEN["which_activations_can_go"] in feedback(semester, ADA)
    assert WRITTEN["which_activations_can_go"] not in feedback(semester, BEN)


def test_times_are_those_of_handing_in_and_late_work_loses_what_the_class_decides(semester):
    found = rows(semester.folder / "grades.csv")
    ada, ben = of(found, "student_id", ADA), of(found, "student_id", BEN)
    for student, row in ((ADA, ada), (BEN, ben)):
        stamp = semester.folder / "submitted" / student / ASSIGNMENT / "timestamp.txt"
        assert stamp.read_text(encoding="utf-8") == f"{row['timestamp']} UTC"
    assert ada["timestamp"] < ada["duedate"] < ben["timestamp"]
    assert f"{ada['duedate']} UTC" == semester.due
    assert float(ada["late_submission_penalty"]) == 0
    assert float(ben["late_submission_penalty"]) == pytest.approx(worth_of_bens())
    less = round(float(worth_of_bens()), 2)
    assert f"handed in late: {less} points less" in feedback(semester, BEN)
    assert "handed in late" not in feedback(semester, ADA)


def test_nbgraders_export_has_the_right_numbers(semester):
    found = rows(semester.folder / "grades.csv")
    ada, ben = of(found, "student_id", ADA), of(found, "student_id", BEN)
    assert (float(ada["raw_score"]), float(ada["score"])) == (points(), points())
    assert float(ben["raw_score"]) == pytest.approx(worth_of_bens())
    assert float(ben["score"]) == 0
    assert float(ada["max_score"]) == float(ben["max_score"]) == points() + 3


def test_our_table_has_the_same_numbers_and_more(semester):
    found = rows(semester.folder / "grades-csv.csv")
    ada, ben = of(found, "student_id", ADA), of(found, "student_id", BEN)
    numbers = [float(ada[name]) for name in ("score", "raw_score", "max_score", "late_penalty")]
    assert numbers == [points(), points(), points() + 3, 0]
    assert ada["to_grade_by_hand"] == "2"
    numbers = [float(ben[name]) for name in ("score", "raw_score", "late_penalty")]
    assert numbers == pytest.approx([0, worth_of_bens(), worth_of_bens()])
    assert (ada["not_graded"], ben["not_graded"]) == ("", "")


def test_canvas_and_moodle_get_the_score_after_penalties(semester):
    canvas, moodle = (rows(semester.folder / f"grades-{form}.csv") for form in FORMATS[1:])
    for found, column in ((canvas, "SIS Login ID"), (moodle, "Username")):
        assert float(of(found, column, ADA)[ASSIGNMENT]) == points()
        assert float(of(found, column, BEN)[ASSIGNMENT]) == 0
    assert float(of(canvas, "Student", "    Points Possible")[ASSIGNMENT]) == points() + 3
