import functools
import math

import pytest
import torch
from torch import nn

from course_utils import data, measure, models, training


@pytest.fixture(scope="module")
def digits():
    return data.digits()


@pytest.fixture(scope="module")
def few(digits):
    """A hundred images, for runs that need not learn anything."""
    return data.Images(
        "few", digits.x_train[:100], digits.y_train[:100], digits.x_val[:50], digits.y_val[:50]
    )


def small(seed=0, *extra):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), *extra, nn.Linear(16, 10))


def same(one, other):
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


# --- what it learns


@pytest.mark.parametrize("name, least", [("lenet", 0.94), ("cnn", 0.97), ("resnet8", 0.965)])
def test_each_recipe_reaches_its_accuracy(digits, name, least):
    model = models.trained(name, seed=1)
    assert training.accuracy(model, digits.x_val, digits.y_val) >= least


def test_a_fifth_of_the_weights_is_hardly_missed(digits):
    """The experiment that the course begins with: 20 % smallest weights, one shot, five seeds."""
    drops = []
    for seed in range(5):
        model = models.load("lenet", seed)
        before = training.accuracy(model, digits.x_val, digits.y_val)
        weights = measure.prunable_weights(model).values()
        magnitudes = torch.cat([weight.detach().abs().flatten() for weight in weights])
        threshold = magnitudes.sort().values[round(0.2 * len(magnitudes)) - 1]
        with torch.no_grad():
            for weight in weights:
                weight[weight.abs() <= threshold] = 0
        assert measure.sparsity(model) == pytest.approx(0.2, abs=1e-4)
        drops.append(before - training.accuracy(model, digits.x_val, digits.y_val))
    assert sum(drops) / 5 <= 0.005 and max(drops) <= 0.015


def test_the_history_has_the_loss_and_accuracy_of_each_epoch(few):
    model = small()
    history = training.train(model, few, epochs=3, lr=1e-2)
    assert [len(history["loss"]), len(history["accuracy"])] == [3, 3]
    assert history["loss"][2] < history["loss"][0]
    assert history["accuracy"][-1] == training.accuracy(model, few.x_val, few.y_val)


def test_the_loss_of_an_epoch_weighs_every_image_alike(few):
    model = small()
    history = training.train(model, few, epochs=1, lr=1e-30)  # 64 + 36 images, nothing learned
    expected = nn.functional.cross_entropy(model(few.x_train), few.y_train).item()
    assert history["loss"] == [pytest.approx(expected, rel=1e-5)]


# --- the same again


@pytest.mark.parametrize("extra", [[], [nn.Dropout()]], ids=["order", "dropout"])
def test_the_same_seed_gives_the_same_weights_bit_for_bit(few, extra):
    one, two, other = (small(0, *extra) for _ in range(3))
    for model, seed, noise in ((one, 5, 1), (two, 5, 2), (other, 6, 1)):
        torch.manual_seed(noise)
        training.train(model, few, epochs=2, lr=1e-2, seed=seed)
    assert same(one, two) and not same(one, other)


def test_dropout_follows_the_seed_too(digits):
    """One batch a run, so that its order plays no part."""
    one = data.Images("one", digits.x_train[:20], digits.y_train[:20], digits.x_val, digits.y_val)
    results = [small(0, nn.Dropout()) for _ in range(2)]
    for seed, model in enumerate(results):
        training.train(model, one, epochs=1, lr=1e-2, seed=seed)
    assert not torch.allclose(results[0][1].weight, results[1][1].weight, atol=1e-3)


def test_torchs_own_random_numbers_are_left_alone(few):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    training.train(small_without_seeding(), few, epochs=1, lr=1e-2)
    assert torch.equal(torch.rand(3), expected)


def small_without_seeding():
    with torch.random.fork_rng():
        return small(0, nn.Dropout())


@pytest.mark.parametrize("fails", [False, True])
def test_one_thread_while_training_and_as_many_as_before_afterwards(few, fails):
    seen = []

    def look(_):
        seen.append(torch.get_num_threads())
        if fails:
            raise KeyboardInterrupt

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    model = small()
    try:
        training.train(model, few, epochs=1, lr=1e-2, after_step=look)
    except KeyboardInterrupt:
        assert fails
    finally:
        after = torch.get_num_threads()
        torch.set_num_threads(before)
    assert (set(seen), after) == ({1}, 2)
    assert not model.training


# --- how it is steered


def test_after_each_step_the_callback_may_keep_zeros_zero(few):
    model, steps = small().eval(), []

    def keep(trained):
        assert trained is model and model.training
        steps.append(int(torch.count_nonzero(model[1].weight[0])))
        with torch.no_grad():
            model[1].weight[0] = 0

    training.train(model, few, epochs=2, lr=1e-2, after_step=keep)
    assert len(steps) == 4 and all(steps)
    assert torch.count_nonzero(model[1].weight[0]) == 0


@pytest.mark.parametrize(
    "schedule, expected",
    [
        (training.cosine, [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
        (training.constant, [1, 1, 1, 1]),
    ],
)
def test_the_rate_follows_its_schedule(few, schedule, expected):
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            rates.append(self.param_groups[0]["lr"])
            return super().step(closure)

    training.train(small(), few, 2, lr=0.5, optimizer=Watched, schedule=schedule)
    assert rates == pytest.approx([0.5 * share for share in expected])


def test_any_optimizer_will_do_and_frozen_weights_stay(few):
    model = small()
    model[1].weight.requires_grad_(False)
    frozen, free = model[1].weight.clone(), model[3].weight.clone()
    sgd = functools.partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1)
    training.train(model, few, epochs=1, lr=0.1, optimizer=sgd)
    assert torch.equal(model[1].weight, frozen) and not torch.equal(model[3].weight, free)


def test_no_epochs_change_nothing(few):
    model = small()
    assert training.train(model, few, epochs=0, lr=1e-2) == {"loss": [], "accuracy": []}
    assert same(model, small())


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ({"epochs": -1}, "epochs must be a whole number, 0 or more, not -1"),
        ({"epochs": 1.5}, "epochs must be a whole number, 0 or more, not 1.5"),
        ({"batch_size": 0}, "batch_size must be a whole number, 1 or more, not 0"),
        ({"lr": 0}, "a learning rate must be a number above 0, not 0"),
        ({"lr": -0.1}, "a learning rate must be a number above 0"),
        ({"lr": math.nan}, "a learning rate must be a number above 0, not nan"),
        ({"lr": math.inf}, "a learning rate must be a number above 0, not inf"),
    ],
)
def test_bad_settings_are_refused_before_anything_changes(few, wrong, sentence):
    model = small()
    with pytest.raises(ValueError, match=sentence):
        training.train(model, few, **{"epochs": 1, "lr": 1e-2, **wrong})
    assert same(model, small())


# --- what it shows


def test_nothing_is_printed_when_nobody_looks(few, capsys):
    training.train(small(), few, epochs=1, lr=1e-2)
    assert capsys.readouterr() == ("", "")


def test_the_progress_bar_goes_to_stdout_alone(few, capsys, monkeypatch):
    monkeypatch.setattr(training, "automated", lambda: False)
    training.train(small(), few, epochs=1, lr=1e-2)
    out, err = capsys.readouterr()
    assert "training: 100%" in out and "validation" in out and err == ""
    training.train(small(), few, epochs=1, lr=1e-2, quiet=True)
    assert capsys.readouterr() == ("", "")


# --- accuracy


class Fixed(nn.Module):
    """Answers with the class written in the first pixel; a wrong one while in training mode."""

    def forward(self, x):
        guess = x.flatten(1)[:, 0].long() + self.training
        return nn.functional.one_hot(guess, 12).float()


@pytest.mark.parametrize("count", [1, 8, 2500])
def test_accuracy_is_the_share_of_right_answers(count):
    y = torch.arange(count) % 10
    x = y.float().view(-1, 1, 1, 1).repeat(1, 1, 2, 2)
    assert training.accuracy(Fixed(), x, y) == 1
    x[: count // 4] = 11
    assert training.accuracy(Fixed(), x, y) == 1 - count // 4 / count


def test_accuracy_gives_each_module_its_mode_back(few):
    model = models.cnn().train()
    model.bn1.eval()
    before = [module.training for module in model.modules()]
    statistics = model.bn2.running_mean.clone()
    training.accuracy(model, few.x_val, few.y_val)
    assert [module.training for module in model.modules()] == before
    assert torch.equal(model.bn2.running_mean, statistics)


def test_the_accuracy_on_nothing_is_refused(few):
    with pytest.raises(ValueError, match="no images to measure the accuracy on"):
        training.accuracy(small(), few.x_val[:0], few.y_val[:0])
