"""What a run would use an optimizer for, and why some make no sense for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue import networks, schedules


@dataclass(frozen=True)
class Use:
    """What a run would use an optimizer for.

    ``network`` is a name of the catalogue or a spec; ``axes`` are those that are not at their
    default (`optlab.catalogue.axes`).
    """

    network: str
    network_options: Mapping[str, Any]
    batch_size: int | str
    schedule: str = schedules.CONSTANT
    axes: Mapping[str, Any] = field(default_factory=dict)


def muon(use: Use) -> str | None:
    """Why Muon makes no sense for a use."""
    net = networks.of(use.network)
    if not net.hidden or not {**net.options, **use.network_options}.get("hidden", True):
        return f"the network {use.network} has no hidden matrix: Muon would be plain AdamW"
    return None


def rprop(use: Use) -> str | None:
    """Why Rprop makes no sense for a use."""
    if use.schedule != schedules.CONSTANT:
        return "Rprop takes its learning rate at the first step only: a schedule changes nothing"
    return None


def lbfgs(use: Use) -> str | None:
    """Why L-BFGS makes no sense for a use."""
    if use.batch_size != "full":
        return "L-BFGS compares gradients of one and the same loss: it needs batch_size full"
    if {**networks.of(use.network).options, **use.network_options}.get("dropout"):
        return "L-BFGS searches along a line on one and the same loss, which dropout changes"
    if use.schedule != schedules.CONSTANT:
        return "L-BFGS finds the length of each step by a line search: a schedule has no meaning"
    if "clip_norm" in use.axes:
        return "L-BFGS needs the gradients of the loss: clip_norm would change them"
    if "augment" in use.axes:
        return "L-BFGS compares gradients of one and the same loss, which augment changes"
    return None
