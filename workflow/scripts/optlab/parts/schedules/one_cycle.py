"""The rate rises from the share ``start`` of its highest value, then falls to the share ``final``.

L. Smith, "A disciplined approach to neural network hyper-parameters", 2018.
"""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR


def build(
    optimizer: Optimizer, steps: int, lr: float, warmup: float, start: float, final: float
) -> LRScheduler:
    # PyTorch takes the final rate as a share of the first one. The momentum stays constant.
    ratio = start / final if final else 1e12
    # A rise that ends at the first step has no length, by which PyTorch would divide.
    if warmup * (steps + 1) == 1:
        warmup *= 1 + 1e-9
    return OneCycleLR(
        optimizer,
        lr,
        steps + 1,
        pct_start=warmup,
        div_factor=1 / start,
        final_div_factor=ratio,
        cycle_momentum=False,
    )
