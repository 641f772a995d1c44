"""Bytes on disk at 90 % zeros: torch.save, CSR and the bitmask files of `pruning.storage`.

    python benchmarks/storage.py

The smallest 90 % of each layer's weights are zero, in trained networks of the course. Times are
medians of a save and a load.
"""

import datetime
import io
import platform
import statistics
import tempfile
import time
from pathlib import Path

import safetensors
import torch
from torch import nn

from course_utils import data, models, training
from course_utils.measure import prunable_weights, threads
from course_utils.pruning import storage

SPARSITY, REPEATS = 0.9, 9


@torch.no_grad()
def prune(model: nn.Module, by_product: bool) -> nn.Module:
    for weight in prunable_weights(model).values():
        order = weight.abs().flatten().argsort()
        mask = torch.ones(weight.numel(), dtype=torch.bool)
        mask[order[: round(SPARSITY * len(order))]] = False
        mask = mask.view(weight.shape)
        weight.copy_(weight * mask if by_product else weight.masked_fill(~mask, 0))
    return model


def size_of_torch_save(state) -> int:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getbuffer().nbytes


def csr_state(model: nn.Module, index_bytes: int) -> dict:
    """The state dict with its prunable weights as CSR; a convolution as (out, the rest)."""
    state = dict(model.state_dict())
    kind = {4: torch.int32, 8: torch.int64}[index_bytes]
    for name, weight in prunable_weights(model).items():
        csr = weight.detach().flatten(1).to_sparse_csr()
        parts = (csr.crow_indices(), csr.col_indices(), csr.values())
        state[name] = (parts[0].to(kind).clone(), parts[1].to(kind).clone(), parts[2].clone())
    return state


def milliseconds(what) -> float:
    times = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        what()
        times.append((time.perf_counter() - begin) * 1000)
    return statistics.median(times)


def lenet_28() -> nn.Module:
    """LeNet-300-100 as in the papers, for 28 x 28 pixels: enlarged digits, briefly trained."""
    images = data.digits()

    def larger(x):
        return nn.functional.interpolate(x, size=28, mode="bilinear", align_corners=False)

    torch.manual_seed(0)
    model = models.lenet(pixels=28 * 28)
    big = data.Images("digits 28", larger(images.x_train), images.y_train, larger(images.x_val),
                      images.y_val)  # fmt: skip
    training.train(model, big, epochs=4, lr=1e-3, quiet=True)
    return model


def rows(name: str, make) -> list[str]:
    model = prune(make(), by_product=False)
    dense = size_of_torch_save(model.state_dict())
    lines = []

    def row(what, size, times=""):
        lines.append(f"| {name} | {what} | {size:,} | {dense / size:.2f} | {times} |")

    row("torch.save", dense)
    row("CSR, int64 indices", size_of_torch_save(csr_state(model, 8)))
    row("CSR, int32 indices", size_of_torch_save(csr_state(model, 4)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        for by_product in (False, True):
            model = prune(make(), by_product)
            for compress in (False, True):
                saving = milliseconds(lambda c=compress, m=model: storage.save(m, path, c))
                loading = milliseconds(lambda m=model: storage.load(path, m))
                what = "bitmask and values" + (", zlib" if compress else "")
                what += "; zeros by product, half of them negative" if by_product else ""
                row(what, path.stat().st_size, f"{saving:.1f} / {loading:.1f} ms")
    return lines


def main():
    with threads(1):
        trained_28 = lenet_28().state_dict()

        def make_28():
            model = models.lenet(pixels=28 * 28)
            model.load_state_dict({name: tensor.clone() for name, tensor in trained_28.items()})
            return model

        lines = [
            "| network | stored as | bytes | times smaller | save / load |",
            "|---|---|---|---|---|",
            *rows("LeNet-300-100, 8 x 8", lambda: models.load("lenet")),
            *rows("LeNet-300-100, 28 x 28", make_28),
            *rows("CNN 32-64-128", lambda: models.load("cnn")),
            *rows("ResNet-8", lambda: models.load("resnet8")),
        ]
    versions = (
        f"Python {platform.python_version()}, torch {torch.__version__}, "
        f"safetensors {safetensors.__version__}"
    )
    text = (
        "# Bytes on disk at 90 % zeros\n\n"
        f"{datetime.date.today()}, {versions}, {platform.machine()}, one thread. Whole files, "
        "headers, biases and BatchNorm included, against torch.save of the same state.\n\n"
        + "\n".join(lines)
        + "\n"
    )
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
