"""Axes of a grid beside data, network, optimizer and its knobs: what else a training may vary.

Each has a key in an exercise, a list of values that multiplies the grid; a field of `Run` with its
name; and an option of ``train.py``. At its default an axis changes nothing: the path, the tables
and the figures of a run name it only where it is at another value.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optlab.catalogue import augmentations, knobs, schedules
from optlab.catalogue.knobs import Rule
from optlab.errors import UserError, show


@dataclass(frozen=True)
class Axis:
    """An axis of the grid.

    Attributes:
        default: the value with which a run is as without the axis.
        values: which values it takes; or a module whose ``text`` gives a value in its one form, and
            raises `UserError` for one that it does not take.
        words: what it is, for ``train.py --help``.
        key: its key in an exercise, where that is not its name.
        alone: why one step cannot train several replicates with it; empty where it can.
    """

    default: Any
    values: Any
    words: str
    key: str = ""
    alone: str = ""

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers, not texts."""
        return isinstance(self.values, Rule)

    def form(self, value: Any) -> Any:
        """The value in its one form.

        Raises:
            UserError: it is not allowed; the message says what is.
        """
        if not self.is_number:
            return self.values.text(value)
        if reason := self.values.refuses(value):
            raise UserError(f"{show(value)} is not allowed; {reason}")
        return value

    def refuses(self, value: Any) -> str | None:
        """What would be right instead of ``value``, if it is not allowed."""
        if self.is_number:
            return self.values.refuses(value)
        try:
            self.values.text(value)
        except UserError as error:
            return str(error)
        return None


AXES: dict[str, Axis] = {
    "schedule": Axis(
        schedules.CONSTANT,
        schedules,
        "of the learning rate, as cosine or warmup_cosine,warmup=0.2",
        key="schedules",
    ),
    "clip_norm": Axis(
        0,
        knobs.KNOBS["lr"],
        "longest gradient, of all parameters together; a longer one is scaled to it; 0: any",
        alone="the gradient of each replicate is clipped by its own length",
    ),
    "accumulation": Axis(
        1,
        knobs.whole(1, 1_000_000),
        "parts of a batch whose gradients are computed one after the other, and added",
        alone="a batch in parts is to save memory",
    ),
    "ema": Axis(
        0,
        knobs.FRACTION,
        "decay of the moving average of the weights that is evaluated; 0: the weights themselves",
        alone="the weights that are evaluated are not those that are trained",
    ),
    "label_smoothing": Axis(
        0,
        knobs.FRACTION,
        "share of the cross entropy of a step that is to all classes alike",
    ),
    "augment": Axis(
        augmentations.NONE,
        augmentations,
        "of training images, as flip+crop or flip+crop=2+cutout=8+mixup=0.2",
        alone="each replicate changes its examples in its own way",
    ),
    "patience": Axis(
        0,
        knobs.whole(0, 1_000_000_000),
        "evaluations without a better validation loss after which a seed stops; 0: never",
        alone="each replicate stops at its own time",
    ),
    "minutes": Axis(
        0,
        Rule(lambda value: knobs.positive(value) and value <= 1_000_000,
             "a number above 0, at most 1000000"),
        "of training of each seed, in place of --epochs",
        alone="the clock of each replicate is its own",
    ),
}  # fmt: skip


def key(name: str) -> str:
    """The key of an axis in an exercise."""
    return AXES[name].key or name


def given(exercise: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The axes that an exercise has, with their values."""
    return {name: exercise[key(name)] for name in AXES if key(name) in exercise}


def changed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The axes among some settings that are not at their default."""
    return {
        name: settings[name]
        for name, axis in AXES.items()
        if name in settings and settings[name] != axis.default
    }
