"""What a run takes from the catalogue: the entries of its network, optimizer and schedule."""

from collections.abc import Mapping, Sequence
from typing import Any

from optlab import values
from optlab.catalogue import networks, optimizers, schedules
from optlab.custom import reach


def carried(
    network: str,
    optimizer: str,
    knobs: Mapping[str, Any],
    network_options: Mapping[str, Any] | None = None,
    schedule: str = schedules.CONSTANT,
    own: Sequence[str] = (),
) -> dict[str, Any]:
    """What `Settings` take from the catalogue's entries of these names.

    A run carries it, so that an edit of an entry changes, and so repeats, its own runs. ``own`` is
    other code of the user's that it uses: a loss, metrics.
    """
    entry, net = optimizers.of(optimizer), networks.of(network)
    cls, arguments = _class(optimizer, knobs)
    base = dict(arguments.pop(optimizers.BASE, {}))
    inner = base.pop("optimizer", None)
    undecayed = arguments.pop(optimizers.UNDECAYED, [])
    options = {**net.options, **(network_options or {})}
    scheduler, scheduler_options = schedules.builder(schedule)
    return {
        "network_builder": net.builder,
        "network_options": {name: values.canonical(value) for name, value in options.items()},
        "matrices": net.matrices,
        "constant": net.constant,
        "optimizer_class": cls,
        "arguments": arguments,
        "base": _base(inner, base) if inner else {},
        "no_weight_decay": undecayed,
        "packages": reach.packages(
            [net.builder, cls, *([optimizers.of(inner).cls] if inner else []), *own]
        ),
        "fused": entry.fused,
        "channels_last": entry.channels_last,
        # A network of the user's own may not bear what its optimizer could.
        "elementwise": entry.elementwise and network in networks.NETWORKS,
        "recordable": entry.capturable and network in networks.NETWORKS,
        "scheduler": scheduler,
        "scheduler_options": scheduler_options,
    }


def _class(optimizer: str, knobs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The class of an optimizer, and what it is called with besides the parameters."""
    entry, arguments = optimizers.of(optimizer), _arguments(optimizer, knobs)
    if not entry.decayed:
        return entry.cls, arguments
    return (entry.decayed if arguments["weight_decay"] else entry.cls), {
        name: value for name, value in arguments.items() if name != "weight_decay" or value
    }


def _arguments(optimizer: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """What the class of an optimizer is called with, besides the parameters."""
    found = {**optimizers.complete(optimizer, knobs), **optimizers.of(optimizer).fixed}
    found = {name: values.canonical(value) for name, value in found.items()}
    if "lr" in found:
        found["lr"] = float(found["lr"])
    return found


def _base(optimizer: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The optimizer that another one wraps; without ``lr``, it has the rate of the other."""
    cls, arguments = _class(optimizer, knobs)
    if "lr" not in knobs:
        arguments.pop("lr", None)
    return {"class": cls, "arguments": arguments}
