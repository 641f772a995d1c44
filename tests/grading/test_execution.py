"""How a notebook goes through both processes: here both are played by scripts, so that each way of
failing can be had at will. The real ones are met in test_class.py and test_hostile.py."""

import base64
import json
import time
from contextlib import contextmanager

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from course_utils.grading import execution, running
from course_utils.grading.execution import Settings
from course_utils.grading.frames import pack, unpack
from course_utils.grading.running import NOT_GRADED, OURS, Problem
from course_utils.grading.sandbox import Limits, Ran

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()


def solution(name, text):
    graded = {"grade": False, "solution": True, "locked": False, "grade_id": name}
    return new_code_cell(text, metadata={"nbgrader": graded})


def check(name):
    graded = {"grade": True, "solution": False, "locked": True, "grade_id": f"{name}_check"}
    metadata = {"nbgrader": {**graded, "points": 2}}
    return new_code_cell(f'check("{name}", {name})', metadata=metadata)


def numbered(part, n):
    header, blobs = unpack(part)
    return pack({"step": n, **header}, blobs)


class Played:
    """Stands in for both processes. `at` says what happens at a step: a phrase ends the process
    there, bytes come out as they are, and a dictionary is what the step says."""

    def __init__(self, **at):
        self.at, self.jobs, self.kinds = at, [], []

    @contextmanager
    def __call__(self, kind, exercises, terms):
        self.kinds.append((kind, exercises))
        yield self

    def run(self, job, files, limits, core):
        header, _blobs = unpack(job)
        self.jobs.append(header["steps"])
        parts = []
        for n, step in enumerate(header["steps"]):
            said = self.answer(step)
            if isinstance(said, str):
                return Ran(parts, said, n, 0.1)
            parts.append(numbered(said, n))
        return Ran(parts, "", None, 0.1)

    def answer(self, step):
        for word, said in self.at.items():
            if word in step.get("cell", "") or word == step.get("check"):
                return pack(said) if isinstance(said, dict) else said
        if "cases" in step:
            return pack({}, [f"cases of {step['cases']} for {step['seed']}".encode()])
        if "verdict" in step:
            return pack(self.at.get("verdict", lambda step: self.verdict(step))(step))
        if "check" in step:
            return pack({"missing": ""}, [b"observed " + step["check"].encode()])
        return pack({"outputs": [{"output_type": "stream", "name": "stdout", "text": "ran"}]})

    @staticmethod
    def verdict(step):
        return {"plain": str(step["worth"]), "html": f"<p>{step['verdict']} is right</p>"}


def execute(notebook, release, files, settings):
    return execution.execute(notebook, release, files, settings).lines


@pytest.fixture
def settings(tmp_path):
    (tmp_path / "seed").write_text("a secret\n", encoding="utf-8")
    return Settings(tmp_path)


@pytest.fixture
def run(monkeypatch, settings):
    """Execute cells with a played pair of processes; gives the notebook, the lines and the play."""

    def run(cells, files=None, **at):
        played = Played(**at)
        monkeypatch.setattr(running, "_warm", played)
        monkeypatch.setattr(running, "_known_cases", {})
        notebook = new_notebook(cells=cells)
        lines = execute(notebook, new_notebook(cells=cells), files or {}, settings)
        nbformat.validate(notebook)
        return notebook, lines, played

    return run


def reason(cell):
    return cell.outputs[0].metadata[OURS][NOT_GRADED]


def two():
    return [
        solution("first", "def first(): return 1"),
        check("first"),
        solution("second", "def second(): return 2"),
        check("second"),
    ]


def test_what_cells_say_and_what_judges_find_is_filled_in(run):
    notebook, lines, _played = run(two())
    first, judged = notebook.cells[:2]
    assert first.outputs == [{"output_type": "stream", "name": "stdout", "text": "ran"}]
    assert judged.outputs[0].data["text/plain"] == "2.0"
    assert judged.outputs[0].output_type == "execute_result"
    assert [cell.execution_count for cell in notebook.cells] == [1, 2, 3, 4]
    assert lines == []


def test_the_same_notebook_runs_once(run):
    _, _, first = run(two())
    _, _, again = run(two())
    assert first.jobs
    assert again.jobs == []
    changed = two()
    changed[0].source += "  # changed"
    assert run(changed)[2].jobs


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s._replace(limits=Limits(step=1)),
        lambda s: (s.folder / "seed").write_text("another") and s,
    ],
)
def test_what_decides_about_a_result_is_part_of_its_name(monkeypatch, settings, change):
    played = Played()
    monkeypatch.setattr(running, "_warm", played)
    execute(new_notebook(cells=two()), new_notebook(), {}, settings)
    before = len(played.jobs)
    execute(new_notebook(cells=two()), new_notebook(), {}, change(settings))
    assert len(played.jobs) > before


@pytest.mark.parametrize(
    "released, change",
    [(["a = 1"], {}), ([], {"isolated": False})],
    ids=["another release", "without isolation"],
)
def test_so_are_the_release_and_the_isolation(monkeypatch, settings, released, change):
    played = Played()
    monkeypatch.setattr(running, "_warm", played)
    monkeypatch.setattr(running, "_known_cases", {})
    release = new_notebook(cells=[new_code_cell(source) for source in released])
    execute(new_notebook(cells=two()), new_notebook(), {}, settings)
    before = len(played.jobs)
    execute(new_notebook(cells=two()), release, {}, settings._replace(**change))
    assert len(played.jobs) > before


def test_files_beside_the_notebook_are_part_of_the_name_too(run, tmp_path):
    helper = tmp_path / "helper.py"
    helper.write_text("a = 1")
    run(two(), {"helper.py": helper})
    assert not run(two(), {"helper.py": helper})[2].jobs
    helper.write_text("a = 2")
    assert run(two(), {"helper.py": helper})[2].jobs


def test_a_damaged_result_is_made_anew(run, settings):
    run(two())
    (stored,) = (settings.folder / "results").iterdir()
    stored.write_text("{", encoding="utf-8")
    assert run(two())[2].jobs
    assert json.loads(stored.read_text(encoding="utf-8"))["problems"] == []


def test_an_answer_that_ends_the_process_costs_itself_only(run):
    notebook, lines, _played = run(two(), first="crashed (segmentation fault)")
    # the word stands in the cell that defines it as well: that one is left out first
    assert "left out" in notebook.cells[0].outputs[0].evalue
    assert reason(notebook.cells[1]) == "crashed (segmentation fault)"
    assert notebook.cells[3].outputs[0].data["text/plain"] == "2.0"
    assert lines == [
        "the cell of `first` was left out: crashed (segmentation fault)",
        "`first` could not be graded: crashed (segmentation fault)",
    ]


def test_a_cell_that_ends_the_process_takes_only_its_own_answer_with_it(run):
    cells = two()
    cells[0].source = "import os; first = 1; os.abort()"
    missing = {"missing": "name 'first' is not defined"}
    notebook, _lines, _ = run(cells, abort="crashed (aborted)", first=missing)
    assert reason(notebook.cells[1]) == "the cell that defines it crashed (aborted)"
    assert notebook.cells[1].outputs[0].data["text/plain"] == "0"
    assert "could not be graded" in notebook.cells[1].outputs[0].data["text/html"]
    assert notebook.cells[3].outputs[0].data["text/plain"] == "2.0"


def test_the_last_words_of_a_process_are_not_passed_on(run):
    notebook, lines, _ = run(two(), first="failed (the secret case is this)")
    assert reason(notebook.cells[1]) == "failed"
    assert "secret case" not in str(notebook) + str(lines)


def test_what_was_nobodys_doing_is_not_stored(run, settings):
    notebook, _, _ = run(two(), first="was lost: the sandbox itself ended")
    assert "was lost" in reason(notebook.cells[1])
    assert not (settings.folder / "results").exists()
    notebook, _, played = run(two())
    assert played.jobs
    assert notebook.cells[1].outputs[0].data["text/plain"] == "2.0"


def test_where_nobody_can_be_isolated_the_instructor_is_told_and_nobody_graded(run):
    with pytest.raises(Problem, match="could not be isolated: fresh namespaces"):
        run(two(), first="could not be isolated: fresh namespaces: Operation not permitted")


def test_a_quiz_whose_answers_crashed_is_no_zero_either(run):
    graded = {"grade": True, "solution": False, "locked": True, "grade_id": "quiz", "points": 4}
    quiz = new_code_cell('hand_in(answers, {"a": "number"})', metadata={"nbgrader": graded})
    answers = solution("answers", "answers = crash()")
    notebook, lines, _ = run([answers, quiz], crash="crashed (aborted)")
    assert reason(notebook.cells[1]) == "the cell that defines it crashed (aborted)"
    assert lines[-1] == "`quiz` could not be graded: the cell that defines it crashed (aborted)"


def test_an_answer_that_was_never_written_is_judged_as_such(run):
    cells = two()
    cells[0].source = ""
    seen = []

    def verdict(step):
        seen.append(step)
        return Played.verdict(step)

    run(cells, first={"missing": "name 'first' is not defined"}, verdict=verdict)
    assert [step["observed"].get("missing") for step in seen] == [
        "name 'first' is not defined",
        "",
    ]


def test_a_process_that_says_too_little_leaves_its_checks_without_a_verdict(run):
    class Silent(Played):
        def run(self, job, files, limits, core):
            ran = super().run(job, files, limits, core)
            steps = self.jobs[-1]
            return ran._replace(parts=ran.parts[:1]) if "cell" in steps[0] else ran

    played = Silent()
    notebook = new_notebook(cells=two())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "_warm", played)
        patch.setattr(running, "_known_cases", {})
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "seed").write_text("s")
            execute(notebook, notebook, {}, Settings(Path(folder)))
    assert reason(notebook.cells[1]) == reason(notebook.cells[3]) == "its turn never came"


def test_parts_count_for_the_step_that_they_name_and_the_first_of_them(monkeypatch, settings):
    class Disorderly(Played):
        def run(self, job, files, limits, core):
            ran = super().run(job, files, limits, core)
            late = pack({"step": 1, "missing": "forged"}, [b"forged"])
            wild = [pack({"step": n}) for n in (-1, 99, 1.0, True, "1", None)]
            return ran._replace(parts=[*wild, *reversed(ran.parts), late, b"noise"])

    monkeypatch.setattr(running, "_warm", Disorderly())
    monkeypatch.setattr(running, "_known_cases", {})
    notebook = new_notebook(cells=two())
    assert execute(notebook, notebook, {}, settings) == []
    assert notebook.cells[1].outputs[0].data["text/html"] == "<p>first is right</p>"
    assert notebook.cells[3].outputs[0].data["text/html"] == "<p>second is right</p>"


def test_a_cell_that_was_interrupted_is_reported_and_what_it_never_defined_is_no_zero(run):
    cells = two()
    cells[0].source = "slow(); first = 1"
    missing = {"missing": "name 'first' is not defined"}
    notebook, lines, _ = run(cells, slow={"outputs": [], "interrupted": True}, first=missing)
    assert reason(notebook.cells[1]) == "the cell that defines it ran longer than 60 s"
    assert lines == [
        "the cell of `first` ran longer than 60 s, and was interrupted",
        "`first` could not be graded: the cell that defines it ran longer than 60 s",
    ]


def test_what_a_cell_defined_before_it_was_interrupted_counts(run):
    notebook, lines, _ = run(two(), **{"def first": {"outputs": [], "interrupted": True}})
    assert notebook.cells[1].outputs[0].data["text/plain"] == "2.0"
    assert lines == ["the cell of `first` ran longer than 60 s, and was interrupted"]


def test_an_unreadable_submission_has_no_verdict_at_all(run):
    cells = two()
    notebook = new_notebook(cells=cells, metadata={OURS: {"unreadable": "the file is empty"}})
    lines = execute(notebook, notebook, {}, None)
    assert reason(notebook.cells[1]) == reason(notebook.cells[3]) == "the file is empty"
    assert lines == []


def test_what_was_lost_with_a_damaged_file_has_no_verdict(run, settings):
    run(two())  # is stored now
    notebook = new_notebook(cells=two(), metadata={OURS: {"lost": ["second_check"]}})
    execute(notebook, notebook, {}, settings)
    assert notebook.cells[1].outputs[0].data["text/plain"] == "2.0"
    assert "damaged" in reason(notebook.cells[3])


def test_what_is_unclear_is_explained_on_the_cases_that_everybody_sees(run):
    seen = []

    def verdict(step):
        seen.append(step)
        unclear = step["verdict"] == "first" and "visible" not in step
        return {**Played.verdict(step), "unclear": unclear, "html": f"<p>{unclear}</p>"}

    notebook, _, played = run(two(), verdict=verdict)
    assert [(step["verdict"], "visible" in step) for step in seen] == [
        ("first", False),
        ("second", False),
        ("first", True),
    ]
    assert notebook.cells[1].outputs[0].data["text/html"] == "<p>False</p>"
    asked = [[s.get("check") for s in job if "check" in s] for job in played.jobs]
    assert ["first", "second"] in asked and ["first"] in asked


def test_the_seed_goes_to_the_judge_and_never_to_the_answers(run):
    _, _, played = run(two())
    for job in played.jobs:
        for step in job:
            assert ("a secret" in json.dumps(step)) == ("verdict" in step or "cases" in step)


class Leaking(Played):
    """Its cells show what the process was given."""

    def run(self, job, files, limits, core):
        _, blobs = unpack(job)
        self.given = b" ".join(blobs).decode()
        return super().run(job, files, limits, core)

    def answer(self, step):
        if "cell" in step:
            shown = {"output_type": "stream", "name": "stdout", "text": self.given}
            return pack({"outputs": [shown]})
        return super().answer(step)


def test_what_a_student_reads_comes_from_a_run_without_the_secret_cases(monkeypatch, settings):
    monkeypatch.setattr(running, "_warm", Leaking())
    monkeypatch.setattr(running, "_known_cases", {})
    notebook = new_notebook(cells=two())
    execute(notebook, notebook, {}, settings)
    (shown,) = notebook.cells[2].outputs
    assert shown.text == ""
    assert notebook.cells[3].outputs[0].data["text/plain"] == "2.0"


def test_both_runs_together_keep_to_the_time_of_a_notebook(monkeypatch, settings):
    given = []

    class Timed(Played):
        def run(self, job, files, limits, core):
            if "verdict" not in str(job) and "cases" not in str(job[:200]):
                given.append(limits.job)
            return super().run(job, files, limits, core)

    monkeypatch.setattr(running, "_warm", Timed())
    monkeypatch.setattr(running, "_known_cases", {})
    clock = iter(range(0, 10_000, 100))
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    execute(new_notebook(cells=two()), new_notebook(cells=two()), {}, settings)
    assert len(given) == 2
    assert given[1] < given[0] < settings.limits.job


def test_a_notebook_that_keeps_crashing_keeps_to_its_time_as_well(monkeypatch, run):
    clock = iter(range(0, 10**6, 400))
    monkeypatch.setattr(running.time, "monotonic", lambda: next(clock))
    notebook, lines, played = run(two(), first="crashed (aborted)")
    ran = [job for job in played.jobs if any("cell" in step for step in job)]
    assert len(ran) == 1
    assert "was not reached" in reason(notebook.cells[3])
    assert any("`second` could not be graded" in line for line in lines)


def test_without_a_seed_nobody_is_graded(tmp_path):
    with pytest.raises(Problem, match=r"secret seed.*\. Bring back `\.grading/seed`"):
        execute(new_notebook(cells=two()), new_notebook(), {}, Settings(tmp_path))


def test_an_empty_seed_is_no_secret(tmp_path):
    (tmp_path / "seed").write_text("\n", encoding="utf-8")
    with pytest.raises(Problem, match="is empty"):
        execute(new_notebook(cells=two()), new_notebook(), {}, Settings(tmp_path))


def test_results_that_cannot_be_kept_are_the_instructors_to_mend(run, settings):
    (settings.folder / "results").write_text("a file where the folder should be")
    with pytest.raises(Problem, match="results cannot be kept"):
        run(two())


HOSTILE = [
    None,
    "text",
    7,
    [],
    {"output_type": "invented"},
    {"output_type": "display_data", "data": {"text/html": "<script>"}},
    {"output_type": "display_data", "data": {"application/javascript": "alert(1)"}},
    {"output_type": "display_data", "data": {"image/svg+xml": "<svg onload=alert(1)>"}},
    {"output_type": "display_data", "data": {"image/png": 'x" onerror="alert(1)'}},
    {"output_type": "display_data", "data": {"image/png": PICTURE + '" onerror="alert(1)'}},
    {"output_type": "display_data", "data": ["text/plain"]},
]


@pytest.mark.parametrize("output", HOSTILE, ids=str)
def test_an_output_that_could_do_something_is_dropped(run, output):
    notebook, _, _ = run(two(), first={"outputs": [output], "missing": ""})
    assert notebook.cells[0].outputs == []


def stream(text):
    return {"output_type": "stream", "name": "stdout", "text": text}


@pytest.mark.parametrize(
    "outputs",
    [
        [stream("")] * 150_000,
        [stream("x" * 2**20)] * 12,
        [stream("\x1b[31m" * 2**20)],
        [{"output_type": "display_data", "data": {"image/png": PICTURE + "A" * 12 * 2**20}}],
        [{"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x" * 99] * 100_000}],
    ],
    ids=["many", "long", "escapes", "picture", "traceback"],
)
def test_more_than_anybody_reads_costs_the_grader_little(run, outputs):
    start = time.process_time()
    notebook, _, _ = run(two(), first={"outputs": outputs, "missing": ""})
    assert time.process_time() - start < 10
    assert len(json.dumps(notebook.cells[0])) < 9 * 2**20
    assert len(notebook.cells[0].outputs) <= 1000


@pytest.mark.parametrize(
    ("output", "kept"),
    [
        (
            {"output_type": "stream", "name": "x", "text": "a\x1b[31mb\x1b]0;title\x07c\x08\x9bd"},
            {"output_type": "stream", "name": "stdout", "text": "abc��d"},
        ),
        (
            {"output_type": "display_data", "data": {"image/png": PICTURE, "text/html": "<b>"}},
            {"output_type": "display_data", "data": {"image/png": PICTURE}, "metadata": {}},
        ),
        (
            {"output_type": "error", "ename": 3, "evalue": None, "traceback": ["\x1b[0;31mE", 4]},
            {"output_type": "error", "ename": "3", "evalue": "", "traceback": ["E", "4"]},
        ),
        (
            {"output_type": "display_data", "data": {"text/plain": ["a", "b"]}, "metadata": "x"},
            {"output_type": "display_data", "data": {"text/plain": "ab"}, "metadata": {}},
        ),
    ],
)
def test_text_and_pictures_are_kept_and_text_moves_no_cursor(run, output, kept):
    notebook, _, _ = run(two(), first={"outputs": [output], "missing": ""})
    assert notebook.cells[0].outputs == [kept]


@pytest.mark.parametrize(
    "part",
    [b"", b"\xff" * 40, (10**9).to_bytes(8, "little") + b"{}", pack({}, [b"xx"])[:-1], b"\0" * 8],
    ids=["empty", "noise", "too long", "cut", "zeros"],
)
def test_nonsense_on_the_way_is_an_error_in_one_sentence(part):
    with pytest.raises(ValueError, match="no job and no answer"):
        unpack(part)


def test_what_is_packed_comes_out_again():
    blobs = [b"", b"\0\1", b"x" * 1000]
    assert unpack(pack({"a": [1, "ü"]}, blobs)) == ({"a": [1, "ü"]}, blobs)
