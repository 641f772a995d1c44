import base64
import io
import itertools

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.container import ErrorbarContainer
from PIL import Image

from course_utils import models, plots
from course_utils.authoring.execute import in_few_colours

X = [0.0, 0.5, 0.9]
SEEDS = [[0.9, 0.8, 0.2], [1.0, 0.6, 0.4]]
NETWORKS = {"thin": (0.98, 0.1, 0.2), "thick": (0.97, 0.5, 0.1), "ruined": (0.1, 0.6, 0.3)}
FRONT = [(0.99, 0.5, 0.4), (0.96, 0.05, 0.05)]


def every_figure():
    """One figure of each kind."""
    return {
        "histogram": plots.weight_histogram(models.cnn(), title="Weights"),
        "grid": plots.digit_grid(torch.rand(13, 1, 8, 8), list(range(13)), title="Digits"),
        "bars": plots.bars(["a", "b"], [1, 2], [0.1, 0.2], ylabel="bytes", title="Size"),
        "curve": plots.curve(X, {"one": X, "two": SEEDS}, "sparsity", "accuracy", title="Cost"),
        "picture": plots.weights_as_picture(torch.rand(4, 6), torch.eye(4, 6), title="Mask"),
        "scatter": plots.scatter({"a": (1, 2), "b": (2, 4)}, "MACs", "ms", title="Time"),
        "fronts": plots.fronts(NETWORKS, FRONT, ["MACs", "file"], [0.2, 0.1], title="Fronts"),
    }


@pytest.fixture(scope="module")
def figures():
    return every_figure()


@pytest.mark.parametrize("kind", [*every_figure()])
def test_a_figure_is_titled_opaque_and_fits_its_page(figures, kind):
    fig = figures[kind]
    assert fig.get_suptitle()
    assert to_rgb(fig.get_facecolor()) == (1, 1, 1) and fig.get_facecolor()[3] == 1
    fig.draw_without_rendering()
    box, page = fig.get_tightbbox(), fig.get_size_inches()
    assert box.x0 >= -0.05 and box.y0 >= -0.05
    assert box.x1 <= page[0] + 0.05 and box.y1 <= page[1] + 0.05


def test_axes_are_labelled(figures):
    for kind in ("bars", "curve", "picture", "scatter"):
        assert all(axes.get_ylabel() for axes in figures[kind].axes)
    for kind in ("curve", "scatter"):
        assert all(axes.get_xlabel() for axes in figures[kind].axes)
    before, after, scale = figures["picture"].axes
    assert before.get_xlabel() and after.get_xlabel() and scale.get_ylabel()
    for axes in figures["histogram"].axes[-3:]:
        assert axes.get_xlabel()
    assert figures["histogram"].axes[0].get_ylabel()


def test_nothing_is_left_open_to_be_shown_twice():
    every_figure()
    assert plt.get_fignums() == []


def test_the_style_stays_inside():
    before = dict(mpl.rcParams)
    every_figure()
    with plots.style():
        assert mpl.rcParams["axes.spines.top"] is False
    assert dict(mpl.rcParams) == before


def brightness(colour):
    red, green, blue = to_rgb(colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_neighbours_differ_in_more_than_colour():
    """Also in what is drawn, and somewhat in brightness, for a black-and-white page."""
    looks = [plots.COLOURS, plots.MARKERS, plots.LINES, plots.HATCHES]
    assert {len(look) for look in looks} == {7}
    assert all(len(set(map(str, look))) == 7 for look in looks)
    assert all(brightness(colour) < 0.75 for colour in plots.COLOURS)  # visible on white


def test_few_colours_leave_each_series_its_own():
    """With 17 of them, median cut gives blue and green the same teal."""
    series = {str(i): [i + x for x in X] for i in range(len(plots.COLOURS))}
    file = io.BytesIO()
    plots.curve(X, series, "x", "y").savefig(file, format="png")
    small = in_few_colours(Image.open(file).convert("RGB")).convert("RGB")
    assert small.getpixel((1, 1)) == (255, 255, 255)
    found = [np.array(colour) for _, colour in small.getcolors()]
    for colour in plots.COLOURS:
        wanted = 255 * np.array(to_rgb(colour))
        assert min(np.abs(wanted - each).max() for each in found) < 20, colour


# --- in words


def test_every_figure_tells_its_title_and_what_is_drawn(figures):
    for kind, fig in figures.items():
        words = fig.words or plots.in_words(fig)
        assert words.startswith(f"{fig.get_suptitle()}. ")
        assert words.endswith(".") and "\n" not in words and "_child" not in words
        assert len(words) < 600, kind


def test_a_curve_is_told_by_its_ends_and_what_lies_beyond_them():
    series = {"one": [0.5, 0.98, 0.1], "two": SEEDS, "three": [0.9, 0.1, 0.5]}
    fig = plots.curve(X, series, "removed", "right", "Cost", percent_x=True, percent_y=True)
    assert plots.in_words(fig) == (
        "Cost. Up: right; across: removed. "
        "one: from 50 % at 0 % to 10 % at 90 %, highest 98 % at 50 %; "
        "two: from 95 % at 0 % to 30 % at 90 %; "
        "three: from 90 % at 0 % to 50 % at 90 %, lowest 10 % at 50 %. "
        "Mean and standard deviation over 2 seeds."
    )


def test_a_number_that_is_missing_is_left_out_of_the_words():
    fig = plots.curve(X, {"one": [float("nan"), 2, 1]}, "x", "y")
    assert "one: from 2 at 0.5 to 1 at 0.9." in plots.in_words(fig)


def test_bars_are_told_one_by_one_and_many_by_the_highest_and_the_lowest():
    fig = plots.bars(["a\nb", "c"], {"dense": [1, 2], "thin": [3e4, 4]}, {"thin": [1, 1]}, "bytes")
    assert plots.in_words(fig) == (
        "Up: bytes. dense: 1 for a b, 2 for c; thin: 30 k for a b, 4 for c."
    )
    many = plots.bars([f"n{i}" for i in range(9)], [i / 10 for i in range(9)], percent=True)
    assert plots.in_words(many) == "9 bars, highest and lowest 80 % for n8, 0 % for n0."
    assert plots.in_words(plots.bars([], [], ylabel="bytes")) == "Up: bytes."
    numbered = plots.bars(["2", "4"], [1, 2], ylabel="error", xlabel="bits")
    assert plots.in_words(numbered) == "Up: error; across: bits. 1 for 2, 2 for 4."


def test_histograms_are_told_by_their_reach_and_an_empty_one_as_well():
    weights = {"a": torch.tensor([0.0, -1.0, 0.5, 0.5, 0.5]), "b": torch.zeros(4)}
    words = plots.in_words(plots.weight_histogram(weights, "Weights", bins=3))
    assert "a, 20 % zero: from -0.75 to 0.25, most (3) near 0.25" in words
    assert "b, 100 % zero: nothing" in words


def test_pictures_are_told_by_their_headings(figures):
    assert plots.in_words(figures["grid"]).startswith("Digits. 13 pictures: 0, 1, 2, ")
    words = plots.in_words(figures["picture"])
    assert "before: no zeros (a picture, 4 by 6); after: 83 % are zero (black)" in words
    unnamed = plots.digit_grid(torch.rand(10, 1, 8, 8))
    assert plots.in_words(unnamed) == "10 pictures."


def test_points_and_fronts_are_told_by_name(figures):
    assert plots.in_words(figures["scatter"]) == "Time. Up: ms; across: MACs. a: 2 at 1; b: 4 at 2."
    words = figures["fronts"].words
    assert "ruined, 10 % right, needs 60 % (MACs), 30 % (file)" in words  # not where it was put
    assert "The budgets are 20 % (MACs), 10 % (file)" in words


def test_a_title_that_asks_keeps_its_question_mark_alone():
    assert plots.in_words(plots.bars(["a"], [1], title="Which wins?")) == "Which wins? 1 for a."


def test_a_figure_of_ones_own_is_told_as_well():
    with plots.style():
        fig, axes = plots.subplots(figsize=(4, 3))
        axes.plot([1, 2, 3], [4, 6, 5], "o", label="cloud")
        axes.axhline(5, label="limit")
        axes.axvline(2)
        axes.errorbar([0.9, 2.1], [7, 8], [1, 1], fmt="s-", label="mean")
        axes.set_xticks([1, 2], ["one", "two"])
    assert plots.in_words(fig) == (
        "cloud: 3 points, highest 6 at two, lowest 4 at one; "
        "a line at 5: limit; mean: from 7 at one to 8 at two."
    )
    assert plt.get_fignums() == []


def test_words_stand_in_for_the_picture_and_unfold_below_it(figures, monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    plots.bars(["a"], [1], title="<Size> & more")._ipython_display_()
    picture, below = shown
    assert base64.b64decode(picture["image/png"]).startswith(b"\x89PNG")
    assert picture["text/plain"] == "<Size> & more. 1 for a."
    assert below == {
        "text/html": "<details><summary>In words</summary>"
        "&lt;Size&gt; &amp; more. 1 for a.</details>"
    }


# --- histograms


def test_there_is_one_histogram_a_layer_with_all_its_weights():
    model = models.lenet()
    axes = plots.weight_histogram(model).axes
    assert [a.get_title(loc="left") for a in axes] == ["fc1.weight", "fc2.weight", "fc3.weight"]
    counts = [sum(bar.get_height() for bar in a.patches) for a in axes]
    assert counts == [19_200, 30_000, 1000]


def test_zeros_are_named_but_not_drawn():
    weights = {"a": torch.tensor([0.0, 0.0, 0.0, 1.0, float("nan")]), "b": torch.zeros(4)}
    first, second = plots.weight_histogram(weights).axes
    assert first.get_title(loc="left") == "a, 60 % zero"
    assert sum(bar.get_height() for bar in first.patches) == 1
    assert second.get_title(loc="left") == "b, 100 % zero"


def test_a_model_without_weights_has_no_histogram():
    with pytest.raises(ValueError, match="no weights to draw a histogram of"):
        plots.weight_histogram(torch.nn.ReLU())


# --- digits


def test_each_digit_stands_under_its_label():
    x = torch.arange(13.0).view(13, 1, 1, 1).expand(13, 1, 8, 8)
    axes = plots.digit_grid(x, torch.arange(13)).axes
    assert [a.get_title() for a in axes] == [str(i) for i in range(13)]
    assert [a.images[0].get_array().max() for a in axes] == list(range(13))
    assert {a.images[0].get_clim() for a in axes} == {(0, 12)}  # one scale for all


def test_colour_pictures_are_drawn_in_colour():
    (axes,) = plots.digit_grid(torch.randn(1, 3, 8, 8)).axes
    shown = axes.images[0].get_array()
    assert shown.shape == (8, 8, 3) and (shown.min(), shown.max()) == (0, 1)


def test_a_flat_picture_is_drawn_too():
    plots.digit_grid(torch.zeros(1, 3, 8, 8)).draw_without_rendering()


def test_too_many_pictures_or_too_few_labels_are_refused():
    for count in (0, 101):
        with pytest.raises(ValueError, match=f"1 to 100 images, not {count}"):
            plots.digit_grid(torch.zeros(count, 1, 8, 8))
    with pytest.raises(ValueError, match="3 images but 2 labels"):
        plots.digit_grid(torch.zeros(3, 1, 8, 8), [1, 2])


# --- bars


def test_bars_are_as_high_as_their_values_and_say_them():
    (axes,) = plots.bars(["a", "b"], [0.962, 0.5], [0.1, 0.2], "accuracy", percent=True).axes
    assert [bar.get_height() for bar in axes.patches] == [0.962, 0.5]
    assert [text.get_text() for text in axes.texts] == ["96.2 %", "50 %"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    (lines,) = axes.collections
    reach = [segment[:, 1].tolist() for segment in lines.get_segments()]
    assert reach == [pytest.approx([0.862, 1.062]), pytest.approx([0.3, 0.7])]


def test_grouped_bars_differ_by_hatch_and_are_named():
    values = {"dense": [1, 2], "pruned": [3, 4], "random": [5, 6]}
    fig = plots.bars(["a", "b"], values, {"pruned": [0.1, 0.1]})
    bars = fig.axes[0].patches
    assert [bar.get_height() for bar in bars] == [1, 2, 3, 4, 5, 6]
    assert len({bar.get_hatch() for bar in bars}) == 3
    assert [text.get_text() for text in fig.legends[0].get_texts()] == list(values)
    assert len(fig.axes[0].collections) == 1  # error bars where there are errors
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars)
    assert all(left[1] <= right[0] + 1e-9 for left, right in itertools.pairwise(edges))


@pytest.mark.parametrize(
    "values, errors",
    [([1], None), ([1, 2], [1]), ({"a": [1, 2], "b": [1]}, None), ({"a": [1, 2]}, {"a": [1]})],
)
def test_bars_and_labels_that_do_not_match_are_refused(values, errors):
    with pytest.raises(ValueError, match="labels has 2 entries, but values or errors has 1"):
        plots.bars(["a", "b"], values, errors)


@pytest.mark.parametrize(
    "value, written",
    [(2_444_544, "2.445 M"), (159_850, "159.8 k"), (1000, "1 k"), (120, "120"), (0.0213, "0.0213")],
)
def test_numbers_are_written_shortly(value, written):
    (axes,) = plots.bars(["a"], [value]).axes
    assert axes.texts[0].get_text() == written


# --- curves


def test_a_curve_over_seeds_is_their_mean_with_one_standard_deviation():
    (axes,) = plots.curve(X, {"seeds": SEEDS}, "sparsity", "accuracy").axes
    (drawn,) = (c for c in axes.containers if isinstance(c, ErrorbarContainer))
    line, _, (bars,) = drawn.lines
    assert line.get_ydata().tolist() == pytest.approx([0.95, 0.7, 0.3])
    heights = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
    assert heights == pytest.approx([np.std([a, b], ddof=1) for a, b in zip(*SEEDS, strict=True)])


def test_the_number_of_seeds_is_said_where_there_are_any():
    fig = plots.curve(X, {"seeds": SEEDS, "one": X}, "x", "y")
    assert fig.get_supxlabel() == "Mean and standard deviation over 2 seeds"
    assert plots.curve(X, {"one": X}, "x", "y").get_supxlabel() == ""


def test_lines_differ_by_marker_and_style_and_keep_their_order_in_the_legend():
    series = {"b": SEEDS, "a": X, "c": X, "d": SEEDS}
    (axes,) = plots.curve(X, series, "x", "y").axes
    lines = [container.lines[0] for container in axes.containers]
    assert len({line.get_marker() for line in lines}) == 4
    assert len({str(line._dash_pattern) for line in lines}) == 4
    assert len({line.get_color() for line in lines}) == 4
    assert [text.get_text() for text in axes.get_legend().get_texts()] == list(series)


def test_more_series_than_colours_can_be_drawn():
    (axes,) = plots.curve(X, {str(i): X for i in range(9)}, "x", "y").axes
    assert len(axes.containers) == 9


def test_shares_are_written_in_percent():
    fig = plots.curve(X, {"one": X}, "sparsity", "accuracy", percent_x=True, percent_y=True)
    fig.draw_without_rendering()
    (axes,) = fig.axes
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert "20 %" in [tick.get_text() for tick in ticks]


def test_curves_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="x has 3 entries, but lost has 2"):
        plots.curve(X, {"lost": [1, 2]}, "x", "y")
    with pytest.raises(ValueError, match="no series to draw"):
        plots.curve(X, {}, "x", "y")


# --- pictures of weights


def test_zeros_are_holes_in_the_picture_and_counted():
    after = torch.tensor([[1.0, 0.0, -2.0], [0.0, 0.0, 3.0]])
    first, second, _ = plots.weights_as_picture(torch.ones(2, 3), after).axes
    assert first.get_title(loc="left") == "before: no zeros"
    assert second.get_title(loc="left") == "after: 50 % are zero (black)"
    picture = second.images[0]
    assert picture.get_array().mask.tolist() == (after == 0).tolist()
    assert first.images[0].get_clim() == picture.get_clim() == (-3, 3)


def test_no_weight_is_drawn_nearly_as_dark_as_a_hole():
    image = plots.weights_as_picture(torch.eye(3)).axes[0].images[0]
    shades = image.cmap(np.linspace(0, 1, 50))
    assert min(brightness(shade[:3]) for shade in shades) > 0.4
    assert brightness(image.cmap.get_bad()[:3]) == 0
    assert rgb_to_hsv(shades[0][:3])[0] != rgb_to_hsv(shades[-1][:3])[0]  # the sign


def test_filters_are_laid_out_flat_and_a_matrix_of_zeros_is_all_holes():
    axes = plots.weights_as_picture(torch.zeros(4, 3, 2, 2)).axes[0]
    assert axes.images[0].get_array().shape == (4, 12)
    assert axes.get_title(loc="left") == "100 % are zero (black)"


def test_two_pictures_can_be_called_otherwise_and_groups_of_weights_set_apart():
    fig = plots.weights_as_picture(
        torch.eye(2, 12), torch.ones(2, 12), names=("free", "2:4"), group=4
    )
    first, second, _ = fig.axes
    assert first.get_title(loc="left").startswith("free: ")
    assert second.get_title(loc="left").startswith("2:4: ")
    assert [line.get_xdata()[0] for line in second.lines] == [3.5, 7.5]
    assert not plots.weights_as_picture(torch.eye(2, 12)).axes[0].lines


def test_a_weight_that_is_no_number_does_not_spoil_the_scale():
    image = plots.weights_as_picture(torch.tensor([[float("nan"), 2.0, float("inf")]])).axes[0]
    assert image.images[0].get_clim() == (-2, 2)


@pytest.mark.parametrize("shape", [(300, 64), (10, 100), (1, 500), (500, 1), (1, 1)])
def test_pictures_of_any_proportion_fit_their_page(shape):
    fig = plots.weights_as_picture(torch.rand(shape), torch.rand(shape))
    fig.draw_without_rendering()
    for axes in fig.axes[:2]:
        box = axes.get_window_extent()
        assert box.width >= 5 and box.height >= 5  # in pixels: not squeezed to nothing


def test_what_is_no_matrix_is_refused():
    for shape in [(3,), (0, 3)]:
        with pytest.raises(ValueError, match="a picture needs a weight with rows and columns"):
            plots.weights_as_picture(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 2\) are different shapes"):
        plots.weights_as_picture(torch.zeros(2, 3), torch.zeros(3, 2))


# --- points


def test_points_carry_their_names_and_different_markers():
    (axes,) = plots.scatter({"LeNet": (1, 2), "CNN": (3, 4)}, "MACs", "ms").axes
    assert [(t.get_text(), t.xy) for t in axes.texts] == [("LeNet", (1, 2)), ("CNN", (3, 4))]
    assert len({line.get_marker() for line in axes.lines}) == 2


def test_costs_do_not_go_below_zero_on_the_axes():
    (axes,) = plots.scatter({"a": (0, 0), "b": (100, 3)}, "MACs", "ms").axes
    assert axes.get_xlim()[0] == 0 and axes.get_ylim()[0] == 0
    (axes,) = plots.scatter({"a": (-1, 0), "b": (100, 3)}, "x", "y").axes
    assert axes.get_xlim()[0] < -1


def test_logarithmic_axes_are_written_in_plain_numbers():
    fig = plots.scatter({"a": (5e4, 0.02), "b": (2.4e6, 0.2)}, "MACs", "ms", log=True)
    fig.draw_without_rendering()
    (axes,) = fig.axes
    assert "1 M" in [tick.get_text() for tick in axes.get_xticklabels()]
    assert "0.05" in [tick.get_text() for tick in axes.get_yticklabels()]
    with pytest.raises(ValueError, match="no place for zero"):
        plots.scatter({"a": (0, 1)}, "x", "y", log=True)


def test_no_points_are_refused():
    with pytest.raises(ValueError, match="no points to draw"):
        plots.scatter({}, "x", "y")


# --- Fronts ---------------------------------------------------------------------------------------


def test_a_front_has_a_panel_for_each_cost_with_its_budget_and_every_network():
    fig = every_figure()["fronts"]
    assert [axes.get_xlabel() for axes in fig.axes] == ["MACs", "file"]
    assert fig.get_supxlabel().splitlines() == ["1 thin", "2 thick", "3 ruined"]
    for place, (axes, budget) in enumerate(zip(fig.axes, [0.2, 0.1], strict=True), 1):
        reference, limit, *networks = axes.lines
        assert reference.get_xydata().tolist() == sorted([r[place], r[0]] for r in FRONT)
        assert set(limit.get_xdata()) == {budget}
        assert [line.get_xdata()[0] for line in networks] == [r[place] for r in NETWORKS.values()]


def test_a_network_that_another_equals_for_less_is_drawn_hollow():
    macs, size = every_figure()["fronts"].axes
    assert [line.get_fillstyle() for line in macs.lines[2:]] == ["full", "none", "none"]
    assert [line.get_fillstyle() for line in size.lines[2:]] == ["full", "full", "none"]


def test_a_network_far_below_the_front_stays_on_the_page_with_its_accuracy():
    axes = every_figure()["fronts"].axes[0]
    assert [text.get_text() for text in axes.texts] == ["1", "2", "3: 10 %"]
    low, high = axes.get_ylim()
    assert all(low <= line.get_ydata()[0] <= high for line in axes.lines[2:])
    assert low > 0.85


@pytest.mark.parametrize(
    ("networks", "front"), [({"a": (0.9, 0.1)}, FRONT), (NETWORKS, [(0.9, 0.1)]), (NETWORKS, [])]
)
def test_networks_without_a_cost_or_no_front_at_all_are_refused(networks, front):
    with pytest.raises(ValueError, match=r"entries, but|no reference front"):
        plots.fronts(networks, front, ["MACs", "file"], [0.2, 0.1])
