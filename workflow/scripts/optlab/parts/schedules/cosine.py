"""The rate falls along half a cosine to the share ``final`` of its highest value."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler


def build(optimizer: Optimizer, steps: int, lr: float, final: float) -> LRScheduler:
    return CosineAnnealingLR(optimizer, steps, final * lr)
