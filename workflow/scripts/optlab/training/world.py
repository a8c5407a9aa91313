"""The processes that train a run together, as the training loop sees them.

A run of one process has the world `ALONE`, in which every operation here does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class World:
    """The processes of one run, seen from one of them.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes, the world size.
        local_rank: number of this process on its machine, which is that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    def share(self, rows: Tensor) -> Tensor:
        """This rank's part of rows that are divided among all ranks; sizes differ by at most 1."""
        low, high = (len(rows) * rank // self.size for rank in (self.rank, self.rank + 1))
        return rows[low:high]

    def wrap(self, model: nn.Module, unused: bool = False) -> nn.Module:
        """The model, its gradients averaged over all ranks at the end of each backward pass.

        ``unused``: whether it may have parameters that a loss does not depend on.
        """
        if self.size == 1:
            return model
        from torch.nn.parallel import DistributedDataParallel

        return DistributedDataParallel(model, find_unused_parameters=unused)

    def broadcast(self, values: Iterable[Tensor]) -> None:
        """Give every rank the values of rank 0, in place."""
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
        """The value of each rank, in their order; every rank gets the list."""
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
