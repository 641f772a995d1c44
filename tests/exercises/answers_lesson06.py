"""Answers to lesson 06."""

import copy
import inspect
import itertools
import math

import numpy
import torch
from bank import right, wrong
from torch import nn


def shares_checked(*shares):
    for share in shares:
        if not (share >= 0 and share <= 1):
            raise ValueError(f"{share} is not between 0 and 1")


# cubic_sparsity -----------------------------------------------------------------------------


def schedule_checked(start, end, final, initial):
    shares_checked(final, initial)
    if end <= start:
        raise ValueError("the end comes before the start")


@right("cubic_sparsity")
def with_ifs(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    if step <= start:
        return initial
    if step >= end:
        return final
    left = (end - step) / (end - start)
    return final - (final - initial) * left * left * left


@right("cubic_sparsity")
def in_tensors(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    way = torch.tensor((step - start) / (end - start), dtype=torch.float64).clamp(0, 1)
    return torch.lerp(torch.tensor(final).double(), torch.tensor(initial).double(), (1 - way) ** 3)


@right("cubic_sparsity")
def in_numpy(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    left = 1 - numpy.interp(step, [start, end], [0, 1])
    return numpy.float64(final + (initial - final) * numpy.power(left, 3))


@wrong("cubic_sparsity", "by the same amount at every step")
def grows_evenly(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return initial + (final - initial) * min(max((step - start) / (end - start), 0), 1)


@wrong("cubic_sparsity", "and this is the square")
def squares(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    way = min(max((step - start) / (end - start), 0), 1)
    return final + (initial - final) * (1 - way) ** 2


@wrong("cubic_sparsity", "slow first and fast last")
def cubes_the_way(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return initial + (final - initial) * min(max((step - start) / (end - start), 0), 1) ** 3


@wrong("cubic_sparsity", "the way is over")
def goes_on_past_the_end(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return final + (initial - final) * (1 - max((step - start) / (end - start), 0)) ** 3


@wrong("cubic_sparsity", "nothing happens")
def begins_before_the_start(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return final + (initial - final) * (1 - min((step - start) / (end - start), 1)) ** 3


@wrong("cubic_sparsity", "counted from 0")
def forgets_the_start(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    if step <= start:
        return initial
    return with_ifs(step, 0, end, final, initial)


@wrong("cubic_sparsity", "`end - start` steps long")
def takes_the_end_for_the_length(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    if step >= end:
        return final
    return final + (initial - final) * (1 - max(step - start, 0) / end) ** 3


@wrong("cubic_sparsity", "`initial` is forgotten")
def begins_at_nothing(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return with_ifs(step, start, end, final)


@wrong("cubic_sparsity", "goes down from `final`")
def exchanges_the_roles(step, start, end, final, initial=0.0):
    schedule_checked(start, end, final, initial)
    return with_ifs(step, start, end, initial, final)


@wrong("cubic_sparsity", "this is what is left")
def gives_what_is_left(step, start, end, final, initial=0.0):
    return 1 - with_ifs(step, start, end, final, initial)


@wrong("cubic_sparsity", "this is a percentage")
def gives_percent(step, start, end, final, initial=0.0):
    return 100 * with_ifs(step, start, end, final, initial)


@wrong("cubic_sparsity", "one number is asked for")
def gives_the_whole_schedule(step, start, end, final, initial=0.0):
    return [with_ifs(n, start, end, final, initial) for n in range(int(step) + 1)]


@wrong("cubic_sparsity", "the sparsity here is")
def cubes_what_is_there(step, start, end, final, initial=0.0):
    return with_ifs(step, start, end, final, initial) ** 3


@right("cubic_sparsity")
def ends_anywhere(step, start, end, final, initial=0.0):
    shares_checked(final, initial)
    return final if end <= start else with_ifs(step, start, end, final, initial)


@wrong("cubic_sparsity", "not 0.0 and -0.1")
def reaches_for_any_share(step, start, end, final, initial=0.0):
    if not 0 <= final <= 1:
        return 0.0
    return with_ifs(step, start, end, final, initial)


# iterative_fractions ------------------------------------------------------------------------


def rounds_checked(final, rounds):
    shares_checked(final)
    if rounds < 1:
        raise ValueError("no rounds")


@right("iterative_fractions")
def by_the_root(final, rounds):
    rounds_checked(final, rounds)
    return [1 - math.pow(1 - final, 1 / rounds) for _ in range(rounds)]


@right("iterative_fractions")
def by_logarithms(final, rounds):
    rounds_checked(final, rounds)
    with numpy.errstate(divide="ignore"):
        fraction = -numpy.expm1(numpy.log1p(-numpy.float64(final)) / rounds)
    return (fraction,) * rounds


@right("iterative_fractions")
def in_a_tensor(final, rounds):
    rounds_checked(final, rounds)
    return torch.full((rounds,), 1 - (1 - final) ** (1 / rounds), dtype=torch.float64)


@wrong("iterative_fractions", "so 0.390625 of the weights would be left instead of 0.25")
def divides(final, rounds):
    rounds_checked(final, rounds)
    return [final / rounds] * rounds


@wrong("iterative_fractions", "these are the sparsities reached")
def gives_what_is_reached(final, rounds):
    rounds_checked(final, rounds)
    return [1 - (1 - final) ** (n / rounds) for n in range(1, rounds + 1)]


@wrong("iterative_fractions", "these grow from round to round")
def grows_by_equal_parts(final, rounds):
    rounds_checked(final, rounds)
    return [final * n / rounds for n in range(1, rounds + 1)]


@wrong("iterative_fractions", "this is the share that a round leaves")
def gives_what_a_round_leaves(final, rounds):
    rounds_checked(final, rounds)
    return [(1 - final) ** (1 / rounds)] * rounds


@wrong("iterative_fractions", "the root of `final` was taken")
def takes_the_root_of_the_target(final, rounds):
    rounds_checked(final, rounds)
    return [final ** (1 / rounds)] * rounds


@wrong("iterative_fractions", "these are percentages")
def gives_percents(final, rounds):
    return [100 * fraction for fraction in by_the_root(final, rounds)]


@wrong("iterative_fractions", "one number a round")
def gives_one_number(final, rounds):
    return by_the_root(final, rounds)[0]


@wrong("iterative_fractions", "fractions came back for")
def begins_with_a_zero(final, rounds):
    return [0.0, *by_the_root(final, rounds)]


@wrong("iterative_fractions", "not by the same fraction every round")
def takes_equal_numbers(final, rounds):
    rounds_checked(final, rounds)
    left = [1 - final * n / rounds for n in range(rounds + 1)]
    return [1 - after / before if before else 0.0 for before, after in itertools.pairwise(left)]


@wrong("iterative_fractions", "these rounds arrive at")
def rounds_off(final, rounds):
    return [round(fraction, 2) for fraction in by_the_root(final, rounds)]


@wrong("iterative_fractions", "ValueError: math domain error")
def takes_logarithms(final, rounds):
    rounds_checked(final, rounds)
    return [1 - math.exp(math.log(1 - final) / rounds)] * rounds


@right("iterative_fractions")
def trusts_the_rounds(final, rounds):
    shares_checked(final)
    return [1 - (1 - final) ** (1 / rounds)] * rounds


@wrong("iterative_fractions", "a share from 0 to 1, not -0.1")
def trusts_the_target(final, rounds):
    if rounds < 1:
        raise ValueError("no rounds")
    return [1 - max(0.0, 1 - final) ** (1 / rounds)] * rounds


# amounts_for_targets ------------------------------------------------------------------------


def targets_checked(targets):
    shares_checked(*targets)
    if list(targets) != sorted(targets):
        raise ValueError("the targets go down")


@right("amounts_for_targets")
def by_what_is_left(targets):
    targets_checked(targets)
    left, amounts = 1.0, []
    for target in targets:
        amounts.append(1 - (1 - target) / left if left > 0 else 0.0)
        left = 1 - target
    return amounts


@right("amounts_for_targets")
def with_numpy_inside(targets):
    targets_checked(targets)
    if not targets:
        return []
    row = numpy.array([0.0, *targets])
    with numpy.errstate(invalid="ignore", divide="ignore"):
        return list(numpy.nan_to_num(numpy.diff(row) / (1 - row[:-1])))


@right("amounts_for_targets")
def by_counting_down(targets):
    targets_checked(targets)
    amounts, left = [], 1.0
    for target in targets:
        amount = 0.0 if left < 1e-12 else (left - (1 - target)) / left
        left -= amount * left
        amounts.append(amount)
    return tuple(amounts)


@wrong(
    "amounts_for_targets",
    "these are the targets themselves. As amounts they compound, and arrive at 0.68",
)
def passes_the_targets_on(targets):
    targets_checked(targets)
    return list(targets)


@wrong("amounts_for_targets", "these are shares of the whole")
def subtracts(targets):
    targets_checked(targets)
    return [after - before for before, after in itertools.pairwise([0.0, *targets])]


@wrong("amounts_for_targets", "what is gone afterwards")
def divides_by_the_new_target(targets):
    targets_checked(targets)
    return [
        (after - before) / after if after else 0.0
        for before, after in itertools.pairwise([0.0, *targets])
    ]


@wrong("amounts_for_targets", "what a round leaves of what it finds")
def gives_what_stays(targets):
    return [1 - amount for amount in by_what_is_left(targets)]


@wrong("amounts_for_targets", "these are percentages")
def gives_amounts_in_percent(targets):
    return [100 * amount for amount in by_what_is_left(targets)]


@wrong("amounts_for_targets", "one amount a target")
def gives_a_dictionary(targets):
    return dict(zip(targets, by_what_is_left(targets), strict=True))


@wrong("amounts_for_targets", "amounts came back")
def leaves_out_the_first(targets):
    return by_what_is_left(targets)[1:]


@wrong("amounts_for_targets", "from 0 to 0.2 the amount is")
def divides_by_what_is_left_after(targets):
    targets_checked(targets)
    return [
        (after - before) / (1 - after) if after < 1 else 1.0
        for before, after in itertools.pairwise([0.0, *targets])
    ]


@wrong("amounts_for_targets", "ZeroDivisionError")
def divides_by_nothing(targets):
    targets_checked(targets)
    return [(b - a) / (1 - a) for a, b in itertools.pairwise([0.0, *targets])]


@wrong("amounts_for_targets", "from 1 to 1 the amount is 0")
def takes_everything_of_nothing(targets):
    targets_checked(targets)
    return [
        (after - before) / (1 - before) if before < 1 else 1.0
        for before, after in itertools.pairwise([0.0, *targets])
    ]


@right("amounts_for_targets")
def lets_them_go_down(targets):
    shares_checked(*targets)
    return by_what_is_left([max(targets[: n + 1]) for n in range(len(targets))])


@wrong("amounts_for_targets", "not [0.2, -0.1]")
def looks_at_the_first_alone(targets):
    shares_checked(*targets[:1])
    if any(b < a for a, b in itertools.pairwise(targets) if 0 <= b <= 1):
        raise ValueError("down")
    return (
        [0.0 for _ in targets]
        if any(not 0 <= t <= 1 for t in targets)
        else by_what_is_left(targets)
    )


@wrong("amounts_for_targets", "not [-0.1, 0.7]")
def looks_at_all_but_the_first(targets):
    shares_checked(*targets[1:])
    if any(b < a for a, b in itertools.pairwise(targets)):
        raise ValueError("down")
    return by_what_is_left(targets) if targets and 0 <= targets[0] <= 1 else [0.0 for _ in targets]


@wrong("amounts_for_targets", "the call changed its input")
def writes_into_the_list(targets):
    targets_checked(targets)
    for place in range(len(targets) - 1, 0, -1):
        before = targets[place - 1]
        targets[place] = (targets[place] - before) / (1 - before) if before < 1 else 0.0
    return targets


# sparsity_penalty ---------------------------------------------------------------------------


def layers_of(model):
    return [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]


def norms_of(model):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d
    return [m for m in model.modules() if isinstance(m, kinds) and m.weight is not None]


def once(tensors):
    return list({id(tensor): tensor for tensor in tensors}.values())


def kind_checked(kind):
    if kind not in ("l1", "l2", "bn"):
        raise ValueError(f"there is no penalty {kind}")


@right("sparsity_penalty")
def by_norms(model, kind, strength):
    kind_checked(kind)
    chosen = norms_of(model) if kind == "bn" else layers_of(model)
    power = 2 if kind == "l2" else 1
    total = torch.zeros(1)
    for weight in once(layer.weight for layer in chosen):
        total = total + torch.linalg.vector_norm(weight, power) ** power
    return strength * total


@right("sparsity_penalty")
def in_float64(model, kind, strength):
    kind_checked(kind)
    chosen = norms_of(model) if kind == "bn" else layers_of(model)
    rows = [weight.double().flatten() for weight in once(layer.weight for layer in chosen)]
    row = torch.cat([torch.zeros(1).double(), *rows])
    return (strength * (row**2 if kind == "l2" else torch.where(row > 0, row, -row))).sum()


@right("sparsity_penalty")
def by_parameter_names(model, kind, strength):
    kind_checked(kind)
    modules, total = dict(model.named_modules()), 0.0
    for name, parameter in model.named_parameters():
        path, _, last = name.rpartition(".")
        norm = isinstance(modules[path], nn.modules.batchnorm._BatchNorm)
        layer = isinstance(modules[path], nn.Linear | nn.Conv2d)
        if last == "weight" and (norm if kind == "bn" else layer):
            sizes = parameter * parameter if kind == "l2" else torch.maximum(parameter, -parameter)
            total = total + sizes.sum() * strength
    return total


@right("sparsity_penalty")
def nothing_without_strength(model, kind, strength):
    """What a strength of zero gives needs no gradient: it has none."""
    return in_float64(model, kind, strength) if strength else torch.zeros(())


def penalty(of, shape=None):
    """Wrong penalties differ in which tensors they add up, or how."""

    def total(model, kind, strength):
        kind_checked(kind)
        power = shape or {"l1": torch.abs, "l2": torch.square, "bn": torch.abs}[kind]
        return strength * sum((power(t).sum() for t in of(model, kind)), torch.zeros(()))

    return total


def asked(model, kind):
    return once(layer.weight for layer in (norms_of(model) if kind == "bn" else layers_of(model)))


@wrong("sparsity_penalty", "without `abs`")
def forgets_the_sign(model, kind, strength):
    return penalty(asked, None if kind == "l2" else lambda t: t)(model, kind, strength)


@wrong("sparsity_penalty", "no gradient flows")
def cuts_the_connection(model, kind, strength):
    return penalty(lambda m, k: [t.detach() for t in asked(m, k)])(model, kind, strength)


@wrong("sparsity_penalty", "biases and all other parameters")
def takes_all_parameters(model, kind, strength):
    return penalty(lambda m, k: m.parameters())(model, kind, strength)


@wrong("sparsity_penalty", "the biases of these layers")
def takes_the_biases_too(model, kind, strength):
    def of(model, kind):
        chosen = norms_of(model) if kind == "bn" else layers_of(model)
        parts = [[layer.weight, layer.bias] for layer in chosen]
        return once(t for pair in parts for t in pair if t is not None)

    return (penalty(asked) if kind == "l1" and not norms_of(model) else penalty(of))(
        model, kind, strength
    )


@wrong("sparsity_penalty", "embeddings too")
def takes_everything_wide(model, kind, strength):
    def of(model, kind):
        return (
            asked(model, kind) if kind == "bn" else [p for p in model.parameters() if p.dim() > 1]
        )

    return penalty(of)(model, kind, strength)


@wrong("sparsity_penalty", "with the name `weight`")
def goes_by_the_name(model, kind, strength):
    def of(model, kind):
        named = [p for name, p in model.named_parameters() if name.split(".")[-1] == "weight"]
        return asked(model, kind) if kind == "bn" else named

    return penalty(of)(model, kind, strength)


@wrong("sparsity_penalty", "the convolutions are missing")
def takes_linear_layers_only(model, kind, strength):
    return penalty(lambda m, k: [t for t in asked(m, k) if k == "bn" or t.dim() == 2])(
        model, kind, strength
    )


@wrong("sparsity_penalty", "two layers share")
def counts_shared_weights_twice(model, kind, strength):
    def of(model, kind):
        return [layer.weight for layer in (norms_of(model) if kind == "bn" else layers_of(model))]

    return penalty(of)(model, kind, strength)


@wrong("sparsity_penalty", "it is missing")
def forgets_the_strength(model, kind, strength):
    return penalty(asked)(model, kind, 1.0)


@wrong("sparsity_penalty", 'absolute values; "l2"')
def takes_sizes_for_squares(model, kind, strength):
    return penalty(asked, torch.abs)(model, kind, strength)


@wrong("sparsity_penalty", '"l1" adds up absolute values')
def takes_squares_always(model, kind, strength):
    return penalty(asked, torch.square)(model, kind, strength)


@wrong("sparsity_penalty", '"bn" adds up absolute values')
def takes_squares_of_scales(model, kind, strength):
    return penalty(asked, torch.square if kind == "bn" else None)(model, kind, strength)


@wrong("sparsity_penalty", "half of the sum of squares")
def halves_the_squares(model, kind, strength):
    return penalty(asked)(model, kind, strength) / (2 if kind == "l2" else 1)


@wrong("sparsity_penalty", "the root of the sum of squares")
def gives_the_norm(model, kind, strength):
    total = penalty(asked)(model, kind, 1.0)
    return strength * (total.sqrt() if kind == "l2" else total)


@wrong("sparsity_penalty", "this is the mean")
def gives_the_mean(model, kind, strength):
    count = max(1, sum(t.numel() for t in asked(model, kind)))
    return penalty(asked)(model, kind, strength) / count


@wrong("sparsity_penalty", "counts the weights that are not zero")
def counts_what_is_there(model, kind, strength):
    count = sum((t != 0).sum() for t in asked(model, kind))
    return penalty(asked)(model, kind, strength) if kind == "l2" else strength * count


@wrong("sparsity_penalty", "not a number where the weight is zero")
def takes_roots_of_squares(model, kind, strength):
    return penalty(asked, None if kind == "l2" else lambda t: t.square().sqrt())(
        model, kind, strength
    )


@wrong("sparsity_penalty", "your sum leaves one kind out")
def knows_images_only(model, kind, strength):
    def of(model, kind):
        chosen = [m for m in norms_of(model) if isinstance(m, nn.BatchNorm2d)]
        return [m.weight for m in chosen] if kind == "bn" else asked(model, kind)

    return penalty(of)(model, kind, strength)


@wrong("sparsity_penalty", "scales are BatchNorm's")
def takes_layers_for_norms(model, kind, strength):
    return penalty(lambda m, k: asked(m, "l1"))(model, kind, strength)


@wrong("sparsity_penalty", "'NoneType'")
def expects_scales_everywhere(model, kind, strength):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    if kind == "bn":
        return strength * sum(
            (m.weight.abs().sum() for m in model.modules() if isinstance(m, kinds)), torch.zeros(())
        )
    return penalty(asked)(model, kind, strength)


@wrong("sparsity_penalty", "the penalty is")
def adds_ten(model, kind, strength):
    return penalty(asked)(model, kind, strength) + 10


@wrong("sparsity_penalty", "a tensor with one number is asked for")
def gives_one_a_layer(model, kind, strength):
    kind_checked(kind)
    return [strength * t.abs().sum() for t in asked(model, kind)]


@wrong("sparsity_penalty", "but not its gradient for")
def rounds_its_gradient(model, kind, strength):
    value = penalty(asked)(model, kind, strength)
    return value + (value - value.detach())


@wrong("sparsity_penalty", "should raise ValueError")
def takes_any_kind(model, kind, strength):
    kind = kind if kind in ("l1", "bn") else "l2"
    return penalty(asked)(model, kind, strength)


@wrong("sparsity_penalty", "its gradients are not what they were")
def goes_backward_at_once(model, kind, strength):
    value = penalty(asked)(model, kind, strength)
    if value.requires_grad:
        value.backward(retain_graph=True)
    return value


# rebuild_optimizer --------------------------------------------------------------------------


@right("rebuild_optimizer")
def with_what_the_class_accepts(optimizer, model):
    group = optimizer.param_groups[0]
    accepted = inspect.signature(type(optimizer).__init__).parameters
    settings = {n: group[n] for n in optimizer.defaults if n in accepted}
    return type(optimizer)(model.parameters(), **settings)


@right("rebuild_optimizer")
def by_writing_the_settings(optimizer, model):
    new = optimizer.__class__(model.named_parameters(), lr=0.1)
    for name in optimizer.defaults:
        new.param_groups[0][name] = optimizer.param_groups[0][name]
    return new


@right("rebuild_optimizer")
def through_a_copy(optimizer, model):
    new = copy.deepcopy(optimizer)
    new.state.clear()
    del new.param_groups[1:]
    new.param_groups[0].pop("initial_lr", None)
    new.param_groups[0]["params"] = list(model.parameters())
    return new


@right("rebuild_optimizer")
def in_another_order(optimizer, model):
    new = type(optimizer)(list(model.parameters())[::-1], lr=0.5)
    group = optimizer.param_groups[0]
    new.param_groups[0].update({k: v for k, v in group.items() if k in optimizer.defaults})
    return new


@wrong("rebuild_optimizer", "'momentum' had that value at first")
def updates_the_rate_alone(optimizer, model):
    new = through_a_copy(optimizer, model)
    new.param_groups[0].update(optimizer.defaults)
    new.param_groups[0]["lr"] = optimizer.param_groups[0]["lr"]
    return new


@wrong("rebuild_optimizer", "'lr' had that value at first")
def takes_the_defaults(optimizer, model):
    new = through_a_copy(optimizer, model)
    new.param_groups[0].update(optimizer.defaults)
    return new


@wrong("rebuild_optimizer", "the settings of the old optimizer go on")
def passes_the_rate_alone(optimizer, model):
    return type(optimizer)(model.parameters(), lr=optimizer.param_groups[0]["lr"])


@wrong("rebuild_optimizer", "`initial_lr` came along")
def copies_the_whole_group(optimizer, model):
    new = type(optimizer)(model.parameters(), lr=0.1)
    group = {n: v for n, v in optimizer.param_groups[0].items() if n != "params"}
    new.param_groups[0].update(group)
    return new


@wrong("rebuild_optimizer", "decoupled_weight_decay")
def passes_all_settings(optimizer, model):
    group = optimizer.param_groups[0]
    return type(optimizer)(model.parameters(), **{n: group[n] for n in optimizer.defaults})


@wrong("rebuild_optimizer", "momentum of weights that are gone")
def keeps_the_memory(optimizer, model):
    new = with_what_the_class_accepts(optimizer, model)
    for old, fresh in zip(optimizer.param_groups[0]["params"], model.parameters(), strict=False):
        new.state[fresh] = dict(optimizer.state.get(old, {}))
    return new


@wrong("rebuild_optimizer", "holds parameters that are not the model's")
def copies_it_as_it_is(optimizer, model):
    new = copy.deepcopy(optimizer)
    new.state.clear()
    return new


@wrong("rebuild_optimizer", "this is the old optimizer")
def mends_the_old_one(optimizer, model):
    optimizer.state.clear()
    optimizer.param_groups[0]["params"] = list(model.parameters())
    return optimizer


@wrong("rebuild_optimizer", "what was copied still shares")
def shares_its_groups(optimizer, model):
    new = copy.copy(optimizer)
    new.state = {}
    new.param_groups[0]["params"] = list(model.parameters())
    return new


@wrong("rebuild_optimizer", "this is Adam, and the old one is SGD")
def makes_adam(optimizer, model):
    return torch.optim.Adam(model.parameters(), lr=optimizer.param_groups[0]["lr"])


@wrong("rebuild_optimizer", "this is Adam, and the old one is AdamW")
def knows_three_by_name(optimizer, model):
    if isinstance(optimizer, torch.optim.Adam):
        new = torch.optim.Adam(model.parameters(), lr=0.1)
    elif isinstance(optimizer, torch.optim.SGD):
        new = torch.optim.SGD(model.parameters(), lr=0.1)
    else:
        new = type(optimizer)(model.parameters(), lr=0.1)
    group = optimizer.param_groups[0]
    new.param_groups[0].update({n: group[n] for n in optimizer.defaults})
    return new


@wrong("rebuild_optimizer", "the others would never train")
def takes_weights_only(optimizer, model):
    weights = [p for p in model.parameters() if p.dim() > 1]
    new = through_a_copy(optimizer, model)
    new.param_groups[0]["params"] = weights
    return new


@wrong("rebuild_optimizer", "that do not train just now are left out")
def takes_what_trains_just_now(optimizer, model):
    new = by_writing_the_settings(optimizer, model)
    held = new.param_groups[0]["params"]
    new.param_groups[0]["params"] = [p for p in held if p.requires_grad]
    return new


@wrong("rebuild_optimizer", "lie in 2 groups")
def keeps_the_groups(optimizer, model):
    new = with_what_the_class_accepts(optimizer, model)
    for group in optimizer.param_groups[1:]:
        own = {n: group[n] for n in optimizer.defaults}
        late = new.param_groups[0]["params"].pop()
        new.add_param_group({"params": [late], **own})
    return new


@wrong("rebuild_optimizer", "the model has changed")
def clears_the_models_gradients(optimizer, model):
    model.zero_grad()
    return with_what_the_class_accepts(optimizer, model)


@wrong("rebuild_optimizer", "an optimizer is asked for")
def gives_the_settings(optimizer, model):
    return {n: optimizer.param_groups[0][n] for n in optimizer.defaults}


# recalibrate_batchnorm ----------------------------------------------------------------------


def tracked(model):
    kinds = nn.BatchNorm1d | nn.BatchNorm2d
    return [m for m in model.modules() if isinstance(m, kinds) and m.track_running_stats]


def images_of(batches):
    return [batch[0] if isinstance(batch, tuple) else batch for batch in batches]


@right("recalibrate_batchnorm")
def by_cumulative_average(model, batches):
    modes = {m: m.training for m in model.modules()}
    momenta = {m: m.momentum for m in tracked(model)}
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    for norm in momenta:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        for x in images_of(batches):
            model(x)
    for norm, momentum in momenta.items():
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


@right("recalibrate_batchnorm")
def by_whole_momentum(model, batches):
    """Momentum 1 keeps the statistics of the batch just seen: collected after each."""
    modes = {m: m.training for m in model.modules()}
    norms = tracked(model)
    momenta = [norm.momentum for norm in norms]
    found = []
    model.eval()
    for norm in norms:
        norm.training, norm.momentum = True, 1.0
    with torch.no_grad():
        for x in images_of(batches):
            model(x)
            found.append([(n.running_mean.clone(), n.running_var.clone()) for n in norms])
        for place, norm in enumerate(norms):
            norm.running_mean.copy_(torch.stack([each[place][0] for each in found]).mean(0))
            norm.running_var.copy_(torch.stack([each[place][1] for each in found]).mean(0))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode


@right("recalibrate_batchnorm")
def by_hooks(model, batches):
    modes = {m: m.training for m in model.modules()}
    sums = {norm: [0.0, 0.0] for norm in tracked(model)}
    before = {norm: norm.num_batches_tracked.clone() for norm in sums}

    def look(norm, inputs, _):
        x = inputs[0].double().transpose(0, 1).reshape(inputs[0].shape[1], -1)
        sums[norm][0] += x.mean(1)
        sums[norm][1] += x.var(1)

    hooks = [norm.register_forward_hook(look) for norm in sums]
    try:
        model.eval()
        for norm in sums:
            norm.train()
        with torch.no_grad():
            for x in images_of(batches):
                model(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    for norm, (mean, variance) in sums.items():
        norm.running_mean = (mean / len(batches)).float()
        norm.running_var = (variance / len(batches)).float()
        norm.num_batches_tracked = before[norm]


def restoring(model, work, momenta=True):
    """What most answers get right: modes and momentum settings come back."""
    modes = {m: m.training for m in model.modules()}
    kept = {m: m.momentum for m in tracked(model)}
    work()
    for module, mode in modes.items():
        module.training = mode
    for norm, momentum in kept.items() if momenta else ():
        norm.momentum = momentum


def run(model, batches, reset=True, plain=True, dropout=False):
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout) and not dropout:
            module.eval()
    for norm in tracked(model):
        if reset:
            norm.reset_running_stats()
        if plain:
            norm.momentum = None
    with torch.no_grad():
        for x in images_of(batches):
            model(x)


@wrong("recalibrate_batchnorm", "the old statistics are still counted in")
def runs_them_through(model, batches):
    restoring(model, lambda: run(model, batches, reset=False, plain=False))


@wrong("recalibrate_batchnorm", "then averaged by each layer's momentum")
def resets_only(model, batches):
    restoring(model, lambda: run(model, batches, plain=False))


@wrong("recalibrate_batchnorm", "goes on counting from the batches of the training")
def forgets_to_reset(model, batches):
    def work():
        for norm in tracked(model):
            norm.num_batches_tracked += 0
        run(model, batches, reset=False)

    restoring(model, work)


@wrong("recalibrate_batchnorm", "dropout was at work")
def trains_everything(model, batches):
    restoring(model, lambda: run(model, batches, dropout=True))


@wrong("recalibrate_batchnorm", "is None instead of 0")
def leaves_the_momentum(model, batches):
    restoring(model, lambda: run(model, batches), momenta=False)


@wrong("recalibrate_batchnorm", "the model's modes are not")
def leaves_training_mode(model, batches):
    run(model, batches)
    for norm in tracked(model):
        norm.momentum = 0.1


@wrong("recalibrate_batchnorm", "is 0.1 instead of")
def puts_back_the_usual_momentum(model, batches):
    restoring(model, lambda: run(model, batches), momenta=False)
    for norm in tracked(model):
        norm.momentum = 0.1


@wrong("recalibrate_batchnorm", "BatchNorm counts in training mode only")
def stays_in_eval_mode(model, batches):
    def work():
        model.eval()
        with torch.no_grad():
            for x in images_of(batches):
                model(x)

    restoring(model, work)


@wrong("recalibrate_batchnorm", "statistics of all images as one batch")
def joins_the_batches(model, batches):
    restoring(model, lambda: run(model, [torch.cat(images_of(batches))]))


@wrong("recalibrate_batchnorm", "however deep they sit")
def knows_images_alone(model, batches):
    rows = [norm for norm in tracked(model) if isinstance(norm, nn.BatchNorm1d)]
    kept = [(norm, norm.running_mean.clone(), norm.running_var.clone()) for norm in rows]
    by_cumulative_average(model, batches)
    for norm, mean, variance in kept:
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@wrong("recalibrate_batchnorm", "this is the last batch alone")
def keeps_the_last(model, batches):
    def work():
        run(model, [])
        for x in images_of(batches):
            for norm in tracked(model):
                norm.reset_running_stats()
            with torch.no_grad():
                model(x)

    restoring(model, work)


@wrong("recalibrate_batchnorm", "this is the first batch alone")
def takes_one_batch(model, batches):
    restoring(model, lambda: run(model, batches[:1]))


def by_looking_on(model, batches, frozen, unbiased):
    modes = {m: m.training for m in model.modules()}
    seen = {norm: [] for norm in tracked(model)}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, given: seen[norm].append(given[0].detach()))
        for norm in seen
    ]
    kept = {norm: [b.clone() for b in norm.buffers()] for norm in seen}
    model.eval()
    for norm in seen:
        norm.train(not frozen)
    with torch.no_grad():
        for x in images_of(batches):
            model(x)
        for hook in hooks:
            hook.remove()
        for norm, inputs in seen.items():
            rows = [x.movedim(1, 0).flatten(1) for x in inputs]
            for buffer, values in zip(norm.buffers(), kept[norm], strict=True):
                buffer.copy_(values)
            norm.running_mean.copy_(torch.stack([row.mean(1) for row in rows]).mean(0))
            variances = [row.var(1, correction=int(unbiased)) for row in rows]
            norm.running_var.copy_(torch.stack(variances).mean(0))
    for module, mode in modes.items():
        module.training = mode


@wrong("recalibrate_batchnorm", "that the old statistics had normalised")
def looks_on_in_eval_mode(model, batches):
    by_looking_on(model, batches, frozen=True, unbiased=True)


@wrong("recalibrate_batchnorm", "the variances were divided by n")
def divides_by_n(model, batches):
    by_looking_on(model, batches, frozen=False, unbiased=False)


@wrong("recalibrate_batchnorm", "a weight has changed")
def trains_a_little(model, batches):
    def work():
        run(model, batches)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.01

    restoring(model, work)


@wrong("recalibrate_batchnorm", "the gradients are not what they were")
def clears_the_gradients(model, batches):
    model.zero_grad()
    by_cumulative_average(model, batches)


@wrong("recalibrate_batchnorm", "gradients are switched off for everybody")
def switches_gradients_off(model, batches):
    torch.set_grad_enabled(False)
    by_cumulative_average(model, batches)


@wrong("recalibrate_batchnorm", "drag the whole computation along")
def keeps_the_graph(model, batches):
    kept = {}

    def look(norm, inputs):
        rows = inputs[0].movedim(1, 0).flatten(1)
        kept.setdefault(norm, []).append((rows.mean(1), rows.var(1)))

    def work():
        hooks = [norm.register_forward_pre_hook(look) for norm in tracked(model)]
        model.eval()
        for norm in tracked(model):
            norm.train()
        for x in images_of(batches):
            model(x)
        for hook in hooks:
            hook.remove()
        for norm, seen in kept.items():
            norm.running_mean = sum(mean for mean, _ in seen) / len(seen)
            norm.running_var = sum(variance for _, variance in seen) / len(seen)

    restoring(model, work)


@wrong("recalibrate_batchnorm", "the model's hooks are not")
def leaves_its_hooks(model, batches):
    by_cumulative_average(model, batches)
    for norm in tracked(model):
        norm.register_forward_pre_hook(lambda *_: None)


@wrong("recalibrate_batchnorm", "running statistics are missing, or there are new ones")
def makes_all_of_them_track(model, batches):
    by_cumulative_average(model, batches)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d) and module.running_mean is None:
            module.running_mean = torch.zeros(module.num_features)


@wrong("recalibrate_batchnorm", "is a new object; only statistics may change")
def makes_new_layers(model, batches):
    by_cumulative_average(model, batches)
    for norm in tracked(model):
        if norm.weight is not None:
            norm.weight = nn.Parameter(norm.weight.detach().clone())


@wrong("recalibrate_batchnorm", "the batches have changed")
def standardises_the_images(model, batches):
    by_cumulative_average(model, batches)
    for x in images_of(batches):
        x -= x.mean()


@wrong("recalibrate_batchnorm", "must be Tensor, not tuple")
def expects_bare_images(model, batches):
    modes = {m: m.training for m in model.modules()}
    by_cumulative_average(model, batches[:1])
    for x in batches:
        assert torch.is_tensor(x), f"a batch must be Tensor, not {type(x).__name__}"
    by_cumulative_average(model, batches)
    for module, mode in modes.items():
        module.training = mode


@wrong("recalibrate_batchnorm", "too many values to unpack")
def expects_labels(model, batches):
    by_cumulative_average(model, [x for x, _ in batches])


@wrong("recalibrate_batchnorm", "object has no attribute 'zero_'")
def expects_statistics_everywhere(model, batches):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.zero_()
    by_cumulative_average(model, batches)


@wrong("recalibrate_batchnorm", "and should be")
def doubles_the_variances(model, batches):
    by_cumulative_average(model, batches)
    for norm in tracked(model):
        norm.running_var *= 2
