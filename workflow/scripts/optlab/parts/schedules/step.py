"""The rate is multiplied by ``gamma`` a number of times (``drops``), evenly over the run."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, StepLR


def build(optimizer: Optimizer, steps: int, lr: float, drops: float, gamma: float) -> LRScheduler:
    every = max(1, math.ceil(steps / (drops + 1)))
    if (steps - 1) // every >= drops:
        return StepLR(optimizer, every, gamma)
    # Stretches of equal length would end before the last drop: some are a step shorter.
    parts = int(drops) + 1
    return MultiStepLR(optimizer, [-(-n * steps // parts) for n in range(1, parts)], gamma)
