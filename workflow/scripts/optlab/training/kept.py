"""The weights that a run keeps (`Settings.keep_weights`), and a network that has them again."""

import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn

from optlab.errors import UserError
from optlab.training.datasets import Dataset


class Kept(NamedTuple):
    """Weights of one evaluation.

    Attributes:
        epoch: after which they were measured.
        weights: the network's ``state_dict``.
    """

    epoch: int
    weights: Mapping[str, Any]


def check(model: nn.Module, data: Dataset, keep: str, name: str) -> None:
    """Raise `UserError`, before hours of work, if these weights could not be kept or read back.

    Args:
        keep: last or best.
        name: of the network, for the error.
    """
    if keep == "best" and data.validation is None:
        words = f"best needs validation examples, of which {data.name} has none; use last"
        raise UserError(f"keep_weights: {words}")
    try:
        torch.load(io.BytesIO(content(model.state_dict())), weights_only=True)
    except Exception as error:  # of what a network of the user's own puts into it
        words = "holds what torch.load(weights_only=True) does not read: keep_weights: none"
        raise UserError(f"the state_dict of {name} {words}") from error


def content(weights: Mapping[str, Any]) -> bytes:
    """Weights as a file that ``torch.load(weights_only=True)`` reads, for any device."""
    moved = {name: one.cpu() if isinstance(one, torch.Tensor) else one
             for name, one in weights.items()}  # fmt: skip
    stream = io.BytesIO()
    torch.save(moved, stream)
    return stream.getvalue()
