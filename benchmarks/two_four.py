"""2:4 and CSR on a GPU: are the zeros skipped, and what is won?

A square linear layer loses the smaller two of every four weights, and is run as a dense half
precision layer and as a semi-structured one, whose zeros the sparse tensor cores skip. The same
layer with 90 % scattered zeros is run dense and as CSR, in single precision. The two of a
comparison take turns. Needs a GPU with sparse tensor cores (compute capability 8.0 or higher).

    python benchmarks/two_four.py            print the table
    python benchmarks/two_four.py --record   and keep it in benchmarks/two_four.md
"""

import argparse
import datetime
import platform
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from course_utils.measure import latency, speedup
from course_utils.pruning.masks import keep_local, keep_nm

SIZES = (1024, 4096, 8192)
BATCHES = (64, 1024)
WARMUP, REPEATS = 20, 200
RECORD = Path(__file__).with_suffix(".md")


class Times(nn.Module):
    """Inputs, one a row, times a matrix that may be sparse."""

    def __init__(self, matrix: Tensor):
        super().__init__()
        self.matrix = matrix

    def forward(self, x: Tensor) -> Tensor:
        return (self.matrix @ x.T).T


def linear(weight: Tensor) -> nn.Module:
    layer = nn.Linear(*weight.shape[::-1], bias=False, device=weight.device, dtype=weight.dtype)
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def two_four(weight: Tensor) -> tuple[nn.Module, nn.Module]:
    mask = keep_nm({"weight": weight.abs().cpu()})["weight"].to(weight.device)
    half = (weight * mask).half()
    return linear(half), linear(to_sparse_semi_structured(half))


def scattered(weight: Tensor) -> tuple[nn.Module, nn.Module]:
    mask = keep_local({"weight": weight.abs().cpu()}, 0.9)["weight"].to(weight.device)
    zeroed = weight * mask
    return Times(zeroed), Times(zeroed.to_sparse_csr())


def rows(size: int, batch: int) -> list[str]:
    torch.manual_seed(0)
    weight = torch.randn(size, size, device="cuda") / size**0.5
    x = torch.randn(batch, size, device="cuda")
    lines = []
    for name, make, images in (
        ("2:4, half precision", two_four, x.half()),
        ("90 % scattered, CSR, single precision", scattered, x),
    ):
        dense, sparse = make(weight)
        with torch.no_grad():
            torch.testing.assert_close(dense(images), sparse(images), rtol=2e-2, atol=2e-2)
        times, spread = speedup(dense, sparse, images, WARMUP, REPEATS)
        before, _ = latency(dense, images, WARMUP, REPEATS)
        lines.append(f"| {size} | {batch} | {name} | {before:.3f} | {times:.2f}x | {spread:.2f} |")
    return lines


def report() -> str:
    lines = [row for size in SIZES for batch in BATCHES for row in rows(size, batch)]
    table = "\n".join(
        [
            "| layer | rows at once | zeros | ms dense | as fast | quartile range |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    return (
        "# 2:4 and CSR against dense on a GPU\n\n"
        "Square linear layers without bias; `as fast` is the dense layer's time over the sparse "
        f"one's, the median of {REPEATS} passes that take turns. Made by `benchmarks/two_four.py "
        "--record`.\n\n"
        f"{datetime.date.today()}, {torch.cuda.get_device_name()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}.\n\n"
        f"{table}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true", help="keep the table beside this script")
    record = parser.parse_args().record
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        parser.exit(1, "There is no GPU here that knows 2:4, so there is nothing to measure.\n")
    text = report()
    print(text)
    if record:
        RECORD.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
