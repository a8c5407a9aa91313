"""Replicates of a run stacked on a leading axis, so that one step trains all of them.

Each replicate keeps a network of its own, whose parameters become views of the stack: what reads
or evaluates that network sees the weights that the joint step has written. An optimizer that is
``elementwise`` steps the stack as it would step each part. On a GPU a small network's kernels are
too short to fill it, and many replicates cost little more than one; on a CPU nothing is gained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from optlab import models, optimizers
from optlab.datasets import Dataset
from optlab.stepping import Gradient, backward, loss_function

MATRIX_NETWORKS = ("linear", "softmax", "mlp")


def stackable(network: str, optimizer: str) -> bool:
    """Whether replicates of such a run may be stacked."""
    entry = optimizers.OPTIMIZERS.get(optimizer)
    assert set(MATRIX_NETWORKS) <= set(models.NETWORKS)
    return network in MATRIX_NETWORKS and entry is not None and entry.elementwise


def stack(networks: Sequence[nn.Module]) -> nn.Module:
    """The parameters of all networks, each of them from now on a view of what is stepped."""
    names = [name for name, _ in networks[0].named_parameters()]
    parts = [dict(network.named_parameters()) for network in networks]
    joint = nn.Module()
    for name in names:
        whole = nn.Parameter(torch.stack([part[name].detach() for part in parts]))
        joint.register_parameter(name.replace(".", "/"), whole)
        for number, part in enumerate(parts):
            part[name].data = whole.data[number]
    return joint


def make_gradient(joint: nn.Module, network: nn.Module, data: Dataset) -> Gradient:
    """A function that leaves the gradients of one batch a replicate in the stacked parameters.

    It takes inputs and targets with the replicates on the first axis and returns a loss for each.
    A loss that is no number stays within its replicate.
    """
    parameters = {name.replace("/", "."): whole for name, whole in joint.named_parameters()}
    first = next(iter(parameters.values()))
    ones = torch.ones(len(first), device=first.device, dtype=first.dtype)
    loss = loss_function(data)

    def value(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return loss(functional_call(network, weights, (x,)), y)

    values: Callable[..., Tensor] = vmap(value, randomness="different")

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        losses = values(parameters, x, y)
        backward(losses, ones)
        return losses.detach()

    return gradient
