"""What the figures of a run depend on, besides its data, its code and its seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run as the training loop takes it, with all that it uses of the catalogue.

    Code is named as `optlab.custom` does, ``package.module:name`` or ``path/to/file.py:name``.

    Attributes:
        network_builder: called with the shape of an example, the number of outputs and
            ``network_options``.
        optimizer_class: called with the parameters and ``arguments``.
        fused: whether PyTorch's fused step is taken.
        elementwise: whether the optimizer may step stacked replicates (`optlab.training.stacking`).
        recordable: whether a step may be recorded in a CUDA graph (`optlab.training.graphs`).
        channels_last: whether weights are laid out channels last, which speeds up convolutions.
        matrices: whether the network has no convolutions.
        constant: whether its initial weights are the same for every seed.
        scheduler: builds the scheduler of the learning rate; None for a constant rate.
        batch_size: examples of a step, over all processes; ``full`` is the whole training set.
        precision: float32, float64 or bfloat16 (mixed).
        device: cpu, cuda or auto; resolved to one of the first two before training.
        evaluate_every: epochs between two evaluations.
        train_loss_examples: the training loss is measured on at most this many examples.
        epoch_examples: an epoch takes only this many examples of its order; None takes all.
        timed: whether its clock is compared with that of other numbers of processes.
    """

    network_builder: str
    optimizer_class: str
    arguments: Mapping[str, Any]
    network_options: Mapping[str, Any] = field(default_factory=dict)
    fused: bool = False
    elementwise: bool = False
    recordable: bool = False
    channels_last: bool = True
    matrices: bool = False
    constant: bool = False
    scheduler: str | None = None
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int | str = 100
    epochs: int = 10
    precision: str = "float32"
    device: str = "cpu"
    evaluate_every: int = 1
    train_loss_examples: int = 10_000
    epoch_examples: int | None = None
    timed: bool = False

    @property
    def specs(self) -> list[str]:
        """The code that it names."""
        return [s for s in (self.network_builder, self.optimizer_class, self.scheduler) if s]
