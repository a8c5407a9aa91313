"""The process group of a run, as the training loop sees it.

A run of one process has the world `ALONE`, in which every operation here does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """The processes that train a run together, seen from the one with this ``rank``.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    def share(self, rows: Tensor) -> Tensor:
        """This rank's part of rows that are divided among all ranks; sizes differ by at most 1."""
        low, high = (len(rows) * rank // self.size for rank in (self.rank, self.rank + 1))
        return rows[low:high]

    def wrap(self, model: nn.Module, unused: bool) -> nn.Module:
        """The model with gradients that are averaged over all ranks in each backward pass.

        ``unused``: whether the model may have parameters that the loss does not depend on.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model, find_unused_parameters=unused)

    def broadcast(self, values: Iterable[Tensor]) -> None:
        """Overwrite the values of every rank with those of rank 0."""
        if self.size > 1:
            import torch.distributed

            for value in values:
                torch.distributed.broadcast(value, 0)

    def sum(self, values: Tensor) -> Tensor:
        """The sum of a tensor over all ranks, in place."""
        if self.size > 1:
            import torch.distributed

            torch.distributed.all_reduce(values)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank; every rank gets the list."""
        if self.size == 1:
            return [value]
        import torch.distributed

        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def follow(self, value: Any) -> Any:
        """The value of rank 0, on every rank."""
        return self.gather(value)[0]


ALONE = World()


class Question:
    """A question that comes up before every step and that all ranks answer as rank 0 does.

    Asking it costs time, so they do so about every ``pause`` seconds: after a number of steps that
    follows from their pace.
    """

    def __init__(self, world: World, pause: float):
        self._world, self._pause = world, pause
        self._asked, self._steps, self._left = time.monotonic(), 1, 1

    def asked(self, answer: Callable[[], bool]) -> bool:
        """What ``answer`` gives on rank 0; False at steps at which several ranks do not ask."""
        if self._world.size == 1:
            return answer()
        self._left -= 1
        if self._left:
            return False
        now = time.monotonic()
        pace = (now - self._asked) / self._steps
        steps = max(1, min(2 * self._steps, int(self._pause / max(pace, 1e-9))))
        said, self._steps = self._world.follow((answer(), steps))
        self._asked, self._left = now, self._steps
        return said
