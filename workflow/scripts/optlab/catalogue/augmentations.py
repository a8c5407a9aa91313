"""Augmentations: how training examples are changed at random, and how a study writes that.

Several are joined by a plus sign, each with a number of its own where that is not the usual one:
``flip+crop``, ``crop=2+cutout=8+mixup=0.4``. What each does is in `optlab.training.augmentation`.
"""

from dataclasses import dataclass
from typing import Any

from optlab.catalogue import knobs
from optlab.catalogue.knobs import Rule
from optlab.catalogue.tasks import CLASSIFICATION
from optlab.errors import UserError, allowed, show
from optlab.values import canonical, known
from optlab.values import text as text_of

NONE = "none"


@dataclass(frozen=True)
class Augmentation:
    """An augmentation.

    Attributes:
        words: what it does.
        number: its number where none is written; None if it takes none.
        rule: which numbers it takes.
        images: whether the examples must be images.
    """

    words: str
    number: float | None = None
    rule: Rule | None = None
    images: bool = True


AUGMENTATIONS = {
    "flip": Augmentation("half of the images are mirrored, left to right"),
    "crop": Augmentation("a window of the image with so many black pixels around it", 4,
                         knobs.whole(1, 1000)),
    "cutout": Augmentation("a square with sides of so many pixels is black", 8,
                           knobs.whole(1, 1000)),
    "mixup": Augmentation("means of two examples and of their targets, weighted by a number from "
                          "Beta(a, a)", 0.2,
                          Rule(lambda value: knobs.positive(value) and 0.01 <= value <= 100,
                               "a number from 0.01 to 100"), images=False),
}  # fmt: skip


def text(given: Any) -> str:
    """Augmentations in their one form: each once, in the order of `AUGMENTATIONS`.

    Raises:
        UserError: an unknown one, or a number that it does not take.
    """
    found = parse(given)
    parts = []
    for name, entry in AUGMENTATIONS.items():
        if name in found:
            number = found[name]
            usual = number == entry.number
            parts.append(name if usual else f"{name}={text_of(canonical(number))}")
    return "+".join(parts) or NONE


def refuses(augment: str, shape: tuple[int, ...], task: str) -> str | None:
    """Why examples of this shape and task cannot be augmented so; None where they can."""
    for name, number in parse(augment).items():
        if AUGMENTATIONS[name].images and len(shape) != 3:
            return f"{name} is for images, and an example is {_shaped(shape)}"
        if name == "cutout" and number > min(shape[1:]):
            return f"cutout={text_of(number)} is larger than images of {shape[1]}x{shape[2]} pixels"
        if name == "mixup" and task != CLASSIFICATION:
            return "mixup mixes classes, and the targets are none"
    return None


def _shaped(shape: tuple[int, ...]) -> str:
    return f"a vector of {shape[0]}" if len(shape) == 1 else f"of the shape {list(shape)}"


def parse(given: Any) -> dict[str, Any]:
    """Each augmentation of a text with its number, None where it takes none.

    Raises:
        UserError: an unknown one, or a number that it does not take.
    """
    if not isinstance(given, str):
        raise UserError(f"{show(given)} is not allowed; a text as 'flip+crop'")
    words = [word.strip() for word in given.split("+")]
    if words == [NONE]:
        return {}
    found: dict[str, Any] = {}
    for word in words:
        written, equals, number = word.partition("=")
        name = known(written.strip(), AUGMENTATIONS)
        if name not in AUGMENTATIONS:
            names = allowed(name, [NONE, *AUGMENTATIONS])
            raise UserError(f"unknown augmentation '{name}'; {names}")
        if name in found:
            raise UserError(f"{show(given)} has {name} twice")
        found[name] = _number(name, number) if equals else AUGMENTATIONS[name].number
    return found


def _number(name: str, written: str) -> Any:
    rule = AUGMENTATIONS[name].rule
    if rule is None:
        raise UserError(f"{name} takes no number; write {name}")
    try:
        number = canonical(float(written))
    except ValueError:
        number = written
    if reason := rule.refuses(number):
        raise UserError(f"{name}={written} is not allowed; {reason}")
    return number
