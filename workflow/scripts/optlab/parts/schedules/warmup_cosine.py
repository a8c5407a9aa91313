"""The rate rises linearly over the share ``warmup`` of the run, then falls along half a cosine."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR


def build(optimizer: Optimizer, steps: int, lr: float, warmup: float, final: float) -> LRScheduler:
    rise = max(1, min(round(warmup * steps), steps - 1))  # the highest rate is reached
    # As in `warmup`, the rate of the first step is above 0.
    first = LinearLR(optimizer, 1 / (rise + 1), 1.0, rise)
    rest = CosineAnnealingLR(optimizer, max(1, steps - rise), final * lr)
    return SequentialLR(optimizer, [first, rest], [rise])
