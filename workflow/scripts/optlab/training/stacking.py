"""Replicates of a run stacked on a leading axis, so that one step trains all of them.

Each replicate keeps a network, whose parameters become views of the stack: code that evaluates the
network sees the weights that the joint step has written. An optimizer that is ``elementwise``
steps the stack as it would step each replicate. The kernels of a small network do not fill a GPU,
where many replicates cost little more than one.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from optlab.training.batches import Batches
from optlab.training.losses import Loss
from optlab.training.stepping import Gradient, backward

Parameters = dict[str, Tensor]  # of all networks: name -> [replicates, ...]


def stack(networks: Sequence[nn.Module]) -> Parameters:
    """The stacked parameters of all networks, whose own parameters become views of them."""
    joint, _ = stack_module_state(list(networks))
    for number, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            parameter.data = joint[name].data[number]
    return joint


def make_gradient(
    joint: Parameters, network: nn.Module, loss: Loss, randomness: str = "different"
) -> Gradient:
    """A function that leaves the gradients of one batch per replicate in the stacked parameters.

    It takes inputs and targets [replicates, examples, ...] and returns losses [replicates]. A loss
    that is not a number does not affect the other replicates.

    Args:
        joint: the result of `stack`.
        network: any of the networks; only its structure is used.
        loss: of a batch of one replicate.
        randomness: of dropout between the replicates, ``different`` or ``same``.
    """
    first = next(iter(joint.values()))
    ones = first.new_ones(len(first))

    def value(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss.mean(functional_call(network, weights, (x,)), y)

    values: Callable[..., Tensor] = vmap(value, randomness=randomness)

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        losses = values(joint, x, y)
        backward(losses, ones)
        return losses.detach()

    return gradient


class StackedBatches:
    """The batches of all replicates: inputs and targets [replicates, examples, ...]."""

    def __init__(self, parts: Sequence[Batches]):
        self._parts = parts
        self.size, self.per_epoch = parts[0].size, parts[0].per_epoch

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch from number ``skip`` on, each replicate in its own order."""
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
        """All examples for every replicate, as views of one copy."""
        x, y = self._parts[0].whole[:2]
        count = len(self._parts)
        return x.expand(count, *x.shape), y.expand(count, *y.shape)

    def _gather(self, rows: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of these row numbers [replicates, batches x size], gathered at once."""
        if not rows.numel():
            return
        by_batch = rows.unflatten(1, (-1, size)).transpose(0, 1)
        x, y = self._parts[0].take(by_batch.flatten())
        shape = by_batch.shape
        yield from zip(x.unflatten(0, shape).unbind(), y.unflatten(0, shape).unbind(), strict=True)
