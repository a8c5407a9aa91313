"""Exercise 3 in other precisions: how long an epoch takes, and what becomes of the accuracy.

By PyTorch's defaults float32 means TF32 in convolutions and float32 in matrix products.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch

from gpu import images, runs
from gpu.day import Day

# Name -> the run's precision, whether convolutions may use TF32, and of matrix products.
PRECISIONS = {
    "float32": ("float32", True, "highest"),
    "float32 without TF32": ("float32", False, "highest"),
    "float32 with TF32": ("float32", True, "high"),
    "bfloat16": ("bfloat16", True, "highest"),
}


def measure(day: Day) -> None:
    data = images.to_time(day)
    day.note("data", data.label)
    first = None
    for name, (precision, convolutions, products) in PRECISIONS.items():
        run = runs.exercise3(day, day.size(3, 1), precision=precision)
        with _tf32(convolutions, products):
            runs.warm(run, data)
            found = day.measure(name, partial(runs.timed, run, data))
        first = first or found
        if found is not first:
            day.note(f"float32 / {name}", runs.ratio(first, found))


@contextmanager
def _tf32(convolutions: bool, products: str) -> Iterator[None]:
    """TF32 where it is asked for."""
    usual = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = convolutions
    torch.set_float32_matmul_precision(products)
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = usual[0]
        torch.set_float32_matmul_precision(usual[1])
