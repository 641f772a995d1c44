"""What stands behind nbgrader's own extension points, so that nbgrader itself stays as it is.

A submission goes one way, from `course class grade`, from `nbgrader autograde` and from
formgrader's button: `Submissions` reads it through the intake, `ExecuteIsolated` has it run and
judged in places of their own, `SaveGrades` keeps "could not be graded" apart from zero, and
nbgrader writes the gradebook. `Harmless` and `markdown` are for the pages that people look at:
whatever a student wrote is shown there, and runs nowhere.
"""

import glob
import hashlib
import math
import os
import re
import sys
from contextlib import suppress
from fnmatch import fnmatch
from html import escape
from pathlib import Path

import bleach
import nbformat
from bleach.css_sanitizer import CSSSanitizer
from jinja2 import pass_context
from nbconvert.exporters import HTMLExporter, NotebookExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_output
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.preprocessors import GetGrades, NbGraderPreprocessor, SaveAutoGrades
from nbgrader.server_extensions import formgrader
from nbgrader.utils import is_grade, parse_utc
from traitlets import Bool, Float, Integer, List

from course_utils.grading import execution, intake, notes, plan, running
from course_utils.grading.sandbox import Limits
from course_utils.study.panels import clean

GRADER_FAILED = "the grader failed"  # what a line about a mistake of ours begins with
BANK = "bank"  # in a class folder: the questions of its own graded quizzes, with their keys


def configure(c, folder: str | Path) -> None:
    """Let nbgrader grade the class in `folder` in isolation, and show nothing that runs."""
    folder = Path(folder).resolve()
    here = __name__
    programs = str(Path(sys.executable).parent)  # nbgrader calls alembic by its bare name
    if programs not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([programs, os.environ.get("PATH", "")])
    c.CourseDirectory.root = str(folder)
    c.Autograde.exporter_class = f"{here}.Submissions"
    c.Autograde.autograde_preprocessors = [
        f"{here}.ExecuteIsolated",
        "course_utils.grading.quizzes.GradeQuizzes",
        "nbgrader.preprocessors.IgnorePattern",
        "nbgrader.preprocessors.LimitOutput",
        f"{here}.SaveGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    # What these leave out is the intake's: it takes every cell's metadata from the release.
    c.Autograde.sanitize_preprocessors = [
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.OverwriteKernelspec",
        "nbgrader.preprocessors.OverwriteCells",
    ]
    c.Submissions.optimistic_validation = True  # once, after all of them
    if sys.platform != "win32":  # where nbgrader's exchange does not work either
        c.ExchangeFactory.collect = "course_utils.grading.collecting.Collect"
        c.ExchangeFactory.release_feedback = "course_utils.grading.collecting.ReleaseFeedback"
    c.GradeQuizzes.bank = str(folder / BANK)
    c.GenerateFeedback.preprocessors = [
        f"{here}.ShowGrades",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.GenerateFeedback.force = True  # a page that is older than the points is of no use
    c.GenerateFeedback.exporter_class = f"{here}.FeedbackPage"
    c.FeedbackPage.template_name = "feedback_page"
    c.FeedbackPage.template_file = "page.html.j2"
    c.FeedbackPage.extra_template_basedirs = [
        str(Path(__file__).with_name("templates")),
        str(Path(formgrader.__file__).with_name("templates")),
    ]
    c.HTMLExporter.preprocessors = [f"{here}.Harmless"]
    c.HTMLExporter.filters = {
        "markdown2html": f"{here}.markdown",
        "clean_html": f"{here}.safe_html",
        "round": f"{here}.rounded",
    }
    c.HTMLExporter.sanitize_html = True


def released(folder: Path, assignment: str) -> dict[str, NotebookNode]:
    """What students got, by the notebook's name: the only source of points and checks."""
    files = sorted((folder / "release" / assignment).glob("*.ipynb"))
    if not files:
        there = sorted(place.name for place in (folder / "release").glob("*") if place.is_dir())
        raise running.Problem(
            f"There is no notebook in {folder / 'release' / assignment}. The assignments are "
            f"{', '.join(there)}; a new one is made by `nbgrader generate_assignment NAME`."
        )
    return {file.stem: nbformat.read(file, as_version=4) for file in files}


# --- Reading what was handed in -------------------------------------------------------------------

# What may lie beside a graded notebook, where a click in formgrader opens it: nothing that a
# browser would run.
_PASSIVE = {".txt", ".csv", ".md", ".py", ".json", ".yaml", ".png", ".jpg", ".jpeg", ".gif"}
_LARGEST = 20 * 2**20


class Submissions(NotebookExporter):
    """Gives nbgrader, for a file under submitted/, what the intake makes of it."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.folder = Path(self.parent.coursedir.root)
        self.submitted = self.folder / self.parent.coursedir.submitted_directory
        # nbgrader has listed what was handed in, and takes nothing up before it has its exporter
        self.odd_times, self.before = {}, {}
        for place in self.parent.assignments:
            self.parent.assignments[place] = self._notebooks(Path(place))
            self.before.update(self._before(Path(place)))
            self.odd_times[place] = _readable_time(Path(place))
            self._forget_time(Path(place))
            self._leave_alone(Path(place))

    def known_to_parent(self, what: str) -> dict:
        """What `course class grade` has read already."""
        return getattr(self.parent, what, {})

    def released(self, assignment: str) -> dict[str, NotebookNode]:
        return self.known_to_parent("release") or released(self.folder, assignment)

    def _notebooks(self, place: Path) -> list[str]:
        """The notebooks of the assignment, under their names, whatever was handed in for them."""
        wanted = self.parent.coursedir.notebook_id
        names = self.released(place.name)
        return [str(place / f"{name}.ipynb") for name in names if fnmatch(name, wanted)]

    def _before(self, place: Path) -> dict[tuple, tuple]:
        """The points, and whether somebody has to look, of what lies here under another name:
        nbgrader counts it as zero and settled before it has read anything."""
        coursedir, found = self.parent.coursedir, {}
        assignment, student = place.name, place.parent.name
        for notebook in map(Path, self.parent.assignments[str(place)]):
            if notebook.exists():
                continue
            with Gradebook(coursedir.db_url, coursedir.course_id) as book, suppress(MissingEntry):
                handed_in = book.find_submission_notebook(notebook.stem, assignment, student)
                for grade in handed_in.grades:
                    key = assignment, student, notebook.stem, grade.name
                    found[key] = grade.auto_score, grade.needs_manual_grade
        return found

    def _forget_time(self, place: Path) -> None:
        """nbgrader writes down when work came, and keeps that where no time is given any more."""
        coursedir = self.parent.coursedir
        stamp = place / "timestamp.txt"
        if stamp.is_file() and stamp.read_text(encoding="utf-8").strip():
            return
        with Gradebook(coursedir.db_url, coursedir.course_id) as book, suppress(MissingEntry):
            book.find_submission(place.name, place.parent.name).timestamp = None
            book.db.commit()

    def _leave_alone(self, place: Path) -> None:
        """nbgrader copies what lies beside a notebook, wherever a link leads and whatever it is."""
        ignored = self.parent.coursedir.ignore
        unfit = [str(file) for file in _everything(place) if not _may_be_copied(file)]
        self.parent.coursedir.ignore = [*ignored, *(set(map(glob.escape, unfit)) - set(ignored))]

    def from_filename(self, filename, resources=None, **kwargs):
        path = Path(filename)
        if not path.is_relative_to(self.submitted):
            return super().from_filename(filename, resources, **kwargs)
        self.about = self.folder, path.parent.name, path.parents[1].name, path.stem
        self.release = self.released(path.parent.name)[path.stem]
        self.received = self.known_to_parent("received").get(path.stem) or intake.receive(
            path.parent, path.stem, self.release
        )
        said = [*self.odd_times.get(str(path.parent), []), *self.received.for_instructor]
        self.lines = [clean(line) for line in said]
        self.known = notes.read(*self.about[:3]).get(path.stem, {})
        self._note(failed=notes.UNFINISHED)
        for line in self.lines:
            self.log.warning("%s: %s", self.about[2], line)
        resources["metadata"] = {"name": path.stem, "path": str(path.parent)}
        return self.from_notebook_node(_with_notes(self.received), resources, **kwargs)

    def finished(self, ungraded: dict[str, str], work: str, points: float) -> None:
        checks, seconds = self.executed.checks, self.executed.seconds
        said = {"not graded": ungraded, "work": work, "checks": checks, "seconds": seconds}
        self._note(**said, points=points)

    def _note(self, **said) -> None:
        notes.write(*self.about, lines=self.lines, **said)


# nbgrader reads 01.12. as the 12th of January, and an offset such as +0200 as seconds.
_A_TIME = "2026-11-20 18:00:00 UTC"
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?(Z| [A-Za-z][\w/]*)?")


def _everything(place: Path) -> list[Path]:
    walk = os.walk(place)
    return [Path(within, name) for within, _, names in walk for name in names]


def _may_be_copied(file: Path) -> bool:
    try:
        fits = not file.is_symlink() and file.is_file() and file.stat().st_size <= _LARGEST
    except OSError:
        return False
    return fits and file.suffix.lower() in _PASSIVE


def _readable_time(place: Path) -> list[str]:
    """nbgrader stops at a time it cannot read, and formgrader then shows nobody's work."""
    file, renamed = place / "timestamp.txt", place / "timestamp-unreadable.txt"
    said = f"timestamp.txt says no time like {_A_TIME}, so nothing counts as late: it is renamed"
    if not os.path.lexists(file):
        return [said] if os.path.lexists(renamed) else []
    try:
        if file.is_symlink() or not file.is_file() or file.stat().st_size > 1000:
            raise ValueError("not a small file")
        text = file.read_text(encoding="utf-8").strip()
        if text and not _TIME.fullmatch(text):
            raise ValueError("nbgrader would take it for another time")
        if text:
            parse_utc(text)
    except (OSError, ValueError, OverflowError, TypeError):
        file.rename(renamed)
        return [said]
    return []


def _with_notes(received: "intake.HandedIn") -> NotebookNode:
    notebook = received.notebook
    if received.unreadable:
        notebook.metadata[running.OURS] = {"unreadable": received.unreadable}
    elif received.lost:
        notebook.metadata[running.OURS] = {"lost": list(received.lost)}
    if received.for_student:
        lines = "\n".join(f"- {line}" for line in received.for_student)
        told = new_markdown_cell(f"## Notes on grading\n\n{lines}", id="notes-on-grading")
        notebook.cells.insert(0, told)
    return notebook


# --- Running it, and writing down what came out ---------------------------------------------------


class ExecuteIsolated(NbGraderPreprocessor):
    """In place of nbgrader's Execute, which runs students' code with the instructor's rights.

    It is not called Execute: nbgrader's --no-execute would then let a student's own outputs count.
    """

    seconds_per_cell = Float(60, min=1, help="How long one cell may take").tag(config=True)
    seconds = Float(600, min=1, help="How long one notebook may take").tag(config=True)
    gigabytes = Float(4, min=0.5, help="How much memory one notebook may use").tag(config=True)
    processes = Integer(64, min=1, help="How many processes one notebook may start").tag(
        config=True
    )
    isolated = Bool(
        True,
        help="False runs students' code with your rights, on your files: only where there is no "
        "bubblewrap, and on a machine that holds nothing else",
    ).tag(config=True)

    def settings(self, folder: Path) -> "execution.Settings":
        limits = Limits(
            step=self.seconds_per_cell,
            job=self.seconds,
            memory=int(self.gigabytes * 2**30),
            processes=self.processes,
        )
        return execution.Settings(folder / notes.SECRETS, limits, self.isolated)

    def preprocess(self, nb, resources):
        exporter = self.parent
        settings = self.settings(exporter.folder)
        exporter.executed = run(nb, exporter.release, exporter.received.files, settings)
        for line in map(clean, exporter.executed.lines):
            exporter.lines.append(line)
            self.log.warning("%s: %s", resources["nbgrader"]["student"], line)
        return nb, resources


def run(
    notebook: NotebookNode, release: NotebookNode, files: dict, settings
) -> "execution.Executed":
    """Have it run and judged. A mistake of ours costs no student a point: the checks are then
    marked as not graded. Raises running.Problem for what is the instructor's to mend."""
    try:
        return execution.execute(notebook, release, files, settings)
    except running.Problem:
        raise
    except Exception as error:
        kind = "" if isinstance(error, execution.Failed) else f"{type(error).__name__}: "
        reason = f"{GRADER_FAILED} ({kind}{error})"
        notebook.metadata[running.OURS] = {"unreadable": reason}
        executed = execution.execute(notebook, release, files, settings)
        return executed._replace(lines=[*executed.lines, reason])


class SaveGrades(SaveAutoGrades):
    """Leaves the points of a check without verdict open, for a human, and lets what a human has
    decided about the same work stand."""

    def preprocess(self, nb, resources):
        exporter = self.parent
        work = _digest(nb)
        self.ungraded = {}
        self.unchanged = exporter.known.get("work") == work
        nb, resources = super().preprocess(nb, resources)
        with Gradebook(self.db_url) as book:
            names = self.notebook_id, self.assignment_id, self.student_id
            points = book.find_submission_notebook(*names).score
        exporter.finished(self.ungraded, work, points)
        return nb, resources

    def _add_score(self, cell, resources):
        name = cell.metadata.nbgrader.grade_id
        grade = self.gradebook.find_grade(
            name, self.notebook_id, self.assignment_id, self.student_id
        )
        now = grade.auto_score, grade.needs_manual_grade
        before, waiting = self.parent.before.get((*self.parent.about[1:], name), now)
        reason = not_graded(cell) or _pointless(cell) or self._unread(name)
        if not reason:
            try:
                super()._add_score(cell, resources)
            except (KeyError, ValueError) as error:
                reason = f"its points cannot be read ({error})"
        if reason:
            self.ungraded[name] = clean(reason)
            grade.auto_score, grade.needs_manual_grade = None, True
        if self.unchanged and grade.manual_score is not None and grade.auto_score == before:
            grade.needs_manual_grade = waiting
        self.gradebook.db.commit()

    def _add_comment(self, cell, resources):
        super()._add_comment(cell, resources)
        name = cell.metadata.nbgrader.grade_id
        if reason := self._unread(name):  # nbgrader would call its empty place no response
            comment = self.gradebook.find_comment(
                name, self.notebook_id, self.assignment_id, self.student_id
            )
            comment.auto_comment = f"Nobody has read this: {clean(reason)}."
            self.gradebook.db.commit()

    def _unread(self, name: str) -> str:
        """Why nobody has seen the answer; nbgrader would take its empty place for no response."""
        received = self.parent.received
        return received.unreadable or (execution.DAMAGED if name in received.lost else "")


def not_graded(cell: NotebookNode) -> str:
    """Why a check has no verdict; nothing if it has one."""
    if cell.cell_type != "code" or not is_grade(cell):
        return ""
    marks = (o.get("metadata", {}).get(running.OURS, {}) for o in cell.outputs)
    return next((str(m[running.NOT_GRADED]) for m in marks if running.NOT_GRADED in m), "")


def _pointless(cell: NotebookNode) -> str:
    """Our own checks end in a number. For anything else nbgrader gives full marks."""
    if cell.cell_type != "code" or not (plan.check_of(cell) or "hand_in(" in cell.source):
        return ""
    results = [output for output in cell.outputs if output.output_type == "execute_result"]
    try:
        (points,) = [float(output.data["text/plain"]) for output in results]
    except (KeyError, ValueError):
        return "the grader gave it no points"
    in_range = 0 <= points <= cell.metadata.nbgrader.points
    return "" if in_range else f"{points} is not a number of points that it can have"


def _digest(nb: NotebookNode) -> str:
    text = "\0".join(cell.source for cell in nb.cells)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


class ShowGrades(GetGrades):
    """For the feedback: what has no points yet has no zero either."""

    def preprocess(self, nb, resources):
        self.open = False
        nb, resources = super().preprocess(nb, resources)
        if self.open:
            resources["nbgrader"]["score"] = math.nan
        return nb, resources

    def _get_score(self, cell, resources):
        super()._get_score(cell, resources)
        name = cell.metadata.nbgrader.grade_id
        grade = self.gradebook.find_grade(
            name, self.notebook_id, self.assignment_id, self.student_id
        )
        if grade.auto_score is None and grade.manual_score is None:
            cell.metadata.nbgrader.score, self.open = math.nan, True
        elif cell.cell_type == "code" and grade.manual_score not in (None, grade.auto_score):
            points = f"{grade.manual_score:g} of {cell.metadata.nbgrader.points:g} points"
            before = " for what you had handed in before" if grade.needs_manual_grade else ""
            said = f"Your instructor gave {points}{before}. The grader alone had said:\n"
            cell.outputs.insert(0, new_output("stream", text=said))


class FeedbackPage(HTMLExporter):
    """What a student gets back, by a template of its own."""


def rounded(number: float, digits: int = 0) -> float | str:
    """As the feedback's template shows points; it makes a number of everything else."""
    return "not graded yet" if math.isnan(number) else round(number, digits)


# --- What people look at --------------------------------------------------------------------------

_SHOWN = {"text/plain", "text/html", "text/markdown", "text/latex", "image/png", "image/jpeg"}
_LONGEST = 200_000  # characters; cleaning more takes longer than anybody would read
_TAGS = [
    "a",
    "abbr",
    "b",
    "blockquote",
    "br",
    "caption",
    "code",
    "dd",
    "del",
    "details",
    "div",
    "dl",
    "dt",
    "em",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "kbd",
    "li",
    "ol",
    "p",
    "pre",
    "s",
    "samp",
    "small",
    "span",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "u",
    "ul",
]
_STYLES = [
    "background-color",
    "border",
    "border-left",
    "border-color",
    "color",
    "font-family",
    "font-size",
    "font-style",
    "font-weight",
    "line-height",
    "margin",
    "margin-left",
    "margin-top",
    "max-width",
    "overflow-x",
    "padding",
    "text-align",
    "vertical-align",
    "white-space",
]
_CSS = CSSSanitizer(allowed_css_properties=_STYLES)
_EVERYWHERE = ("style", "title", "role", "colspan", "rowspan", "start", "open")
# Only what colours code: other classes, and all ids, belong to formgrader's own buttons and fields.
_CLASSES = re.compile(r"(highlight|hl-\w+|[a-z]{1,2}\d?)( (highlight|hl-\w+|[a-z]{1,2}\d?))*")
_PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[\w+/=\s]*|[\w-][\w./-]*\.(png|jpe?g|gif)")


class Harmless(NbGraderPreprocessor):
    """Leaves of outputs what can be shown: no scripts, no widgets, and no metadata, which nbconvert
    writes into its tags. That of notebook and cells is the release's: the intake sees to it."""

    # Exporters offer this to every preprocessor, and complain where it is not known.
    display_data_priority = List().tag(config=True)

    def preprocess_cell(self, cell, resources, index):
        for output in cell.get("outputs", []):
            if "data" in output:
                output.metadata = NotebookNode()
                output.data = nbformat.from_dict(_shown(output.data))
        return cell, resources


def _shown(data: dict) -> dict:
    kept = {kind: value for kind, value in data.items() if kind in _SHOWN}
    if len(kept.get("text/html", "")) > _LONGEST:
        del kept["text/html"]
    return kept or {"text/plain": "(an output that cannot be shown here)"}


@pass_context
def markdown(context, source: str) -> str:
    """nbconvert's Markdown, without whatever could run."""
    attached = context.get("cell", {}).get("attachments", {})
    renderer = IPythonRenderer(escape=False, attachments=attached, exclude_anchor_links=True)
    source = source[:_LONGEST]
    try:
        return safe_html(MarkdownWithMath(renderer=renderer).render(source))
    except Exception:  # text may be nested without end; one page is all that it may cost
        return f"<pre>{escape(source)}</pre>"


def safe_html(text: str) -> str:
    return bleach.clean(
        text,
        tags=_TAGS,
        attributes=_allowed,
        protocols={"http", "https", "mailto", "data"},
        css_sanitizer=_CSS,
    )


def _allowed(tag: str, name: str, value: str) -> bool:
    if tag == "a" and name == "href":
        return not value.strip().lower().startswith("data:")
    if tag == "img" and name == "src":  # a picture from elsewhere would tell who is looking
        return bool(_PICTURE.fullmatch(value)) and ".." not in value
    if name == "class":
        return bool(_CLASSES.fullmatch(value))
    return name in _EVERYWHERE or (tag == "img" and name in ("alt", "width", "height"))
