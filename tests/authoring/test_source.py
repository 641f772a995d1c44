import pytest

from course_utils.authoring.source import AuthoringError, read, solution_lines


def test_cells_have_kinds_names_points_and_lines(course, source):
    lesson = read(course())
    assert [(cell.kind, cell.name) for cell in lesson.cells] == [
        ("text", None),
        ("code", None),
        ("exercise", "double"),
        ("check", "double"),
        ("written", "why"),
        ("claim", "it_doubles"),
        ("demo", None),
        ("final", None),
    ]
    markers = [n for n, line in enumerate(source.splitlines(), 1) if line.startswith("# %%")]
    assert [cell.line for cell in lesson.cells] == markers
    assert lesson.number == "07"
    assert lesson.cells[4].points == 2
    assert [cell.kind for cell in lesson.cells if cell.varies] == ["claim"]


def test_solution_lines_are_those_between_the_marks(course):
    lesson = read(course())
    assert solution_lines(lesson.cells[2]) == ["    twice = x + x", "    return twice"]
    assert solution_lines(lesson.cells[4]) == ["Because adding is counting on."]


@pytest.mark.parametrize(
    ("marker", "kind", "varies"),
    [
        ("demo varies", "demo", True),
        ("varies demo", "demo", True),
        ("varies", "code", True),
        ("final varies", "final", True),
        ("final", "final", False),
        ("lines_to_next_cell=0", "code", False),
    ],
)
def test_bare_words_are_markers_alone_or_together(course, marker, kind, varies):
    cell = read(course(f"# %% {marker}\n1\n")).cells[0]
    assert (cell.kind, cell.varies) == (kind, varies)


def test_a_marker_inside_a_string_starts_no_cell(course):
    lesson = read(course('# %%\ntext = """\n# %% demo\n"""\n\n# %% final\n1\n'))
    assert [(cell.kind, cell.line) for cell in lesson.cells] == [("code", 1), ("final", 6)]


def test_magics_are_read_as_ipython_reads_them(course):
    assert read(course("# %%\n# %matplotlib inline\n!ls\nx = 1\n")).cells[0].kind == "code"


EXERCISE = """\
# %% exercise="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
"""
CHECK = '# %% check="double"\ncheck("double", double)\n'
GUESS = '# %%\npredict("a", ...)\n'
ANSWER = '# %%\nif predicted("a"):\n    outcome("a", 3)\n'

MISTAKES = {
    "an exercise nobody defined": (
        EXERCISE.replace("double", "triple") + CHECK.replace("double", "triple"),
        1,
        "no exercise named 'triple' is defined in course_utils.exercises",
    ),
    "a check without an exercise": (
        "# %%\n1\n" + CHECK,
        3,
        "check='double' has no exercise in this lesson",
    ),
    "an exercise without a check": (EXERCISE, 1, "the exercise 'double' has no check"),
    "a check before its exercise": (CHECK + EXERCISE, 1, "stands before its exercise"),
    "an unclosed region": (
        EXERCISE.replace("    ### END SOLUTION\n", "") + CHECK,
        3,
        "this solution is never closed",
    ),
    "an unopened region": (
        EXERCISE.replace("    ### BEGIN SOLUTION\n", "") + CHECK,
        4,
        "a solution ends that was never opened",
    ),
    "a nested region": (
        EXERCISE.replace("    return", "    ### BEGIN SOLUTION\n    return") + CHECK,
        4,
        "a solution opens inside the one of line 3",
    ),
    "no region": (
        '# %% exercise="double"\ndef double(x):\n    return 2 * x\n' + CHECK,
        1,
        "has no solution between",
    ),
    "a region outside an exercise": (
        "# %%\n1\n### BEGIN SOLUTION\n2\n### END SOLUTION\n",
        3,
        "only exercises and written questions have solutions",
    ),
    "a solution outside a function": (
        '# %% exercise="double"\n### BEGIN SOLUTION\ndef double(x):\n    return 2 * x\n'
        "### END SOLUTION\n" + CHECK,
        1,
        "the solution must stand inside a function",
    ),
    "a solution the cell cannot do without": (
        '# %% exercise="double"\ndef double(x):\n    ### BEGIN SOLUTION\n    if x:\n'
        "    ### END SOLUTION\n        return 2 * x\n" + CHECK,
        1,
        "without its solution this is not Python",
    ),
    "the same exercise twice": (
        EXERCISE + EXERCISE + CHECK,
        6,
        "exercise='double' has the same name as the exercise of line 1",
    ),
    "the same check twice": (
        EXERCISE + CHECK + CHECK,
        8,
        "check='double' has the same name as the check of line 6",
    ),
    "the same claim twice": (
        '# %% claim="a"\nclaim("a")\n# %% claim="a"\nclaim("a")\n',
        3,
        "claim='a' has the same name as the claim of line 1",
    ),
    "a written question named like an exercise": (
        EXERCISE
        + CHECK
        + '# %% [markdown] written="double" points=1\n# Q\n# BEGIN SOLUTION\n# END SOLUTION\n',
        8,
        "written='double' has the same name as the exercise of line 1",
    ),
    "an unknown word": ("# %%\n1\n# %% demonstration\n1\n", 3, "`demonstration` is not a marker"),
    "an unknown key": ('# %% excercise="a"\n1\n', 1, "`excercise=a` is not a marker"),
    "an open quote": ('# %% claim="a\n1\n', 1, "a quote is not closed"),
    "two kinds": ('# %% demo claim="a"\n1\n', 1, "a cell cannot be demo and claim at once"),
    "a word where JupyterLab drops it": (
        '# %% claim="a" varies\n1\n',
        1,
        '`varies` must come first: JupyterLab writes `varies claim="a"`',
    ),
    "a name that is none": ('# %% claim="My claim"\n1\n', 1, "a name is letters"),
    "a check whose output is ignored": (
        EXERCISE + CHECK.replace("check=", "varies check="),
        6,
        "is the same everywhere",
    ),
    "a demo of text": ("# %% [markdown] demo\n# a\n", 1, "`demo` marks code, not markdown"),
    "text that varies": ("# %% [markdown] varies\n# a\n", 1, "`varies` marks code, not markdown"),
    "a raw cell": ("# %% [raw]\n# a\n", 1, "a lesson has code and markdown cells, no raw ones"),
    "written code": ('# %% written="a" points=1\n1\n', 1, "a written question is a markdown cell"),
    "written without points": (
        '# %% [markdown] written="a"\n# Q\n# BEGIN SOLUTION\n# END SOLUTION\n',
        1,
        "a written question needs its points",
    ),
    "points that are none": (
        '# %% [markdown] written="a" points=many\n# Q\n',
        1,
        "points are a positive number",
    ),
    "no points at all": (
        '# %% [markdown] written="a" points=0\n# Q\n',
        1,
        "points are a positive number",
    ),
    "a written question without its answer": (
        '# %% [markdown] written="a" points=1\n# Q\n',
        1,
        "written='a' has no solution between",
    ),
    "a written question that asks nothing": (
        "# %% [markdown]\n# ## In your own words\n"
        '# %% [markdown] written="a" points=1\n# BEGIN SOLUTION\n# Q\n# END SOLUTION\n',
        3,
        "written='a' asks nothing: its question goes right above",
    ),
    "an answer to a misspelt prediction": (
        GUESS + ANSWER.replace('outcome("a"', 'outcome("b"'),
        5,
        "outcome('b'): no cell above predicts that. Predicted: 'a'",
    ),
    "a wait for two predictions, one of them misspelt": (
        GUESS + ANSWER.replace('predicted("a"', 'predicted("a", "b"'),
        4,
        "predicted('b'): no cell above predicts that",
    ),
    "an answer above its prediction": (ANSWER + GUESS, 2, "Predicted: none"),
    "an answer in the same cell as its prediction": (
        GUESS + 'outcome("a", 3)\n',
        3,
        "outcome('a'): no cell above predicts that",
    ),
    "one name for two predictions": (
        GUESS + GUESS + ANSWER,
        4,
        "the prediction 'a' has the same name as one in line 2",
    ),
    "a prediction that nothing waits for": (
        GUESS + '# %%\noutcome("a", 3)\n',
        2,
        "no cell below calls predicted('a')",
    ),
    "a prediction without an outcome": (
        GUESS + '# %%\nif predicted("a"):\n    print(3)\n',
        2,
        "no cell below calls outcome('a')",
    ),
    "points on something else": (
        EXERCISE.replace('"double"\n', '"double" points=3\n', 1) + CHECK,
        1,
        "only a written question has points=",
    ),
    "a check that calls nothing": (
        EXERCISE + '# %% check="double"\ndouble(1)\n',
        6,
        'this cell must call check("double", ...)',
    ),
    "a check that calls another": (
        EXERCISE + CHECK.replace('check("double"', 'check("triple"'),
        6,
        'this cell must call check("double", ...)',
    ),
    "a claim that calls nothing": (
        '# %% claim="a"\nassert True\n',
        1,
        'this cell must call claim("a", ...)',
    ),
    "the test split too early": (
        "# %%\nx = 1\ny = data.final_test()\n",
        3,
        "final_test() belongs in a cell marked `final`",
    ),
    "decisions made too early": (
        "# %% demo\ndata.decisions_are_made()\n",
        2,
        "decisions_are_made() belongs in a cell marked `final`",
    ),
    "a syntax error": ("# %%\nx = 1\ny = = 2\n", 3, "this is not Python"),
    "no marker at the top": ('"""Doc."""\n# %%\n1\n', 1, "must start with a cell marker"),
    "a jupytext header": ("# ---\n# a: b\n# ---\n# %%\n1\n", 1, "must start with a cell marker"),
    "an empty file": ("", 1, "must start with a cell marker"),
    "a marker in other clothes": (
        "# %%\n1\n#%% demo\n2\n",
        3,
        "a cell marker is written `# %%` at the beginning of its line",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_an_authors_mistake_is_one_sentence_with_file_and_line(course, mistake):
    text, line, words = MISTAKES[mistake]
    path = course(text)
    with pytest.raises(AuthoringError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"solutions/07_doubling.py:{line}: ")
    assert words in message
    assert "\n" not in message


def test_predictions_that_are_answered_below_are_none(course):
    both = GUESS + GUESS.replace("a", "b") + ANSWER
    either = ANSWER.replace('predicted("a")', 'predicted("a", "b")').replace(
        'outcome("a', 'outcome("b'
    )
    read(course(both + either))


def test_one_name_for_predictions_in_two_lessons_is_a_mistake(course):
    course(GUESS + ANSWER, "08_other.py")
    with pytest.raises(AuthoringError, match=r"07_doubling.py:2: .* same name as one in lesson 08"):
        read(course(GUESS + ANSWER))


@pytest.mark.parametrize("above", ["# Why?", "# ## Now you\n#\n# Why?"])
def test_a_question_stands_above_its_answer_or_in_its_cell(course, above):
    answer = "# BEGIN SOLUTION\n# Because.\n# END SOLUTION\n"
    marker = '# %% [markdown] written="a" points=1\n'
    assert read(course(f"# %% [markdown]\n{above}\n{marker}{answer}"))
    assert read(course(f"# %%\n1\n{marker}{above}\n{answer}"))


def test_an_exercise_of_another_lesson_is_a_mistake(course):
    path = course(name="08_other.py")
    with pytest.raises(
        AuthoringError, match=r"08_other.py:23: .* belongs to lesson '07', not '08'"
    ):
        read(path)


def test_a_file_in_another_encoding_is_a_mistake(course):
    path = course()
    path.write_bytes(path.read_bytes() + "# %%\nx = 'ü'\n".encode("latin-1"))
    last = len(path.read_bytes().splitlines())
    with pytest.raises(AuthoringError, match=f"doubling.py:{last}: .* saved as UTF-8"):
        read(path)
