import base64
import io
import os
import re
from pathlib import Path

import numpy
import pytest
from PIL import Image

from course_utils.authoring.execute import ClaimFailed, execute, kernel_environment, run_claims
from course_utils.authoring.notebooks import instructor, notebook_metadata
from course_utils.authoring.source import AuthoringError, read


def run(path):
    lesson = read(path)
    notebook = instructor(lesson)
    execute(lesson, notebook)
    return notebook


def test_cells_run_beside_the_source_with_nobodys_settings(course):
    path = course(
        """\
        # %%
        import os
        from pathlib import Path

        print(Path.cwd().name)
        print(os.environ["PRUNING_COURSE_AUTOMATED"], os.environ["OMP_NUM_THREADS"])
        print(sorted(os.listdir(Path(os.environ["PRUNING_COURSE_HOME"]).parent)))
        """
    )
    notebook = run(path)
    assert notebook.cells[0].outputs[0].text == "solutions\n1 1\n['ipython']\n"
    assert notebook.metadata == notebook_metadata()


def test_figures_are_kept_in_few_bytes_and_look_the_same(course):
    path = course(
        """\
        # %%
        import matplotlib.pyplot as plt
        from IPython.display import Image, display

        figure, axes = plt.subplots(dpi=100)
        axes.bar(range(9), range(9), color=["tab:blue", "tab:orange", "tab:green"])
        figure.savefig("as_it_was.png", bbox_inches="tight")
        plt.close()
        display(Image("as_it_was.png"))
        """
    )
    notebook = run(path)
    before = path.with_name("as_it_was.png").read_bytes()
    after = base64.b64decode(notebook.cells[0].outputs[0].data["image/png"])
    assert len(after) < len(before) / 2
    pictures = (Image.open(io.BytesIO(data)).convert("RGB") for data in (before, after))
    one, other = (numpy.asarray(picture, dtype=int) for picture in pictures)
    assert one.shape == other.shape
    assert abs(one - other).mean() < 2  # of 255


def test_a_figure_keeps_what_tells_it_to_those_who_do_not_see_it(course):
    path = course(
        """\
        # %%
        from course_utils import plots

        plots.bars(["a", "b"], [1, 2], ylabel="<bytes>", title="Size")
        """
    )
    picture, below = run(path).cells[0].outputs
    words = "Size. Up: <bytes>. 1 for a, 2 for b."
    assert picture.data["text/plain"] == words
    assert Image.open(io.BytesIO(base64.b64decode(picture.data["image/png"]))).mode == "P"
    assert "Size. Up: &lt;bytes&gt;. 1 for a, 2 for b." in below.data["text/html"]


def test_the_seeds_of_claims_are_not_inherited(monkeypatch):
    monkeypatch.setenv("PRUNING_COURSE_CLAIM_SEEDS", "1,2")
    with kernel_environment() as environment:
        assert "PRUNING_COURSE_CLAIM_SEEDS" not in environment


def test_a_notebooks_home_is_fresh_and_goes_away():
    with kernel_environment() as first, kernel_environment(EXTRA="1") as second:
        homes = {first["PRUNING_COURSE_HOME"], second["PRUNING_COURSE_HOME"]}
        assert len(homes) == 2
        assert second["EXTRA"] == "1"
    assert not any(Path(home).parent.exists() for home in homes)


MISTAKES = {
    "an exception": ("# %%\n1\n\n# %% demo\nx = 1\ny = 1 / 0\n", 6, "ZeroDivisionError: division"),
    "an exception deeper down": (
        "# %%\ndef f():\n    return 1 / 0\n\n# %% demo\nx = 1\nf()\n",
        7,
        "ZeroDivisionError",
    ),
    "stderr": (
        '# %%\n1\n\n# %% demo\nimport sys\n\nprint("careful", file=sys.stderr)\n',
        4,
        "this cell writes to stderr, which nbgrader takes for a failure: careful",
    ),
    "a warning": ('# %%\nimport warnings\n\nwarnings.warn("old")\n', 1, "writes to stderr"),
    "the course's folder": (
        "# %%\nimport os\n\nos.path.dirname(os.getcwd())\n",
        1,
        "this cell's output shows the course's own folder",
    ),
    "a temporary folder": (
        "# %%\nimport tempfile\n\nprint(tempfile.gettempdir())\n",
        1,
        "this cell's output shows the folder of temporary files",
    ),
    "a home": (
        "# %%\nfrom pathlib import Path\n\nprint(Path.home() / 'me')\n",
        1,
        "this cell's output shows a home folder",
    ),
    "a dead kernel": ("# %%\nimport os\n\nos._exit(1)\n", 1, "this cell kills its kernel"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_cell_that_misbehaves_is_named_with_its_line(course, mistake):
    text, line, words = MISTAKES[mistake]
    with pytest.raises(AuthoringError) as caught:
        run(course(text))
    message = str(caught.value)
    assert message.startswith(f"solutions/07_doubling.py:{line}: ")
    assert words in message


def test_claims_hold_for_the_seeds_given(course, capfd):
    before = dict(os.environ)
    run_claims(course(), seeds=[11, 12, 13])
    assert dict(os.environ) == before
    assert capfd.readouterr().err == ""


def test_a_claim_that_fails_is_named(course):
    with pytest.raises(ClaimFailed) as caught:
        run_claims(course(), seeds=[11, 60])
    assert re.fullmatch(
        r"solutions/07_doubling.py:\d+: The claim 'it_doubles' does not hold for 60\.",
        str(caught.value),
    )


def test_claims_run_without_demos_checks_and_final_cells_and_stop_at_the_last(course):
    path = course(
        """\
        # %%
        seen = []

        def check(name, answer):
            raise SystemError("checked")

        def claim(name, holds):
            assert holds

        # %% exercise="double"
        def double(x):
            ### BEGIN SOLUTION
            return 2 * x
            ### END SOLUTION

        # %% check="double"
        check("double", double)

        # %% demo
        seen.append("demo")

        # %% final
        seen.append("final")

        # %% claim="nothing_seen"
        claim("nothing_seen", seen == [] and double(2) == 4)

        # %%
        raise SystemError("too far")
        """
    )
    run_claims(path, seeds=[1])


def test_a_lesson_without_claims_has_nothing_to_run(course):
    run_claims(course("# %%\nraise SystemError\n"), seeds=[1])


def test_a_broken_cell_before_a_claim_is_no_failed_claim(course):
    path = course('# %%\nx = 1 / 0\n\n# %% claim="a"\nclaim("a")\n')
    with pytest.raises(AuthoringError, match=r"doubling.py:2: ZeroDivisionError") as caught:
        run_claims(path, seeds=[1])
    assert not isinstance(caught.value, ClaimFailed)
