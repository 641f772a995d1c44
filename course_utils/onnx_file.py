"""Networks as ONNX files: written, run by ONNX Runtime, and counted.

ONNX is what other programs read. A file holds the network's arithmetic and its numbers and no
Python, so it shows what is left of a pruned network once PyTorch is out of the picture.
"""

import io
import logging
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
_UNCOUNTED = {"Loop", "If", "Scan", "Einsum", "ConvTranspose", "LSTM", "GRU", "RNN", "Attention"}


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
        return torch.from_numpy(session.run(None, {entry.name: x.numpy()})[0])

    return run


def predict(file: bytes, x: Tensor) -> Tensor:
    """What the network in the file answers."""
    return runner(file)(x)


def macs(file: bytes) -> int:
    """Multiply-accumulates for one example, counted in the file itself.

    Convolutions and matrix products are counted, as `measure.macs` does; biases and everything
    that works number by number is not. The file is run once, so that every shape is a fact.
    """
    _session(file)  # that it can be run at all
    graph = onnx.load_model_from_string(file)
    for node in graph.graph.node:
        if node.op_type in _UNCOUNTED or node.domain not in ("", "ai.onnx"):
            raise ValueError(f"the multiplications of {node.op_type} cannot be counted.")
    counted = [node for node in graph.graph.node if node.op_type in _COUNTED]
    shapes = _shapes(graph, {name for node in counted for name in (*node.input[:2], *node.output)})
    return sum(_of_one(node, shapes) for node in counted)


def _of_one(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    results = numpy.prod(shapes[node.output[0]], dtype=int)
    left, right = (shapes[name] for name in node.input[:2])
    if node.op_type == "Conv":
        return int(results * numpy.prod(right[1:], dtype=int))
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return int(results * (left[0] if transposed else left[-1]))


def _shapes(graph: onnx.ModelProto, names: set[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of these values when the network runs on one example."""
    (entry,) = graph.graph.input
    sizes = [dimension.dim_value for dimension in entry.type.tensor_type.shape.dim]
    kind = onnx.helper.tensor_dtype_to_np_dtype(entry.type.tensor_type.elem_type)
    known = {t.name: tuple(t.dims) for t in graph.graph.initializer}
    known[entry.name] = (1, *sizes[1:])
    asked = sorted(names - set(known))
    looking = onnx.ModelProto()
    looking.CopyFrom(graph)
    del looking.graph.output[:]
    looking.graph.output.extend(onnx.ValueInfoProto(name=name) for name in asked)
    values = _session(looking.SerializeToString()).run(
        None, {entry.name: numpy.zeros(known[entry.name], kind)}
    )
    return known | {name: value.shape for name, value in zip(asked, values, strict=True)}


def _session(file: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # its warnings would stand on stderr
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ValueError(f"ONNX Runtime cannot run this file: {error}") from None
