"""The rate is multiplied by ``gamma`` a number of times (``drops``), evenly over the run."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, StepLR


def build(optimizer: Optimizer, steps: int, lr: float, drops: float, gamma: float) -> LRScheduler:
    every = max(1, math.ceil(steps / (drops + 1)))
    return StepLR(optimizer, every, gamma)
