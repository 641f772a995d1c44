"""What a learner is told about a newer version: from the lesson's own builder, and with all that a
learner may have done to the older one."""

import json
import uuid

import pytest

from course_utils.authoring import notebooks, source
from course_utils.lesson_changes import SAME, changes

LESSON = """\
# %% [markdown]
# # 02 · Weight importance

# %% [markdown]
# ## Step 1: which weights matter?
#
# Some do.

# %%
sizes = [3, 1, 2]

# %% [markdown]
# ## Step 2: your turn
#
# **Exercise** `magnitude_scores` · 2 points · about 8 minutes · difficulty 2 of 5
#
# The absolute values.

# %% exercise="magnitude_scores"
def magnitude_scores(model):
    ### BEGIN SOLUTION
    return {}
    ### END SOLUTION

# %% check="magnitude_scores"
check("magnitude_scores", magnitude_scores)

# %% claim="some_matter"
claim("some_matter", max(sizes) > min(sizes))

# %% [markdown]
# ## In your own words

# %% [markdown] written="why_so_few" points=2
# Why so few?
#
# ### BEGIN SOLUTION
# They are enough.
# ### END SOLUTION
"""


@pytest.fixture
def built(tmp_path):
    """Builds the text of a lesson as `course build` does."""

    def build(text: str) -> str:
        path = tmp_path / "02_weight_importance.py"
        path.write_text(text, encoding="utf-8")
        return notebooks.to_text(notebooks.student(source.read(path)))

    return build


def with_(old: str, new: str) -> str:
    assert LESSON.count(old) == 1
    return LESSON.replace(old, new)


def test_the_same_lesson_has_no_news(built):
    assert changes(built(LESSON), built(LESSON)) == SAME


def test_what_a_learner_did_does_not_count(built):
    mine = json.loads(built(LESSON))
    for cell in mine["cells"]:
        given = cell["metadata"].get("nbgrader", {})
        if given.get("solution"):
            cell["source"] = "my answer"
        elif cell["cell_type"] == "code":
            cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hm"}]
            cell["execution_count"] = 7
    code = next(cell for cell in mine["cells"] if cell["source"] == ["sizes = [3, 1, 2]"])
    code["source"] = "sizes = [1, 1, 1]  # what then?"
    own = {"cell_type": "markdown", "id": str(uuid.uuid4()), "metadata": {}, "source": "a note"}
    mine["cells"].insert(2, own)
    mine["metadata"]["kernelspec"]["display_name"] = "another"
    assert changes(json.dumps(mine), built(LESSON)) == SAME


@pytest.mark.parametrize(
    "old, new, told",
    [
        ("Some do.", "Few do.", "Changed: Step 1."),
        ("sizes = [3, 1, 2]", "sizes = [3, 1, 2, 9]", "Changed: Step 1."),
        ("max(sizes)", "2 * max(sizes)", "Changed: Step 2."),
        ("which weights matter?", "do all weights matter?", "Changed: Step 1."),
        ("# Some do.\n", "# Some do.\n\n# %%\nprint(1)\n", "Changed: Step 1."),
        ("# %%\nsizes = [3, 1, 2]\n\n", "", "Changed: Step 1."),
        ("## In your own words", "## In other words",
         "New sections: In other words; sections that are gone: In your own words."),
        ('points=2\n# Why so few', 'points=3\n# Why so few',
         "Other points: why_so_few (3 points, was 2)."),
        ("# Why so few?", "# Why so many?", "Asked differently: why_so_few."),
        ("def magnitude_scores(model):", "def magnitude_scores(network):",
         "Asked differently: magnitude_scores."),
    ],
)  # fmt: skip
def test_what_the_lesson_changed_is_named(built, old, new, told):
    assert changes(built(LESSON), built(with_(old, new))) == [told]


def test_another_text_of_an_exercise_is_told_with_its_place(built):
    told = changes(built(LESSON), built(with_("The absolute values.", "The squares.")))
    assert told == ["Asked differently: magnitude_scores.", "Changed: Step 2."]


def test_new_and_lost_exercises_are_told_with_their_points(built):
    exercise = LESSON[LESSON.index("# %% exercise") : LESSON.index("# %% claim")]
    more = with_("# %% claim", exercise.replace("magnitude", "taylor") + "# %% claim")
    assert changes(built(LESSON), built(more)) == ["New exercises: taylor_scores (2 points)."]
    assert changes(built(more), built(LESSON)) == ["Exercises that are gone: taylor_scores."]


def test_other_points_of_a_check_are_told(built):
    cheaper = json.loads(built(LESSON))
    (check,) = [cell for cell in cheaper["cells"] if cell["id"] == "check_magnitude_scores"]
    check["metadata"]["nbgrader"]["points"] = 1
    told = changes(json.dumps(cheaper), built(LESSON))
    assert told == ["Other points: magnitude_scores (2 points, was 1)."]


def test_a_copy_whose_ids_another_program_changed_is_compared_by_its_text(built):
    mine = json.loads(built(LESSON))
    for cell in mine["cells"]:
        cell["id"] = str(uuid.uuid4())
    assert changes(json.dumps(mine), built(LESSON)) == SAME
    for cell in mine["cells"]:
        del cell["id"]
    assert changes(json.dumps(mine), built(with_("Some do.", "Few."))) == ["Changed: Step 1."]


def test_many_changes_stay_three_short_lines(built):
    steps = "".join(f"# %% [markdown]\n# ## Part {n}: x\n#\n# old\n\n" for n in range(9))
    before = with_("# %% [markdown]\n# ## In your", steps + "# %% [markdown]\n# ## In your")
    told = changes(built(before), built(before.replace("# old", "# new")))
    assert told == ["Changed: Part 0, Part 1, Part 2, Part 3 and 5 more."]
    assert len(changes(built(LESSON), built(before.replace("Why so few", "Why")))) <= 3


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"cells": [1]}', '{"cells": null}', "<<<<<<<"])
def test_a_copy_that_is_no_notebook_any_more_has_no_news(built, damaged):
    assert changes(damaged, built(LESSON)) == []
