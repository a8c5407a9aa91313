"""The settings of a run: what its metrics depend on besides its data, its code and its seeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optlab import custom

# What a seed can vary: initial weights; order of the examples, and with it all that is drawn while
# training, such as dropout; division into training and validation examples; subset of a data set.
VARIABLE = ("weights", "order", "split", "subset")
USUAL = ("weights", "order")
UNLIMITED = 10**9  # epochs of a run that ends by the clock


@dataclass(frozen=True, kw_only=True)
class Settings:
    """A run as the training loop needs it, with everything that it uses of the catalogue.

    Code is named as in `optlab.custom`: ``package.module:name`` or ``path/to/file.py:name``.

    Attributes:
        network_builder: a function of the shape of one example, the number of outputs and
            ``network_options``.
        optimizer_class: a class that takes the parameters and ``arguments``.
        base: of an optimizer that wraps another one: the ``class`` and the ``arguments`` of that.
        no_weight_decay: which weights do not decay (`optlab.training.groups`).
        fused: whether to use PyTorch's fused implementation of the step.
        elementwise: whether the optimizer can step stacked replicates (`optlab.training.stacking`).
        recordable: whether a step can be recorded in a CUDA graph (`optlab.training.graphs`).
        channels_last: whether to use the channels-last memory layout, which speeds up convolutions.
        matrices: whether the network has no convolutions.
        constant: whether the initial weights are the same for every seed.
        scheduler: a function that builds the learning-rate scheduler; None for a constant rate.
        batch_size: examples per step over all ranks; ``full`` is the whole training set.
        precision: float32, float64 or bfloat16 (mixed precision).
        device: cpu, cuda or auto; auto is resolved to one of the others before training.
        evaluate_every: epochs between two evaluations.
        train_loss_examples: the largest number of examples on which the training loss is measured.
        epoch_examples: the number of examples in an epoch; None for the whole training set.
        vary: what a seed varies, some of `VARIABLE`; all else is that of seed 0, or as prepared.
        subset: where seeds vary the subset, its number of examples, validation included.
        subset_validation: the number of validation examples among these.
        packages: the installed packages that its code is from, each with its version.
        sync_batch_norm: whether BatchNorm normalises a batch over all ranks, not each rank's share.
        loss: what steps reduce, a loss of the data set's task or the user's own function of outputs
            and targets; None for the usual one.
        label_smoothing: of the cross entropy in steps; evaluations are without it.
        metrics: what is measured beside the loss; None for the usual of the task.
        clip_norm: the longest gradient, of all parameters together; 0 for any length.
        accumulation: the parts of a batch whose gradients are computed one after the other.
        ema: the decay of the moving average of the weights, which is evaluated; 0 for none.
        augment: how training examples are changed (`optlab.catalogue.augmentations`).
        patience: evaluations without a better validation loss after which a seed stops; 0: never.
        minutes: of the training clock, after which a seed stops; 0: after the epochs.
        timed: whether the training time is compared with that of other world sizes.
        keep_weights: those of the last evaluation (last), or of the one with the lowest validation
            loss (best), which the record then goes with; None keeps none.
    """

    network_builder: str
    optimizer_class: str
    arguments: Mapping[str, Any]
    base: Mapping[str, Any] = field(default_factory=dict)
    no_weight_decay: Sequence[str] = field(default_factory=list)
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
    vary: Sequence[str] = field(default_factory=lambda: list(USUAL))
    subset: int | None = None
    subset_validation: int = 0
    packages: Mapping[str, str] = field(default_factory=dict)
    sync_batch_norm: bool = False
    loss: str | None = None
    label_smoothing: float = 0.0
    metrics: Sequence[str] | None = None
    clip_norm: float = 0
    accumulation: int = 1
    ema: float = 0
    augment: str = "none"
    patience: int = 0
    minutes: float = 0
    timed: bool = False
    keep_weights: str | None = None

    @property
    def specs(self) -> list[str]:
        """The code that the settings name."""
        base = self.base.get("class")
        found = (self.network_builder, self.optimizer_class, base, self.scheduler)
        return [*(spec for spec in found if spec), *custom.own((self.loss, *(self.metrics or ())))]

    @property
    def varies_examples(self) -> bool:
        """Whether seeds train and validate on different examples (`optlab.training.draws`)."""
        return "split" in self.vary or "subset" in self.vary

    def seed_of(self, purpose: str, seed: int) -> int:
        """The seed that is drawn with for a purpose of `VARIABLE`, in the replicate ``seed``."""
        return seed if purpose in self.vary else 0
