"""The engine's own promises: three outcomes, partial credit, no delegation, plain data only."""

import functools
import inspect
import pkgutil
import sys
import threading
import types

import numpy
import pytest
import torch
from answers_lesson00 import by_topk
from answers_lesson01 import by_counting, pools_outputs

from course_utils import measure
from course_utils.exercises import UnknownExercise, engine, every, find, grade
from course_utils.exercises.engine import Exercise, Partly
from course_utils.exercises.networks import build, network, state
from course_utils.exercises.plain import Other, Withheld, decode, encode
from course_utils.pruning import masks


def docstring_only(values, k):
    """Nothing here yet."""


def stub(values, k):
    """Nothing here yet."""
    raise NotImplementedError()


def comment_only(values, k): ...


class Callable:
    def __call__(self, values, k):
        raise NotImplementedError


@pytest.mark.parametrize(
    "answer",
    [
        docstring_only,
        stub,
        comment_only,
        lambda values, k: None,
        torch.no_grad()(stub),
        functools.partial(stub),
        functools.lru_cache(docstring_only),
        Callable(),
    ],
)
def test_an_untouched_stub_is_not_attempted(answer):
    result = grade("keep_largest", answer)
    assert (result.status, result.score) == ("not attempted", 0.0)


@pytest.mark.parametrize("constant", [5, 0, 0.0, False, "", ()])
def test_returning_something_constant_is_an_attempt(constant):
    assert grade("keep_largest", lambda values, k: constant).status == "incorrect"


def test_what_torch_has_not_implemented_is_no_stub():
    assert grade("sparsity", lambda tensor: torch.tensor([True]).abs()).status == "incorrect"


def helper(values):
    return valeus.clone()  # noqa: F821


def test_a_slip_is_shown_with_its_line_be_it_in_a_helper():
    (said, *_) = grade("keep_largest", lambda values, k: helper(values)).messages
    number = inspect.getsourcelines(helper)[1] + 1
    place = f"(line {number}: `return valeus.clone()  # noqa: F821`)"
    assert said.endswith(f"this raised NameError: name 'valeus' is not defined {place}")


def test_an_answer_without_a_file_is_shown_without_a_line():
    typed = {}
    exec("def keep_largest(values, k):\n    return valeus", typed)
    (said, *_) = grade("keep_largest", typed["keep_largest"]).messages
    assert said.endswith("name 'valeus' is not defined")


def test_an_error_from_below_is_an_attempt():
    def calls_a_stub(values, k):
        return stub(values, k)

    assert grade("keep_largest", calls_a_stub).status == "incorrect"


@pytest.mark.parametrize("answer", [None, 5, "text", torch.zeros(3)])
def test_what_is_no_function_is_told_so(answer):
    result = grade("keep_largest", answer)
    assert (result.status, result.score) == ("incorrect", 0.0)
    assert "must be given as a function" in result.messages[0]


def test_an_answer_that_fails_ordinary_cases_has_no_points():
    result = grade("keep_largest", lambda values, k: torch.zeros_like(values))
    assert result.groups["ordinary values"] is False
    assert result.score == 0.0


def test_every_group_counts_the_same_once_the_ordinary_ones_pass():
    result = grade("keep_largest", lambda values, k: by_topk(values, max(k, 0)))
    assert result.groups["impossible k"] is False
    assert result.score == pytest.approx(4 / 5)


def test_the_seed_chooses_the_cases():
    exercise = find("keep_largest")
    seen = {}
    for seed in (0, 1, "secret"):
        kept = seen.setdefault(seed, [])
        grade(exercise.name, lambda values, k, kept=kept: kept.append(values.tolist()), seed)
    assert seen[0] != seen[1] != seen["secret"]
    again = []
    grade(exercise.name, lambda values, k: again.append(values.tolist()), 1)
    assert again == seen[1]


bound_earlier = measure.sparsity


@pytest.mark.parametrize(
    "delegate",
    [
        lambda tensor: measure.sparsity(tensor),
        lambda tensor: bound_earlier(tensor),
        lambda tensor: find("sparsity").reference(tensor),
    ],
)
def test_delegated_work_earns_nothing(delegate):
    result = grade("sparsity", delegate)
    assert (result.status, result.score) == ("incorrect", 0.0)
    assert "sparsity" in result.messages[0]
    assert "write it yourself" in result.messages[0]


def test_what_the_techniques_keep_to_themselves_is_refused_as_well():
    result = grade("sparsity", lambda tensor: masks._keep({"weight": tensor}, 1))
    assert result.score == 0.0
    assert "_keep, which already does what is asked" in result.messages[0]


def test_a_class_that_inherits_the_courses_answer_earns_nothing():
    result = grade("EveryNth", type("EveryNth", (find("EveryNth").reference,), {}))
    assert (result.status, result.score) == ("incorrect", 0.0)
    assert "write it yourself" in result.messages[0]


def test_delegation_cannot_be_hidden_behind_an_except():
    def sly(tensor):
        try:
            return measure.sparsity(tensor)
        except Exception:
            return (tensor == 0).double().mean().item() if tensor.numel() else 0.0

    assert grade("sparsity", sly).score == 0.0


def test_the_courses_functions_work_again_afterwards():
    def fails(tensor):
        measure.sparsity(tensor)
        raise RuntimeError

    grade("sparsity", fails)
    assert measure.sparsity(torch.tensor([0.0, 1.0])) == 0.5
    assert find("sparsity").reference(torch.tensor([0.0, 1.0])) == 0.5


def test_a_helper_of_the_learners_with_the_same_name_is_no_delegation():
    def sparsity(tensor):
        return (tensor == 0).double().mean().item() if tensor.numel() else 0.0

    assert grade("sparsity", sparsity).status == "correct"


class Guess(Exercise):
    """Guess a hidden number; near ones are worth something, and any help is welcome."""

    name = "guess"
    lesson = "00"
    signature = "guess(hint, hidden)"
    delegates = True
    forbids = ("course_utils.measure.sparsity",)
    reference = staticmethod(lambda hint, hidden: 1 / 0)

    def cases(self, rng):
        return {
            "small": [(1, Withheld(4)), (2, Withheld(5))],
            "large": [(3, [Withheld(100)])],
        }

    def wanted(self, case):
        return engine.Outcome(None, [], None)  # the reference is not to be run

    def verify(self, case, data):
        hidden = case[1] if isinstance(case[1], Withheld) else case[1][0]
        off = abs(data.returned - hidden.value)
        if off > 10:
            return "far away."
        return Partly(1 - off / 10, f"{off} away.") if off else None


def test_a_withheld_part_of_a_case_is_seen_by_verify_alone():
    seen = []
    engine.grade(Guess(), lambda *inputs: seen.append(inputs) or 0)
    assert seen == [(1, None), (2, None), (3, [None])]


def test_a_withheld_part_cannot_be_sent():
    with pytest.raises(TypeError, match="withheld stays where answers are judged"):
        encode({"case": [1, Withheld(2)]})


@pytest.mark.parametrize(
    ("guesses", "score", "sentences"),
    [
        ({1: 4, 2: 5, 3: 100}, 1.0, []),
        ({1: 4, 2: 5, 3: 95}, (1 + 0.5) / 2, ["3, [None]): 5 away."]),
        ({1: 4, 2: 5, 3: 5}, 0.5, ["far away."]),
        ({1: 3, 2: 8, 3: 100}, (0.7 + 1) / 2, ["1 away."]),  # worth the worst, told of the first
        ({1: 2, 2: 50, 3: 98}, 0.0, ["2 away.", "2 away."]),  # nothing without the ordinary ones
    ],
)
def test_an_answer_can_be_partly_right(guesses, score, sentences):
    class Shown(Guess):
        def shown(self, case):
            return f"guess({case[0]}, [None])"

    result = engine.grade(Shown(), lambda hint, hidden: guesses[hint])
    assert result.score == pytest.approx(score)
    assert result.status == ("correct" if score == 1 else "incorrect")
    assert len(result.messages) == len(sentences)
    for message, sentence in zip(result.messages, sentences, strict=True):
        assert sentence in message
    if score == 1:
        assert set(result.groups.values()) == {True}
    assert all(type(passed) is bool for passed in result.groups.values())


def test_only_groups_that_are_wholly_right_count_as_passed():
    result = engine.grade(Guess(), lambda hint, hidden: {1: 4, 2: 5, 3: 99}[hint])
    assert result.groups == {"small": True, "large": False}


def test_an_exercise_can_welcome_every_helper_but_its_own_solution():
    helped = {1: 4, 2: 5, 3: 100}

    def with_help(hint, hidden):
        masks.keep_local({"w": torch.rand(4)}, 0.5)
        find("keep_largest").reference(torch.rand(4), 2)
        return helped[hint]

    assert engine.grade(Guess(), with_help).status == "correct"
    for refused in (lambda h, _: Guess.reference(h, _), lambda h, _: bound_earlier(torch.rand(2))):
        result = engine.grade(Guess(), refused)
        assert (result.score, result.groups) == (0.0, {"small": False, "large": False})
        assert "Delegated work" in result.messages[0]


def test_an_exercise_can_say_in_its_own_words_why_a_function_is_refused():
    class Strict(Guess):
        def refused(self, function):
            return f"No {function} here."

    result = engine.grade(Strict(), lambda hint, hidden: bound_earlier(torch.rand(2)))
    assert result.messages == ["No sparsity here."]


class Explosive(Exception):
    def __str__(self):
        raise RuntimeError


def endless(values, k):
    nested = []
    nested.append(nested)
    return nested


def exits(values, k):
    raise SystemExit


def explodes(values, k):
    raise Explosive


async def asynchronous(values, k):
    return values


@pytest.mark.parametrize(
    "answer",
    [
        endless,
        exits,
        explodes,
        asynchronous,
        lambda values, k: values.to(torch.complex64),
        lambda values, k: numpy.longdouble(1),
        lambda values, k: values.to_sparse(),
        lambda values, k: {"a": object()},
    ],
)
def test_nothing_that_comes_back_breaks_the_grader(answer, capsys):
    assert grade("keep_largest", answer).status == "incorrect"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "number",
    [10**400, 10**5000, float("inf"), -(10**400), numpy.float32(1)],
    ids=["large", "huge", "infinite", "negative", "numpy"],
)
def test_no_number_is_too_large_to_be_wrong(number):
    assert grade("layer_macs", lambda layer, output: number).status == "incorrect"


def test_the_verdict_does_not_depend_on_torchs_defaults():
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert grade("activation_sparsity", pools_outputs).status == "correct"
            assert grade("activation_sparsity", lambda model, x: 1 / 0).status == "incorrect"
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


def test_two_threads_can_be_graded_at_once():
    def work():
        for _ in range(5):
            assert grade("sparsity", by_counting).status == "correct"

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert measure.sparsity(torch.tensor([0.0, 1.0])) == 0.5


def test_torch_is_left_as_it_was():
    def meddles(values, k):
        torch.manual_seed(1)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        return by_topk(values, k)

    before = torch.random.get_rng_state()
    grade("keep_largest", meddles)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.is_grad_enabled()
    assert torch.get_default_dtype() == torch.float32


def test_a_result_that_lies_about_itself_is_judged_by_its_numbers():
    class Agreeable(torch.Tensor):
        def __eq__(self, other):
            return torch.ones(self.shape, dtype=torch.bool)

        __hash__ = torch.Tensor.__hash__

    answer = lambda values, k: torch.zeros(values.shape).as_subclass(Agreeable)  # noqa: E731
    assert grade("keep_largest", answer).status == "incorrect"


def test_unknown_names_are_told_what_there_is():
    with pytest.raises(UnknownExercise, match="Did you mean 'keep_largest'"):
        grade("keep_largst", by_topk)
    with pytest.raises(UnknownExercise, match="There are: keep_largest"):
        grade("cut", by_topk)


def test_a_name_that_another_lesson_has_is_refused(monkeypatch):
    module = types.ModuleType("course_utils.exercises.lesson99")
    module.EXERCISES = [types.SimpleNamespace(name="threshold", lesson="99")]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    found = [types.SimpleNamespace(name=name) for name in ("lesson02", "lesson99")]
    monkeypatch.setattr(pkgutil, "iter_modules", lambda path: found)
    with pytest.raises(ValueError, match="two exercises 'threshold', in lessons 02 and 99"):
        every.__wrapped__()


@pytest.mark.parametrize("name", list(every()))
def test_every_exercise_is_described(name):
    exercise = find(name)
    assert exercise.signature.startswith(f"{name}(")
    assert exercise.points > 0
    assert exercise.minutes > 0
    assert exercise.difficulty in range(1, 6)
    assert exercise.importance in range(1, 6)
    assert isinstance(exercise.hints, tuple) and len(exercise.hints) >= 2


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2.5,
        "text",
        [1, [2.0, None]],
        (1, ("a", False)),
        {"a": {"b": 1}, 3: "c"},
        {},
    ],
)
def test_plain_data_travels_unchanged(value):
    back = decode(encode(value))
    assert back == value
    assert type(back) is type(value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.0, float("nan"), -0.0]),
        torch.arange(6).reshape(2, 3).T,
        torch.zeros(0, 3),
        torch.tensor(True),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(3, requires_grad=True),
    ],
)
def test_tensors_travel_bit_by_bit(tensor):
    back = decode(encode({"x": [tensor]}))["x"][0]
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    raw = tensor.detach().contiguous().reshape(-1).view(torch.uint8)
    assert torch.equal(back.reshape(-1).view(torch.uint8), raw)


def test_what_is_not_plain_travels_by_the_name_of_its_type():
    assert decode(encode([object(), {1, 2}])) == [Other("object"), Other("set")]
    assert isinstance(decode(encode(torch.zeros(2).to_sparse())), Other)


def test_what_is_not_plain_keeps_its_name_on_a_second_journey():
    assert decode(encode(decode(encode([object()])))) == [Other("object")]


def test_two_names_for_one_tensor_both_travel():
    shared = torch.arange(3.0)
    back = decode(encode({"a": shared, "b": shared[:2]}))
    assert back["a"].tolist() == [0, 1, 2]
    assert back["b"].tolist() == [0, 1]


@pytest.mark.parametrize("data", [b"", b"\xff" * 8, b"\x05\0\0\0\0\0\0\0[1]"])
def test_broken_data_is_refused(data):
    with pytest.raises(Exception, match=r"ends too early|xpecting|header"):
        decode(data)


def test_a_described_network_is_the_same_each_time():
    description = network("convnet", 5, channels=3, classes=4, zeros=0.5, frozen=["features.1"])
    one, two = build(description), build(description)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert state(one)["modes"]["features.1"] is False
    assert state(one)["modes"]["features.0"] is True


def test_one_case_cannot_spoil_the_next():
    def ruins(model, x):
        result = pools_outputs(model, x)
        for parameter in model.parameters():
            parameter.data.zero_()
        return result

    assert (
        "its parameters are not what they were" in grade("activation_sparsity", ruins).messages[0]
    )
    assert grade("activation_sparsity", pools_outputs).status == "correct"
