import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from course_utils import data, models
from course_utils.pruning import channels, importance, masks
from course_utils.report import interval, report
from course_utils.training import accuracy


class Says(nn.Module):
    """Answers what it was told to, image by image: the image is its own number."""

    def __init__(self, answers, classes=3):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.answers, self.classes = torch.tensor(answers), classes

    def forward(self, x):
        return nn.functional.one_hot(self.answers[x.flatten().long()], self.classes).float()


def numbered(count):
    return torch.arange(count).float()[:, None]


def section(page, heading):
    """The cells of a section's table, row by row."""
    _, _, rest = str(page).partition(f"## {heading}\n\n")
    lines = rest.split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def row(page, heading, first):
    return next(cells for cells in section(page, heading) if cells[0].startswith(first))


@pytest.fixture(scope="module")
def pair():
    dense = models.load("lenet")
    pruned = copy.deepcopy(dense)
    masks.apply(pruned, masks.keep_local(importance.magnitude(pruned), 0.6))
    return dense, pruned


def test_accuracy_stands_with_its_images_and_what_changed():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2])
    dense = Says([0, 0, 0, 1, 2, 2, 0, 0])
    pruned = Says([0, 1, 2, 1, 1, 2, 0, 1])
    page = report(dense, pruned, numbered(2), numbered(8), labels, repeats=1)
    table = "Does it still work?"
    assert row(page, table, "dense")[1:4] == ["5", "8", "62.5 %"]
    assert row(page, table, "pruned")[1:4] == ["4", "8", "50.0 %"]
    assert row(page, table, "right before")[1] == "2"
    assert row(page, table, "wrong before, right")[1] == "1"
    assert row(page, table, "wrong before and now")[1] == "1"


def test_the_class_that_lost_most_comes_first_and_gains_are_negative():
    labels = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    dense = Says([0, 0, 0, 1, 2, 2, 2, 2, 0, 0])
    pruned = Says([0, 1, 2, 1, 1, 2, 2, 0, 0, 0])
    page = report(dense, pruned, numbered(1), numbered(10), labels, repeats=1)
    assert section(page, "Class by class")[2:] == [
        ["0", "3", "3", "1", "+66.7"],
        ["2", "5", "3", "2", "+20.0"],
        ["1", "2", "1", "2", "-50.0"],
    ]


def test_without_images_it_says_first_that_nobody_has_looked(pair):
    page = report(*pair, torch.zeros(1, 1, 8, 8), repeats=1)
    assert "accuracy" not in str(page).replace("its accuracy here", "")
    assert section(page, "Not measured")[0] == [
        "- **whether it still works: no images were given**"
    ]


def test_classes_without_images_are_named(pair):
    digits = data.digits()
    few = digits.y_val < 7
    page = report(*pair, digits.x_val[:1], digits.x_val[few], digits.y_val[few], repeats=1)
    assert "classes without images here: 7, 8, 9" in str(page)
    page = report(*pair, digits.x_val[:1], digits.x_val, digits.y_val, repeats=1)
    assert "without images" not in str(page)


def test_zeros_make_the_packed_file_smaller_and_nothing_else(pair):
    page = report(*pair, torch.zeros(1, 1, 8, 8), repeats=1)
    assert row(page, "Costs", "parameters")[-1] == "1.00"
    assert row(page, "Costs", "multiply")[-1] == "1.00"
    assert row(page, "Costs", "file, torch.save")[-1] == "1.00"
    assert float(row(page, "Costs", "file, zeros")[-1]) > 1.8
    assert row(page, "Zeros by layer", "fc2")[1:] == ["100 x 300", "100 x 300", "0.0 %", "60.0 %"]
    assert row(page, "Zeros by layer", "all together")[-1] == "60.0 %"


def test_a_smaller_network_is_compared_layer_by_layer_and_a_layer_may_be_gone():
    dense = models.new("cnn")
    example = torch.zeros(1, 1, 8, 8)
    drop = channels.weakest(dense, example, importance.magnitude(dense), 0.5)
    page = report(dense, channels.remove(dense, example, drop), example, repeats=1)
    assert row(page, "Zeros by layer", "conv2")[1:3] == ["64 x 32 x 3 x 3", "32 x 16 x 3 x 3"]
    assert float(row(page, "Costs", "multiply")[-1]) > 3
    shorter = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    longer = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3))
    page = report(longer, shorter, torch.zeros(1, 3), repeats=1)
    assert row(page, "Zeros by layer", "2")[1:3] == ["3 x 3", "gone"]


def test_the_accuracy_is_the_course_s_own(pair):
    digits = data.digits()
    page = report(*pair, digits.x_val[:1], digits.x_val, digits.y_val, repeats=1)
    for name, model in zip(("dense", "pruned"), pair, strict=True):
        share = 100 * accuracy(model, digits.x_val, digits.y_val)
        assert row(page, "Does it still work?", name)[3] == f"{share:.1f} %"


def test_times_have_a_spread_and_say_for_what(pair):
    page = report(*pair, torch.zeros(3, 1, 8, 8), repeats=9)
    what, dense, pruned, ratio = row(page, "Costs", "time for 3 at once")
    assert all(" to " in cell for cell in (dense, pruned, ratio))
    assert torch.__version__ in what


def test_the_networks_stay_as_they_were():
    dense, pruned = models.new("cnn", 0).train(), models.new("cnn", 1).train()
    prune.l1_unstructured(pruned.conv1, "weight", 0.3)
    before = [copy.deepcopy(m.state_dict()) for m in (dense, pruned)]
    digits = data.digits()
    report(dense, pruned, digits.x_val[:2], digits.x_val[:50], digits.y_val[:50], repeats=2)
    for model, state in zip((dense, pruned), before, strict=True):
        assert all(module.training for module in model.modules())
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def test_it_is_a_markdown_page_in_jupyter_and_as_text(pair):
    page = report(*pair, torch.zeros(1, 1, 8, 8), title="LeNet, 60 % removed", repeats=1)
    assert page._repr_markdown_() == str(page) == repr(page)
    assert str(page).startswith("# LeNet, 60 % removed\n\n## Costs\n\n|")


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (torch.zeros(2, 1, 8, 8), None),
        (None, torch.zeros(2).long()),
        (torch.zeros(2, 1, 8, 8), torch.zeros(3).long()),
        (torch.zeros(0, 1, 8, 8), torch.zeros(0).long()),
    ],
)
def test_images_and_labels_that_do_not_go_together_are_refused(pair, images, labels):
    with pytest.raises(ValueError, match="images"):
        report(*pair, torch.zeros(1, 1, 8, 8), images, labels)


def test_the_interval_is_wilson_s():
    # 81 of 263: 0.2553 to 0.3662, an example of Newcombe's (Statistics in Medicine 17, 1998)
    assert interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert interval(20, 20) == pytest.approx((0.8389, 1.0), abs=1e-4)


@pytest.mark.parametrize(("right", "images"), [(0, 0), (5, 4), (-1, 4)])
def test_an_interval_of_nothing_is_refused(right, images):
    with pytest.raises(ValueError, match="images"):
        interval(right, images)
