"""The rate rises linearly over the share ``warmup`` of the run, then stays constant."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler


def build(optimizer: Optimizer, steps: int, lr: float, warmup: float) -> LRScheduler:
    rise = max(1, min(round(warmup * steps), steps - 1))  # the highest rate is reached
    # The rate of the first step is above 0; that of step rise + 1 is the highest.
    return LinearLR(optimizer, 1 / (rise + 1), 1.0, rise)
