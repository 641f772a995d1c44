"""Answers to lesson 11."""

import math

import numpy
import torch
from bank import right, wrong

# wanda_scores -------------------------------------------------------------------------------


def inputs_checked(weight, activations):
    if activations.shape[-1] != weight.shape[1]:
        raise ValueError("these are no inputs of that layer")


@right("wanda_scores")
def by_norm(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).norm(p=2, dim=0)


@right("wanda_scores")
def over_all_other_dimensions(weight, activations):
    inputs_checked(weight, activations)
    others = tuple(range(activations.dim() - 1))
    return torch.linalg.vector_norm(activations, dim=others) * weight.abs()


@right("wanda_scores")
def wanda_in_numpy(weight, activations):
    inputs_checked(weight, activations)
    table = activations.numpy().reshape(-1, weight.shape[1])
    return torch.from_numpy(numpy.abs(weight.numpy()) * numpy.sqrt((table**2).sum(0)))


@right("wanda_scores")
def token_by_token(weight, activations):
    inputs_checked(weight, activations)
    squares = torch.zeros(weight.shape[1], dtype=torch.float64)
    for token in activations.reshape(-1, weight.shape[1]):
        squares += token.double() ** 2
    scores = weight.clone().double().abs_()
    for column, square in enumerate(squares.tolist()):
        scores[:, column] *= math.sqrt(square)
    return scores


@right("wanda_scores")
def from_the_products(weight, activations):
    """The norm of each weight's own products with its inputs."""
    inputs_checked(weight, activations)
    table = activations.reshape(-1, 1, weight.shape[1])
    return (weight * table).square().sum(0).sqrt()


@right("wanda_scores")
def from_the_gram_matrix(weight, activations):
    inputs_checked(weight, activations)
    table = activations.reshape(-1, weight.shape[1]).double()
    return (weight**2 * (table.T @ table).diagonal()) ** 0.5


@wrong("wanda_scores", "keep the weights' signs")
def keeps_signs(weight, activations):
    inputs_checked(weight, activations)
    return weight * activations.flatten(0, -2).norm(dim=0)


@wrong("wanda_scores", "sizes alone")
def ignores_the_inputs(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs()


@wrong("wanda_scores", "inputs' norms alone")
def ignores_the_weight(weight, activations):
    inputs_checked(weight, activations)
    return activations.flatten(0, -2).norm(dim=0).repeat(len(weight), 1)


@wrong("wanda_scores", "sizes times *squared* norms")
def forgets_the_root(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).square().sum(0)


@wrong("wanda_scores", "a norm is not an average")
def takes_the_mean_square(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).square().mean(0).sqrt()


@wrong("wanda_scores", "this is the L1 norm")
def adds_absolute_values(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).abs().sum(0)


@wrong("wanda_scores", "the loudest single input")
def takes_the_loudest(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).abs().max(0).values


@wrong("wanda_scores", "so loud ones cancel")
def adds_with_signs(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.flatten(0, -2).sum(0).abs()


@wrong("wanda_scores", "each sequence has a norm of its own")
def adds_the_norms_of_sequences(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.norm(dim=-2).reshape(-1, weight.shape[1]).sum(0)


@wrong("wanda_scores", "the norms stand along the outputs")
def scales_the_rows(weight, activations):
    inputs_checked(weight, activations)
    norms = activations.flatten(0, -2).norm(dim=0)
    return weight.abs() * (norms[:, None] if len(norms) == len(weight) else norms)


@wrong("wanda_scores", "the norms of the examples")
def takes_norms_of_tokens(weight, activations):
    inputs_checked(weight, activations)
    table = activations.flatten(0, -2)
    return weight.abs() * table.norm(dim=1 if len(table) == table.shape[1] else 0)


@wrong("wanda_scores", "leaves the order as it was")
def takes_one_norm_for_all(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() * activations.norm()


@wrong("wanda_scores", "came back instead of (1, 2)")
def gives_one_number_a_column(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs().sum(0) * activations.flatten(0, -2).norm(dim=0)


@wrong("wanda_scores", "and what is asked for is a tensor")
def gives_a_list(weight, activations):
    return by_norm(weight, activations).tolist()


@wrong("wanda_scores", "one score is 0 instead of 4")
def drops_negative_weights(weight, activations):
    inputs_checked(weight, activations)
    return weight.clamp(min=0) * activations.flatten(0, -2).norm(dim=0)


@wrong("wanda_scores", "one score is 6 instead of 5")
def adds_size_and_norm(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs() + activations.flatten(0, -2).norm(dim=0)


@wrong("wanda_scores", "this raised RuntimeError, where")
def leaves_the_check_to_pytorch(weight, activations):
    return weight.abs() * activations.reshape(-1, activations.shape[-1]).norm(dim=0)


@wrong("wanda_scores", "are no inputs for a weight")
def reads_whatever_comes(weight, activations):
    if activations.numel() % weight.shape[1]:
        raise ValueError("these do not fit")
    return weight.abs() * activations.reshape(-1, weight.shape[1]).norm(dim=0)


@wrong("wanda_scores", "Work on a copy")
def works_in_the_weight(weight, activations):
    inputs_checked(weight, activations)
    return weight.abs_().mul_(activations.flatten(0, -2).norm(dim=0))


# obs_update ---------------------------------------------------------------------------------


def row_checked(row, inverse, index):
    if inverse.shape != (len(row), len(row)):
        raise ValueError("the row and the matrix do not fit")


@right("obs_update")
def by_the_formula(row, inverse, index):
    row_checked(row, inverse, index)
    return row - row[index] / inverse[index, index] * inverse[:, index]


@right("obs_update")
def by_rows_of_a_symmetric_matrix(row, inverse, index):
    row_checked(row, inverse, index)
    direction = inverse[index] / inverse[index, index]
    new = row.clone()
    new -= row[index] * direction
    new[index] = 0.0
    return new


@right("obs_update")
def obs_in_numpy(row, inverse, index):
    row_checked(row, inverse, index)
    w, h = row.numpy().astype(numpy.float64), inverse.numpy().astype(numpy.float64)
    return torch.from_numpy(w - w[index] / h[index, index] * h[:, index])


@right("obs_update")
def one_weight_after_another(row, inverse, index):
    row_checked(row, inverse, index)
    factor = (row[index] / inverse[index, index]).item()
    shifted = [w - factor * h for w, h in zip(row.tolist(), inverse[index].tolist(), strict=True)]
    return torch.tensor(shifted)


@right("obs_update")
def by_least_squares(row, inverse, index):
    """From the problem itself: the others make the error as small as it can be."""
    row_checked(row, inverse, index)
    hessian = torch.linalg.inv(inverse.double())
    others = [place for place in range(len(row)) if place != index]
    new = row.double().clone()
    pull = hessian[others, index] * new[index]
    new[others] += torch.linalg.solve(hessian[others][:, others], pull)
    new[index] = 0
    return new


@wrong("obs_update", "the others are what they were")
def only_zeroes(row, inverse, index):
    row_checked(row, inverse, index)
    new = row.clone()
    new[index] = 0
    return new


@wrong("obs_update", "the weight that is to go is still there")
def spares_the_weight(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - row[index] / inverse[index, index] * inverse[:, index]
    new[index] = row[index]
    return new


@wrong("obs_update", "so that the weight itself arrives at zero")
def adds(row, inverse, index):
    row_checked(row, inverse, index)
    return row + row[index] / inverse[index, index] * inverse[:, index]


@wrong("obs_update", "hides a wrong sign")
def adds_and_zeroes(row, inverse, index):
    new = adds(row, inverse, index)
    new[index] = 0
    return new


@wrong("obs_update", "so the weight misses zero")
def does_not_divide(row, inverse, index):
    row_checked(row, inverse, index)
    return row - row[index] * inverse[:, index]


@wrong("obs_update", "by the column without its division")
def does_not_divide_and_zeroes(row, inverse, index):
    new = does_not_divide(row, inverse, index)
    new[index] = 0
    return new


@wrong("obs_update", "where it is to divide")
def multiplies(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - row[index] * inverse[index, index] * inverse[:, index]
    new[index] = 0
    return new


@wrong("obs_update", "do not invert it again")
def inverts_again(row, inverse, index):
    row_checked(row, inverse, index)
    hessian = torch.linalg.inv(inverse)
    new = row - row[index] / hessian[index, index] * hessian[:, index]
    new[index] = 0
    return new


@wrong("obs_update", "by its own diagonal entry")
def takes_the_diagonal(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - row[index] / inverse[index, index] * inverse.diagonal()
    new[index] = 0
    return new


@wrong("obs_update", "half of the shift is missing")
def goes_half_way(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - 0.5 * row[index] / inverse[index, index] * inverse[:, index]
    new[index] = 0
    return new


@wrong("obs_update", "this is the shift alone")
def gives_the_shift(row, inverse, index):
    row_checked(row, inverse, index)
    return -row[index] / inverse[index, index] * inverse[:, index]


@wrong("obs_update", "the square of the weight belongs")
def takes_the_cost(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - row[index] ** 2 / inverse[index, index] * inverse[:, index]
    new[index] = 0
    return new


@wrong("obs_update", "[3, 0] came back instead of [2.5, 0]")
def shares_out_equally(row, inverse, index):
    row_checked(row, inverse, index)
    new = row - row[index] / len(row) ** 2 / 0.75
    new[index] = 0
    return new


@wrong("obs_update", "came back instead of (2,)")
def leaves_the_weight_out(row, inverse, index):
    new = by_the_formula(row, inverse, index)
    return torch.cat([new[:index], new[index + 1 :]])


@wrong("obs_update", "and a row is a tensor")
def gives_a_plain_list(row, inverse, index):
    return by_the_formula(row, inverse, index).tolist()


@right("obs_update")
def refuses_more_than_it_must(row, inverse, index):
    row_checked(row, inverse, index)
    if not 0 <= index < len(row) or not inverse[index, index] > 0:
        raise ValueError("the index or the diagonal is none")
    return by_the_formula(row, inverse, index)


@right("obs_update")
def by_a_product_with_a_unit_vector(row, inverse, index):
    row_checked(row, inverse, index)
    unit = torch.zeros_like(row)
    unit[index] = 1
    return row + inverse @ unit * (-(unit @ row) / (unit @ inverse @ unit))


@wrong("obs_update", "need an inverse Hessian of")
def lets_a_small_matrix_spread(row, inverse, index):
    if len(inverse) not in (1, len(row)):
        raise ValueError("these do not fit")
    return row - row[index] / inverse[index, index] * inverse[:, index]


@wrong("obs_update", "the call changed its input")
def works_in_the_row(row, inverse, index):
    row_checked(row, inverse, index)
    row -= (row[index] / inverse[index, index]).item() * inverse[:, index].clone()
    return row


# head_importance ----------------------------------------------------------------------------


def heads_checked(outputs, gradients):
    if outputs.shape != gradients.shape:
        raise ValueError("two tensors of one shape are asked for")


@right("head_importance")
def in_one_line(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).flatten(2).sum(2).abs().mean(0)


@right("head_importance")
def by_einsum(outputs, gradients):
    heads_checked(outputs, gradients)
    return torch.einsum("bhtw,bhtw->bh", outputs, gradients).abs().mean(0)


@right("head_importance")
def heads_in_numpy(outputs, gradients):
    heads_checked(outputs, gradients)
    products = outputs.double().numpy() * gradients.double().numpy()
    return torch.from_numpy(numpy.abs(products.sum(axis=(2, 3))).mean(axis=0))


@right("head_importance")
def example_by_example(outputs, gradients):
    heads_checked(outputs, gradients)
    totals = [0.0] * outputs.shape[1]
    for output, gradient in zip(outputs, gradients, strict=True):
        for head in range(len(totals)):
            totals[head] += abs(float((output[head] * gradient[head]).sum()))
    return torch.tensor(totals) / len(outputs)


@wrong("head_importance", "the absolute value comes too early")
def takes_it_first(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).abs().sum((2, 3)).mean(0)


@wrong("head_importance", "the absolute value comes too late")
def takes_it_last(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum((2, 3)).mean(0).abs()


@wrong("head_importance", "the absolute value is missing")
def takes_none(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum((2, 3)).mean(0)


@wrong("head_importance", "this sums over the batch")
def sums_over_the_batch(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum((2, 3)).abs().sum(0)


@wrong("head_importance", "this averages over time and width")
def averages_everything(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).mean((2, 3)).abs().mean(0)


@wrong("head_importance", "these are sums of the outputs")
def ignores_gradients(outputs, gradients):
    heads_checked(outputs, gradients)
    return outputs.sum((2, 3)).abs().mean(0)


@wrong("head_importance", "these are sums of the gradients")
def ignores_outputs(outputs, gradients):
    heads_checked(outputs, gradients)
    return gradients.sum((2, 3)).abs().mean(0)


@wrong("head_importance", "these are squares")
def squares(outputs, gradients):
    heads_checked(outputs, gradients)
    return ((outputs * gradients).sum((2, 3)) ** 2).mean(0)


@wrong("head_importance", "each summed first and then multiplied")
def multiplies_the_sums(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs.sum((2, 3)) * gradients.sum((2, 3))).abs().mean(0)


@wrong("head_importance", "the absolute value is taken at each time")
def takes_it_at_each_time(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum(3).abs().sum(2).mean(0)


@wrong("head_importance", "so that it adds up to one")
def shares_out(outputs, gradients):
    heads_checked(outputs, gradients)
    scores = (outputs * gradients).sum((2, 3)).abs().mean(0)
    return scores / scores.sum()


@wrong("head_importance", "came back instead of (1,)")
def keeps_the_batch(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum((2, 3)).abs()


@wrong("head_importance", "and one number a head is a tensor")
def gives_a_list_of_heads(outputs, gradients):
    return in_one_line(outputs, gradients).tolist()


@wrong("head_importance", "came back instead of [6.5]")
def takes_the_largest(outputs, gradients):
    heads_checked(outputs, gradients)
    return (outputs * gradients).sum((2, 3)).abs().amax(0)


@wrong("head_importance", "have gradients of that shape, not")
def lets_shapes_spread(outputs, gradients):
    return (outputs * gradients).sum((2, 3)).abs().mean(0)


@wrong("head_importance", "its input. Work on a copy")
def works_in_the_outputs(outputs, gradients):
    heads_checked(outputs, gradients)
    return outputs.mul_(gradients).sum((2, 3)).abs_().mean(0)
