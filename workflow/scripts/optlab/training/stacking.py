"""Replicates of a run stacked on a leading axis, so that one step trains all of them.

Each replicate keeps a network of its own, whose parameters become views of the stack: what reads
or evaluates that network sees the weights that the joint step has written. An optimizer that is
``elementwise`` steps the stack as it would step each part. On a GPU a small network's kernels are
too short to fill it, and many replicates cost little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from optlab.training.batches import Batches
from optlab.training.datasets import Dataset
from optlab.training.stepping import Gradient, backward, loss_function

Parameters = dict[str, nn.Parameter]  # of all networks: name -> [replicates, ...]


def stack(networks: Sequence[nn.Module]) -> Parameters:
    """The parameters of all networks, each of them from now on a view of what is stepped."""
    parts = [dict(network.named_parameters()) for network in networks]
    joint: Parameters = {}
    for name in parts[0]:
        joint[name] = nn.Parameter(torch.stack([part[name].detach() for part in parts]))
        for number, part in enumerate(parts):
            part[name].data = joint[name].data[number]
    return joint


def make_gradient(joint: Parameters, network: nn.Module, data: Dataset) -> Gradient:
    """A function that leaves the gradients of one batch a replicate in the stacked parameters.

    It takes inputs and targets with the replicates on the first axis and returns a loss for each.
    A loss that is no number stays within its replicate.

    Args:
        joint: what `stack` made.
        network: any of the networks, for what it does with its parameters.
        data: says which loss it is.
    """
    first = next(iter(joint.values()))
    ones = torch.ones(len(first), device=first.device, dtype=first.dtype)
    loss = loss_function(data)

    def value(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(network, weights, (x,)), y)

    values: Callable[..., Tensor] = vmap(value, randomness="different")

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        losses = values(joint, x, y)
        backward(losses, ones)
        return losses.detach()

    return gradient


class StackedBatches:
    """The batches of all replicates, each batch [replicates, examples, ...]."""

    def __init__(self, parts: Sequence[Batches]):
        self._parts = parts
        self.size, self.per_epoch = parts[0].size, parts[0].per_epoch

    def prepare(self) -> None:
        """Make now what is made only once, so that no clock sees it: once for all replicates."""
        self._parts[0].prepare()

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of one epoch from batch ``skip`` on, each replicate in its own order."""
        if self._parts[0].is_full:
            yield self._whole
            return
        orders = torch.stack([part.order(epoch) for part in self._parts])[:, skip * self.size :]
        batches = max(1, self._parts[0].block_size // self.size // len(self._parts))
        for rows in orders.split(batches * self.size, dim=1):
            even = rows.shape[1] // self.size * self.size
            yield from self._gather(rows[:, :even], self.size)
            yield from self._gather(rows[:, even:], rows.shape[1] - even)

    @cached_property
    def _whole(self) -> tuple[Tensor, Tensor]:
        """All examples, the same for all replicates: one tensor that only looks like many."""
        x, y = self._parts[0].whole[:2]
        count = len(self._parts)
        return x.expand(count, *x.shape), y.expand(count, *y.shape)

    def _gather(self, rows: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of these rows [replicates, batches x size], gathered at once."""
        if not rows.numel():
            return
        by_batch = rows.unflatten(1, (-1, size)).transpose(0, 1)
        x, y = self._parts[0].take(by_batch.flatten())
        shape = by_batch.shape
        yield from zip(x.unflatten(0, shape).unbind(), y.unflatten(0, shape).unbind(), strict=True)
