"""The gradients of a batch as the settings of a run ask for them: in parts, and clipped."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from optlab.errors import UserError
from optlab.training import losses, protocol, stacking, stepping
from optlab.training.datasets import Dataset
from optlab.training.losses import Loss
from optlab.training.settings import Settings
from optlab.training.stepping import Gradient
from optlab.training.world import World


def of(
    settings: Settings,
    network: nn.Module,
    data: Dataset,
    named: Mapping[str, Tensor],
    optimizer: Any,
    world: World,
    stacked: bool = False,
) -> Gradient:
    """A function that computes the loss of a batch and leaves its gradients in the parameters.

    Args:
        settings: the run.
        network: of the replicate, as `World.wrap` gives it, or one of those that are stacked.
        data: determines the loss.
        named: the parameters by name.
        optimizer: may compute gradients in its own way.
        world: the ranks that share the batch.
        stacked: whether the parameters are those of several replicates.

    Raises:
        UserError: its way does not go with the settings.
    """
    check(settings, optimizer)
    loss = losses.of(settings, data, smoothed=True)
    if stacked:
        randomness = "different" if "order" in settings.vary else "same"
        gradient = stacking.make_gradient(dict(named), network, loss, randomness)
    elif settings.accumulation > 1:
        gradient = in_parts(network, loss, world, settings.accumulation)
    else:
        own = protocol.backward_of(optimizer)
        gradient = stepping.make_gradient(network, loss, world, own)
    if settings.clip_norm:
        return clipped(gradient, list(named.values()), settings.clip_norm)
    return gradient


def check(settings: Settings, optimizer: Any) -> None:
    """Raise `UserError` where an optimizer computes gradients such that nothing can be done."""
    found, name = protocol.of(type(optimizer)), type(optimizer).__name__
    if settings.accumulation > 1 and (found.backward or found.create_graph):
        raise UserError(f"{name} computes gradients in its own way, which needs accumulation: 1")
    if settings.clip_norm and found.backward == "fused_backward":
        raise UserError(f"{name} steps while it computes gradients, which clip_norm comes between")


def clipped(gradient: Gradient, parameters: Sequence[Tensor], longest: float) -> Gradient:
    """The gradient, scaled to the length ``longest`` over all parameters where it is longer.

    With several ranks it is that of the whole batch, which every rank has, and so is its length.
    """

    def clip(*batch: Any) -> Tensor:
        value = gradient(*batch)
        nn.utils.clip_grad_norm_(parameters, longest)
        return value

    return clip


def in_parts(model: nn.Module, loss: Loss, world: World, parts: int) -> Gradient:
    """The gradient of a batch as the sum of those of its parts, which need less memory at once.

    Args:
        model: the network, which several ranks have wrapped (`World.wrap`).
        loss: of a batch, and of the parts of one.
        world: the ranks; each divides its share of the batch.
        parts: their number; they differ by at most an example.
    """

    def gradient(x: Tensor, y: Tensor, examples: int | None = None) -> Tensor:
        whole = loss.divisor(len(x) if examples is None else examples)
        pieces = list(zip(x.tensor_split(parts), y.tensor_split(parts), strict=True))
        if world.size == 1:  # several ranks have as many each, since BatchNorm may wait for all
            pieces = [piece for piece in pieces if len(piece[0])]
        values = []
        for number, piece in enumerate(pieces, 1):
            # Gradients are averaged over the ranks with the last part.
            wait = getattr(model, "no_sync", nullcontext) if number < len(pieces) else nullcontext
            with wait():
                value = loss.total(model(piece[0]), piece[1]) / whole
                (value * world.size).backward()
            values.append(value.detach())
        return torch.stack(values).sum()

    return gradient
