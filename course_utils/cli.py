"""The `course` command: one verb for each thing that is done with the course from a terminal.

Only says what can be asked and hands over. Whatever is heavy (torch, Jupyter) is imported by the
verb that needs it, so that `course --help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb. What a user can put right is said in one sentence, without a traceback."""
    asked = _parser().parse_args(arguments)
    try:
        status = asked.verb(asked) or 0
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # who read along has read enough: `course progress | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError) as error:
        print(f"course: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="course",
        description="The pruning course: lessons in JupyterLab that check themselves.",
    )
    parser.set_defaults(verb=_help, parser=parser)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")

    def verb(name: str, run, says: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=says, description=says[0].upper() + says[1:] + ".")
        sub.set_defaults(verb=run)
        return sub

    lab = verb("lab", _lab, "bring the lessons into the work folder and open JupyterLab on them")
    lab.add_argument("--work", type=Path, metavar="DIR", help="another folder than work/")
    _add_where_it_is_served(lab)

    verb("progress", _progress, "show what is done, lesson by lesson")

    verb("doctor", _doctor, "look for what is missing or broken, and say what to type")

    verb("review", _review, "answer the questions that are due today, here in the terminal")

    language = verb("language", _language, "show or choose the language of questions and reviews")
    language.add_argument("language", nargs="?", metavar="LANGUAGE", help="en, bg, vi or ko")

    export = verb("export", _export, "write the questions for another program")
    export.add_argument("format", choices=("anki", "moodle", "qti", "nbgrader"))
    export.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="where to write it, ending in .apkg, .xml, .zip or .ipynb",
    )
    export.add_argument("--bank", type=Path, metavar="DIR", help="another bank than the course's")
    export.add_argument("--language", help="en, bg, vi or ko; the one that you chose if left out")

    build = verb("build", _build, "make the notebooks from their sources in solutions/")
    build.add_argument("lessons", nargs="*", metavar="LESSON", help="such as 01; all when left out")
    build.add_argument("--check", action="store_true", help="build nothing, name what is stale")

    bank = verb("bank", _bank, "check the question bank, its translations and the glossary")
    bank.add_argument("--record", action="store_true", help="write down what has changed in it")

    _class_verbs(verb("class", _help, "teach a class: make its folder, grade, export grades"))

    checkpoints = verb("checkpoints", _checkpoints, "train the shipped checkpoints again")
    checkpoints.add_argument("--check", action="store_true", help="compare, and replace nothing")
    return parser


def _class_verbs(group: argparse.ArgumentParser) -> None:
    group.set_defaults(parser=group)
    verbs = group.add_subparsers(title="verbs", metavar="VERB")

    def verb(name: str, run, says: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=says, description=says[0].upper() + says[1:] + ".")
        sub.set_defaults(verb=run)
        return sub

    new = verb("new", _class_new, "make a class folder with an assignment for each lesson")
    new.add_argument(
        "folder", type=Path, metavar="DIR", help="a folder that is empty, or not there yet"
    )

    grade = verb("grade", _class_grade, "grade what was handed in, each notebook in isolation")
    grade.add_argument("assignment", metavar="ASSIGNMENT", help="such as 01")
    grade.add_argument("--students", nargs="+", default=[], metavar="STUDENT", help="only these")
    where = grade.add_mutually_exclusive_group()
    where.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="how many notebooks at once on this machine; as many as it has processors",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="run them on a Dask cluster instead, such as tcp://192.168.0.7:8786",
    )
    grade.add_argument(
        "--not-isolated",
        action="store_true",
        help="run students' code with your rights: where there is no bubblewrap, and on a machine "
        "that holds nothing else",
    )

    verb("status", _class_status, "show how far each assignment is, and what is worth a look")

    report = verb(
        "report", _class_report, "show what a class knows of an assignment, and what it misses"
    )
    report.add_argument("assignment", metavar="ASSIGNMENT", help="such as 01")
    report.add_argument(
        "--names", action="store_true", help="with names; without, it says nothing about who"
    )
    page = report.add_argument(
        "file", type=Path, metavar="[FILE]", help="another page than that in reports/"
    )
    page.required = False  # what nargs="?" means, but for a FILE behind --names too

    export = verb("export", _class_export, "write the grades for another program")
    export.add_argument(
        "--format",
        choices=("csv", "canvas", "moodle"),
        default="csv",
        help="csv if left out",
    )
    export.add_argument(
        "file",
        nargs="?",
        type=Path,
        metavar="FILE",
        help="grades-FORMAT.csv in the class folder if left out",
    )

    open_ = verb("open", _class_open, "open JupyterLab with formgrader on the class folder")
    _add_where_it_is_served(open_)

    homework = verb(
        "homework", _class_homework, "for students: fetch, validate and submit in JupyterLab"
    )
    homework.add_argument(
        "folder", nargs="?", type=Path, metavar="DIR", help="where homework lies; ~/homework"
    )
    _add_where_it_is_served(homework)


def _add_where_it_is_served(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--port", type=_port, default=8888, help="8888, or the next one that is free")
    verb.add_argument("--no-browser", action="store_true", help="only print the address to open")


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"a number of notebooks is 1 or more, not {text}")
    return int(text)


def _port(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"a port is a number from 1 to 65535, not {text}")
    return int(text)


def _help(asked: argparse.Namespace) -> int:
    """For `course` and `course class` alone: nothing was asked, so nothing was done."""
    asked.parser.print_help()
    return 2


def _lab(asked: argparse.Namespace) -> int:
    from course_utils import lab

    return lab.run(asked.work or lab.WORK, asked.port, browser=not asked.no_browser)


def _progress(asked: argparse.Namespace) -> None:
    from course_utils import study

    print(study.progress_text())


def _doctor(asked: argparse.Namespace) -> int:
    from course_utils import doctor

    return doctor.run()


def _review(asked: argparse.Namespace) -> None:
    from course_utils.study import terminal

    terminal.review()


def _language(asked: argparse.Namespace) -> None:
    from course_utils.quiz import translation

    if asked.language:
        translation.choose(asked.language)
    chosen = translation.language()
    print(f"{chosen} ({translation.LANGUAGES[chosen]})")


def _export(asked: argparse.Namespace) -> None:
    from course_utils.quiz import export

    for line in export.write(asked.format, asked.file, asked.bank, asked.language):
        print(line)


def _bank(asked: argparse.Namespace) -> int:
    from course_utils.quiz import rules

    return rules.run(record=asked.record)


def _build(asked: argparse.Namespace) -> int:
    from course_utils.authoring.build import build

    return build(asked.lessons, check=asked.check)


def _class_new(asked: argparse.Namespace) -> None:
    from course_utils.authoring import build, notebooks, source
    from course_utils.grading import classes

    files = sorted((build.ROOT / "solutions").glob("[0-9][0-9]_*.py"))
    lessons = {file.stem: notebooks.instructor(source.read(file)) for file in files}
    for line in classes.new(asked.folder, lessons):
        print(line)


def _class_grade(asked: argparse.Namespace) -> int:
    from course_utils.grading import warming

    if not asked.scheduler:
        warming.begin(Path.cwd(), asked.assignment)
    from course_utils.grading import classes  # takes a second to import, in which the others start

    return classes.grade(
        classes.find(),
        asked.assignment,
        asked.students,
        isolated=not asked.not_isolated,
        workers=asked.workers,
        scheduler=asked.scheduler,
    )


def _class_status(asked: argparse.Namespace) -> None:
    from course_utils.grading import classes

    classes.status(classes.find())


def _class_report(asked: argparse.Namespace) -> None:
    from course_utils.grading import classes, report

    for line in report.write(classes.find(), asked.assignment, asked.names, asked.file):
        print(line)


def _class_export(asked: argparse.Namespace) -> None:
    from course_utils.grading import classes, export

    for line in export.write(classes.find(), asked.format, asked.file):
        print(line)


def _class_open(asked: argparse.Namespace) -> int:
    from course_utils import lab
    from course_utils.grading import classes

    page, says = "formgrader", "Formgrader, also in JupyterLab's menu Nbgrader, is at"
    return lab.serve(classes.find(), asked.port, not asked.no_browser, page, says, lab.TEACHING)


def _class_homework(asked: argparse.Namespace) -> int:
    from course_utils import lab

    folder = (asked.folder or Path.home() / "homework").expanduser().absolute()
    folder.mkdir(parents=True, exist_ok=True)
    says = "Save before you submit. Choose Assignment List in the menu Nbgrader, at"
    return lab.serve(folder, asked.port, not asked.no_browser, "lab", says, lab.HOMEWORK)


def _checkpoints(asked: argparse.Namespace) -> int:
    from course_utils.models import rebuild_checkpoints

    return rebuild_checkpoints(check=asked.check)


if __name__ == "__main__":
    sys.exit(main())
