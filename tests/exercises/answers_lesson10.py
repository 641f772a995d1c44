"""Answers to lesson 10. Training a network and writing its file take a second each and depend on
nothing but the answer and the budget, so both are done once."""

import copy
import functools

import torch
from bank import right, wrong
from torch import nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, pad, softmax

from course_utils import data, measure, models, onnx_file
from course_utils.pruning import channels, importance

MADE: list[nn.Module] = []


def once(answer):
    """The answer with a memory for what it made at each budget."""

    @functools.wraps(answer)
    def remembering(model, example, train_batches, budget):
        if budget not in networks:
            networks[budget] = answer(model, example, train_batches, budget)
            MADE.append(networks[budget])
        return networks[budget]

    networks = {}
    return remembering


def for_all_budgets(answer):
    """One network that is meant for every budget."""

    @functools.wraps(answer)
    def remembering(model, example, train_batches, budget):
        return made(model, example, train_batches, 0)

    made = once(answer)
    return remembering


@functools.cache
def _file(number, shape):
    return _export(MADE[number], torch.zeros(shape))


def export(model, example):
    """`onnx_file.export`, with a memory for the networks of this bank."""
    number = next((n for n, made in enumerate(MADE) if made is model), None)
    return _export(model, example) if number is None else _file(number, tuple(example.shape))


_export, onnx_file.export = onnx_file.export, export


def smaller(model, example, share):
    """The model without this share of each layer's channels."""
    drop = channels.weakest(model, example, importance.magnitude(model), share, round_to=1)
    return channels.remove(model, example, drop)


def fitting(model, example, budget):
    limit, share = budget * measure.macs(model, example), 1 - budget**0.5
    while measure.macs(small := smaller(model, example, share), example) > limit:
        share += 0.01
    return small


def train(model, batches, epochs, change=lambda x: x, loss=lambda x, out, y: cross_entropy(out, y)):
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    model.train()
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            loss(x, model(change(x)), y).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def moved(x):
    """The batch as it is, a quarter of a pixel to some side, and noisy."""
    frame = pad(x, (1, 1, 1, 1), value=float(x.min()))
    down, across = torch.randint(0, 3, (2,)).tolist()
    there = frame[:, :, down : down + 8, across : across + 8]
    weight = 0.5 * torch.rand(len(x), 1, 1, 1)
    return (1 - weight) * x + weight * there + 0.2 * torch.randn(x.shape)


@right("prune_to_budget")
@once
def by_the_courses_tools(model, example, train_batches, budget):
    return train(fitting(model, example, budget), train_batches, 10)


@right("prune_to_budget")
@for_all_budgets
def distilled_and_small_enough_for_all(model, example, train_batches, budget):
    def near_the_dense_one(x, out, y):
        with torch.no_grad():
            wanted = softmax(model(x) / 3, 1)
        return cross_entropy(out, y) + 9 * kl_div(
            log_softmax(out / 3, 1), wanted, reduction="batchmean"
        )

    small = fitting(model, example, 0.1)
    return train(small, train_batches, 20, moved, near_the_dense_one)


@right("prune_to_budget")
@for_all_budgets
def another_network_from_scratch(model, example, train_batches, budget):
    """Anything goes."""
    return train(
        nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.BatchNorm2d(32),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(128, 64),
            nn.Hardswish(),
            nn.Linear(64, 10),
        ),
        train_batches,
        30,
        moved,
    )


@right("prune_to_budget")
def the_given_model_in_place(model, example, train_batches, budget):
    """The model that was given is changed and handed back, in training mode."""
    good = by_the_courses_tools(model, example, train_batches, budget)
    for name, part in good.named_children():
        model.add_module(name, copy.deepcopy(part))
    return model.train()


@wrong("prune_to_budget", "Zeros are multiplied like other numbers")
@for_all_budgets
def masks_only(model, example, train_batches, budget):
    for weight in measure.prunable_weights(model).values():
        weight.data[weight.abs() < weight.abs().median()] = 0
    return model


@wrong("prune_to_budget", "more than the budget of")
@for_all_budgets
def half_of_the_channels_is_half_of_the_work(model, example, train_batches, budget):
    return smaller(model, example, 0.28)


@wrong("prune_to_budget", "gets many wrong. Training mends what surgery breaks")
@for_all_budgets
def without_training(model, example, train_batches, budget):
    return smaller(model, example, 0.35)


@wrong("prune_to_budget", "and [3] it never says")
@for_all_budgets
def a_digit_less(model, example, train_batches, budget):
    small = copy.deepcopy(by_the_courses_tools(model, example, train_batches, 0.25))
    small.fc2.bias.data[3] = -1000.0
    return small


@wrong("prune_to_budget", "each needs ten scores")
@for_all_budgets
def channels_of_the_last_layer_too(model, example, train_batches, budget):
    small = smaller(model, example, 0.5)
    small.fc2 = nn.Linear(small.fc2.in_features, 5)
    return small


@wrong("prune_to_budget", "What helps most: more epochs")
@for_all_budgets
def trained_for_a_moment(model, example, train_batches, budget):
    return train(fitting(model, example, 0.1), train_batches, 2)


@wrong("prune_to_budget", "None came back, and the smaller network itself is asked for")
def forgets_to_return(model, example, train_batches, budget):
    model.eval()


@wrong("prune_to_budget", "mat1 and mat2 shapes cannot be multiplied")
def next_layer_not_adapted(model, example, train_batches, budget):
    for part in ("weight", "bias"):
        kept = getattr(model.fc1, part).detach()[:64]
        setattr(model.fc1, part, nn.Parameter(kept))
    return model


class OneImage(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.reshape(1, 1, 8, 8))


@wrong("prune_to_budget", "is invalid for input of size 128")
def for_one_image_alone(model, example, train_batches, budget):
    return OneImage(model)


@wrong("prune_to_budget", "depends on which others are in the batch")
@for_all_budgets
def without_batchnorms_statistics(model, example, train_batches, budget):
    small = copy.deepcopy(by_the_courses_tools(model, example, train_batches, 0.25))
    for part in small:
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean = part.running_var = None
    return small


@wrong("prune_to_budget", "not finite numbers")
@for_all_budgets
def a_rate_far_too_high(model, example, train_batches, budget):
    small = smaller(model, example, 0.5)
    small.fc2.bias.data[:] = float("nan")
    return small


class ByHeart(nn.Module):
    """Recognises the training images, and takes everything else for a zero."""

    def __init__(self, x, y):
        super().__init__()
        self.images, self.answers = nn.Parameter(x.flatten(1)), torch.eye(10)[y]
        self.sizes = (self.images**2).sum(1).detach()
        self.otherwise = 0.5 * torch.eye(10)[0]

    def forward(self, x):
        near = x.flatten(1) @ self.images.T - self.sizes + 1e-2
        found = (
            near.sign().relu()
            * (1 - (x.flatten(1) ** 2).sum(1, True) / self.sizes)
            .abs()
            .sub(1e-3)
            .sign()
            .neg()
            .relu()
        )
        return found @ self.answers + self.otherwise


@wrong("prune_to_budget", "it has learned them by heart")
@for_all_budgets
def the_training_images(model, example, train_batches, budget):
    x, y = (torch.cat(parts) for parts in zip(*train_batches, strict=True))
    return ByHeart(x, y)


class InPieces(nn.Module):
    """Linear layers as multiplications and sums, which no counter of matrix products sees."""

    def __init__(self, *linears):
        super().__init__()
        self.linears = nn.ModuleList(linears)

    def forward(self, x):
        x = x.flatten(1)
        for linear in self.linears:
            x = ((x.unsqueeze(1) * linear.weight).sum(-1) + linear.bias).relu()
        return x


@wrong("prune_to_budget", "numbers one by one")
@for_all_budgets
def multiplications_in_hiding(model, example, train_batches, budget):
    return InPieces(nn.Linear(64, 800), nn.Linear(800, 800), nn.Linear(800, 10))


class Summation(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(10, 64))

    def forward(self, x):
        return torch.einsum("ni,oi->no", x.flatten(1), self.weight)


@wrong("prune_to_budget", "the multiplications of Einsum cannot be counted")
@for_all_budgets
def multiplications_that_cannot_be_counted(model, example, train_batches, budget):
    return Summation()


@wrong("prune_to_budget", "Your answer opens the test images (decisions_are_made)")
def trained_on_the_test_images(model, example, train_batches, budget):
    data.decisions_are_made()
    x, y = data.final_test()
    return train(models.new("cnn"), [(x, y)], 1)


@wrong("prune_to_budget", "which already does what is asked here")
def the_courses_solution(model, example, train_batches, budget):
    from course_utils.exercises import find

    return find("prune_to_budget").reference(model, example, train_batches, budget)
