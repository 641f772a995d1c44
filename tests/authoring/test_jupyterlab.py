"""An author may edit a lesson's source in JupyterLab: nothing is lost or rewritten by saving it."""

import json
import shutil
from pathlib import Path

import pytest
from jupyter_server.services.contents.largefilemanager import LargeFileManager
from jupytext import build_sync_jupytext_contents_manager_class

from course_utils.authoring.build import ROOT
from course_utils.authoring.source import read

MARKED = '''\
# %% [markdown]
# # A lesson

# %%
import torch


def helper():
    return """
# %% demo
"""


# %% varies
helper()

# %% exercise="double"
def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION


# %% check="double"
check("double", double)

# %% [markdown] written="why" points=2
# Why?
#
# ### BEGIN SOLUTION
# So.
# ### END SOLUTION

# %% claim="a"
assert True

# %% varies claim="b"
assert True

# %% demo
# %matplotlib inline
x = 1

# %% demo varies
x

# %% final
y = 1

# %% final varies
y
'''


@pytest.fixture
def jupyterlab(tmp_path):
    """What JupyterLab's server does with the files below tmp_path, under our jupytext.toml."""
    shutil.copy(ROOT / "jupytext.toml", tmp_path)
    manager = build_sync_jupytext_contents_manager_class(LargeFileManager)()
    manager.root_dir = str(tmp_path)
    return manager


def opened(manager, name):
    """The notebook as the browser gets it, through JSON, and once it has started a kernel."""
    model = manager.get(name, type="notebook", content=True)
    notebook = json.loads(json.dumps(model["content"]))
    notebook["metadata"] |= {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "version": "3.12.1"},
    }
    return notebook


def saved(manager, name, notebook):
    manager.save({"type": "notebook", "format": "json", "content": notebook}, name)
    return Path(manager.root_dir, name).read_text(encoding="utf-8")


def sources():
    yield pytest.param(MARKED, id="every marker")
    for path in sorted((ROOT / "solutions").glob("*.py")):
        yield pytest.param(path.read_text(encoding="utf-8"), id=path.stem)


@pytest.mark.parametrize("text", list(sources()))
def test_opening_and_saving_changes_no_byte(jupyterlab, tmp_path, text):
    (tmp_path / "07_lesson.py").write_text(text, encoding="utf-8")
    notebook = opened(jupyterlab, "07_lesson.py")
    assert saved(jupyterlab, "07_lesson.py", notebook) == text


@pytest.mark.parametrize(
    ("metadata", "marker"),
    [
        ({"title": "demo"}, "demo"),
        ({"title": "demo varies"}, "demo varies"),
        ({"claim": "new"}, 'claim="new"'),
        ({"title": "varies", "claim": "new"}, 'varies claim="new"'),
        ({"exercise": "new"}, 'exercise="new"'),
        ({"check": "new"}, 'check="new"'),
    ],
)
def test_a_marker_added_in_the_middle_survives(jupyterlab, tmp_path, metadata, marker):
    before, after = "# %%\nx = 1\n\n", "# %%\ny = 1\n"
    (tmp_path / "07_lesson.py").write_text(before + after, encoding="utf-8")
    notebook = opened(jupyterlab, "07_lesson.py")
    added = {
        "cell_type": "code",
        "source": "z = 1",
        "metadata": {**metadata, "trusted": True, "jupyter": {"source_hidden": True}},
        "outputs": [],
        "execution_count": 1,
    }
    notebook["cells"].insert(1, added)
    expected = f"{before}# %% {marker}\nz = 1\n\n{after}"
    assert saved(jupyterlab, "07_lesson.py", notebook) == expected


def test_a_word_in_the_wrong_place_is_moved_and_not_lost(jupyterlab, course, tmp_path):
    path = course('# %% claim="b" varies\nclaim("b")\n')
    name = path.relative_to(tmp_path).as_posix()
    saved(jupyterlab, name, opened(jupyterlab, name))
    assert read(path).cells[0].varies


def test_a_lesson_begun_in_jupyterlab_has_no_header(jupyterlab, tmp_path):
    (tmp_path / "07_lesson.py").write_text("# %%\nx = 1\n", encoding="utf-8")
    notebook = opened(jupyterlab, "07_lesson.py")
    del notebook["metadata"]["jupytext"]
    assert saved(jupyterlab, "08_lesson.py", notebook) == "# %%\nx = 1\n"
