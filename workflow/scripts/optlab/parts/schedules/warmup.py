"""The rate rises linearly over a share of the run, then stays."""

from __future__ import annotations

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler


def build(optimizer: Optimizer, steps: int, lr: float, warmup: float) -> LRScheduler:
    rise = max(1, round(warmup * steps))
    # The first step already has a rate above 0; step number rise + 1 has the highest.
    return LinearLR(optimizer, 1 / (rise + 1), 1.0, rise)
