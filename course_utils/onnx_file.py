"""Networks as ONNX files: written, run by ONNX Runtime, and counted.

ONNX is what other programs read. A file holds the network's arithmetic and its numbers and no
Python, so it shows what is left of a pruned network once PyTorch is out of the picture.
"""

import io
import logging
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

import numpy
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from course_utils.measure import evaluating, require_batch

_COUNTED = {"Conv", "Gemm", "MatMul"}
# Operators that multiply and accumulate in ways that are not counted here.
_UNCOUNTED = """
    Attention ConvInteger ConvTranspose DFT DeformConv Det Einsum GRU If LSTM Loop MatMulInteger
    QLinearConv QLinearMatMul RNN STFT Scan SequenceMap
"""
# Operators that do about one operation for each number that goes in or comes out.
_NUMBER_BY_NUMBER = """
    Abs Add And AveragePool BatchNormalization Cast Ceil Celu Clip Concat Constant Cos DepthToSpace
    Div Elu Equal Erf Exp Expand Flatten Floor Gather Gelu GlobalAveragePool GlobalMaxPool Greater
    GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization LayerNormalization
    LeakyRelu Less Log LogSoftmax Max MaxPool Mean Min Mish Mul Neg Not Or PRelu Pad Pow Reciprocal
    ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum ReduceSumSquare Relu Reshape Round
    Selu Shape Sigmoid Sign Sin Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub
    Sum Tanh ThresholdedRelu Tile Transpose Unsqueeze Where
"""


def export(model: nn.Module, example: Tensor) -> bytes:
    """The network in evaluation mode as an ONNX file, for any number of examples at once.

    >>> file = export(nn.Linear(4, 2), torch.zeros(1, 4))
    >>> predict(file, torch.zeros(5, 4)).shape
    torch.Size([5, 2])
    """
    require_batch(example)
    two = torch.cat([example[:1]] * 2)  # of a single example the exporter would make a constant
    file = io.BytesIO()
    with evaluating(model), _in_silence():
        try:
            torch.onnx.export(
                model,
                (two,),
                file,
                input_names=["x"],
                output_names=["y"],
                dynamic_shapes=({0: torch.export.Dim("examples")},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0]
            raise ValueError(f"this network cannot be written as ONNX: {reason}") from error
    return file.getvalue()


@contextmanager
def _in_silence() -> Iterator[None]:
    """The exporter thinks aloud, and on stderr every word would cost a graded cell its points."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def runner(file: bytes) -> Callable[[Tensor], Tensor]:
    """A function that runs the file with ONNX Runtime, on one thread of the processor."""
    session = _session(file)
    (entry,) = session.get_inputs()

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(_run(session, {entry.name: x.numpy()})[0])

    return run


def predict(file: bytes, x: Tensor) -> Tensor:
    """What the network in the file answers."""
    return runner(file)(x)


def macs(file: bytes, x: Tensor | None = None) -> int:
    """Multiply-accumulates for one example, counted in the file itself.

    Convolutions and matrix products are counted, as `measure.macs` does; biases and everything
    that works number by number is not. The file is run, so that every shape is a fact: on the
    examples `x` if there are any (whatever it then needs for them is what they cost on average),
    otherwise on a single one of zeros.
    """
    graph = _graph(file)
    for node in graph.graph.node:
        if node.op_type in _UNCOUNTED.split() or node.domain not in ("", "ai.onnx"):
            raise ValueError(f"the multiplications of {node.op_type} cannot be counted.")
    counted = [node for node in graph.graph.node if node.op_type in _COUNTED]
    names = {name for node in counted for name in (*node.input[:2], *node.output)}
    shapes, examples = _shapes(graph, names, x)
    return math.ceil(sum(_of_one(node, shapes) for node in counted) / examples)


def number_by_number(file: bytes, x: Tensor | None = None) -> int:
    """How many numbers all the other operators go through for one example.

    ReLU, pooling, additions and their like are cheap as long as they are few. But a matrix product
    can be taken apart into multiplications and sums, none of which `macs` sees, and here all of
    them are found: an operator counts what goes in or what comes out, whichever is more. One
    that may do more than that is refused.
    """
    graph = _graph(file)
    others = [node for node in graph.graph.node if node.op_type not in _COUNTED]
    for node in others:
        if node.op_type not in _NUMBER_BY_NUMBER.split() or node.domain not in ("", "ai.onnx"):
            raise ValueError(f"how much work {node.op_type} does cannot be counted.")
    names = {name for node in others for name in (*node.input, *node.output) if name}
    shapes, examples = _shapes(graph, names, x)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    work = (max(sizes[n] for n in (*node.input, *node.output) if n) for node in others)
    return math.ceil(sum(work) / examples)


def _of_one(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    results = math.prod(shapes[node.output[0]])
    left, right = (shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return results * math.prod(right[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return results * (left[0] if transposed else left[-1])


def _shapes(
    graph: onnx.ModelProto, names: set[str], x: Tensor | None
) -> tuple[dict[str, tuple[int, ...]], int]:
    """The shapes of these values when the network runs on `x`, and how many examples that is."""
    (entry,) = graph.graph.input
    if x is None:
        sizes = [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
        kind = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
        given = numpy.zeros((1, *sizes[1:]), kind)
    else:
        given = x.numpy()
    known = {t.name: tuple(t.dims) for t in graph.graph.initializer}
    known[entry.name] = given.shape
    asked = sorted(names - set(known))
    looking = onnx.ModelProto()
    looking.CopyFrom(graph)
    del looking.graph.output[:]
    looking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked)
    values = _run(_session(looking.SerializeToString()), {entry.name: given}) if asked else []
    return known | {n: v.shape for n, v in zip(asked, values, strict=True)}, len(given)


def _graph(file: bytes) -> onnx.ModelProto:
    """What stands in a file that can be run, and in which nothing is hidden."""
    _session(file)
    return onnx.load_model_from_string(file)


def _session(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings would stand on stderr
    try:
        _require_whole(onnx.load_model_from_string(file))
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"ONNX Runtime cannot run this file: {error}") from None


def _require_whole(model: onnx.ModelProto) -> None:
    """One input, and nothing that stands elsewhere: neither numbers nor operators."""
    graph = model.graph
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [*graph.initializer, *(attribute.t for attribute in attributes)]
    if any(map(onnx.external_data_helper.uses_external_data, tensors)):
        raise ValueError("some of its numbers stand in another file.")
    if model.functions or graph.sparse_initializer:
        raise ValueError("it brings operators or sparse numbers of its own.")
    if len(graph.input) != 1:
        raise ValueError(f"it asks for {len(graph.input)} inputs instead of one.")


def _run(session: onnxruntime.InferenceSession, given: dict[str, numpy.ndarray]) -> list:
    try:
        return session.run(None, given)
    except Exception as error:
        raise ValueError(f"the network in this file cannot take these examples: {error}") from None
