"""Grading a class, in the order in which a notebook that was handed in travels.

    classes         the class folder: making it, grading in it, how far everybody is
    collecting      out of nbgrader's exchange; feedback back to those who used it
    reading         a file, whatever wrote it -> cells in one plain shape
    matching        which cell of the release each of these was
    intake          a submission -> a notebook that can be graded, and what was wrong with it
    plan            which of its cells have to run
    warming         starts the processes that run them while the command is still imported
    batch           many students: who waits, whose notebooks run, how long it will take
    workers         who runs them: this machine's processors, or a Dask cluster
    running         one notebook: has its cells run and its checks judged
    parsing         the text of a program -> its tree, by one thread at a time
    frames          how a job and the answers to it are written down
    package         the copy of the course that student code sees, without its solutions
    unchecked       what stands there in place of `check`, `hint`, `solution` and `claim`
    sandbox         a program on strangers' code or data, walled in: the outside of the walls
    service         the inside: a warm parent, which forks a process for each job
    namespaces      the walls themselves: Linux system calls
    answers         runs the cells and the answers, and judges nothing
    verdicts        judges what was observed of the answers, where no student's code runs
    execution       puts the outputs into the notebook, and keeps them for the next time
    quizzes         judges what was handed in for graded quizzes, by the bank of the class
    nbgrader_parts  what nbgrader calls for all of this, behind its own extension points
    gradebook       where the points go: one student after the other, whole or not at all
    notes           what there was to say about a submission besides its points
    report          an assignment as its instructor needs it, counted and said in a terminal
    report_page     the same as a page with pictures
    export          the grades for a spreadsheet, Canvas or Moodle
    leftovers       clears away what a process that was killed has left

What a class folder's `nbgrader_config.py` asks for is `configure`.
"""

import sys

# To check addresses of a kind that no notebook has, jsonschema would import this, which takes a
# second of every command; without it, it leaves them unchecked.
sys.modules.setdefault("rfc3987_syntax", None)

__all__ = ["configure"]


def __getattr__(name: str):
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from course_utils.grading.nbgrader_parts import configure

    return configure
