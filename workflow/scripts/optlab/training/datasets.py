"""A prepared data set as tensors. Reading one needs PyTorch, but none of what preparing needs."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optlab import files
from optlab.catalogue.datasets import SOURCES
from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.errors import DamagedError, DataError

PARTS = ("train", "validation", "test")
_FACTS = ("name", "label", "task", "classes", "scale")  # of the description, kept as they are


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        x: inputs as stored, uint8 [N, C, H, W], float32 [N, ...], or of a text the numbers of
            its symbols [N, T].
        y: targets, int64 [N] (classes), float32 [N, ...], or the symbols that follow, [N, T].
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Dataset:
    """A prepared data set.

    Attributes:
        name: name in the study.
        label: name in figures.
        task: one of `optlab.catalogue.tasks`.
        classes: number of classes or symbols; None for a regression.
        shape: shape of one example.
        scale: factor that brings stored images to [0, 1].
        train, validation, test: the parts; the last two may be missing.
        loss: the usual loss of its source; None for that of its task.
        normal: mean and deviation of the inputs, of each channel or column, if they are normalised.
        own_validation: the validation set was not drawn from the training set.
    """

    name: str
    label: str
    task: str
    classes: int | None
    shape: tuple[int, ...]
    scale: float
    train: Split
    validation: Split | None = None
    test: Split | None = None
    loss: str | None = None
    own_validation: bool = False
    normal: tuple[Tensor, Tensor] | None = None

    def inputs(self, x: Tensor) -> Tensor:
        """Stored inputs as float32, images scaled to [0, 1], or normalised."""
        found = x.to(torch.float32).mul_(self.scale) if x.dtype == torch.uint8 else x
        if self.normal is None:
            return found
        mean, deviation = self.normal
        return (found - mean).div_(deviation)

    def examples(self, x: Tensor, y: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Stored inputs and targets as a network with weights of ``dtype`` takes them."""
        if self.task == NEXT_TOKEN:
            return x.long(), y.long()
        return self.inputs(x).to(dtype), y.to(dtype) if y.is_floating_point() else y


def load(json_path: str | Path, device: str = "cpu") -> Dataset:
    """Open the data set that the file ``json_path`` describes, with its tensors on the device.

    On a CPU the tensors are memory-mapped, so that processes share them. They must not be written
    to.

    Raises:
        DataError: a file is missing or unreadable.
        DamagedError: a file is not what was written.
    """
    description = described(Path(json_path))
    file = Path(json_path).with_suffix(".pt")
    tensors = _tensors(file)
    try:
        fits = _fits(description, tensors)
    except (TypeError, ValueError, AttributeError):  # of a damaged description
        fits = False
    if not (fits and _intact(file, description, tensors)):
        raise DamagedError(f"{file}: damaged: not the tensors that its .json describes", [file])
    return of(description, tensors, device)


def of(description: Mapping[str, Any], tensors: Mapping[str, Tensor], device: str) -> Dataset:
    """The data set of a description and the tensors ``x_train``, ``y_train`` and so on."""
    splits: dict[str, Any] = {
        part: Split(tensors[f"x_{part}"].to(device), tensors[f"y_{part}"].to(device))
        for part in PARTS
        if f"x_{part}" in tensors
    }
    facts = {key: description[key] for key in _FACTS}
    source = SOURCES.get(description.get("source", ""))
    loss = source.loss if source else None
    own = bool(description.get("validation_of_its_own"))
    shape = tuple(description["shape"])
    normal = _normal(description.get("normalize"), len(shape), device)
    more: dict[str, Any] = {"loss": loss, "own_validation": own, "normal": normal}
    return Dataset(**facts, shape=shape, **more, **splits)


def _normal(said: Mapping[str, Any] | None, axes: int, device: str) -> tuple[Tensor, Tensor] | None:
    """Mean and deviation [channels, 1, ...] of a data set whose inputs are normalised."""
    if not said:
        return None
    mean, deviation = (torch.tensor(said[key], device=device) for key in ("mean", "deviation"))
    shape = (-1, *[1] * (axes - 1))
    return mean.view(shape), deviation.view(shape)


def described(file: Path) -> dict[str, Any]:
    """The description of a prepared data set; for its errors see `load`."""
    try:
        description = files.read_sealed(file)
        complete = description.keys() >= {*_FACTS, "shape", "sizes"}
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, TypeError, AttributeError):
        complete = False
    if not complete:
        raise DamagedError(f"{file}: damaged: not the description of a prepared data set", [file])
    return description


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return torch.load(str(file), map_location="cpu", mmap=True, weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{file}: is missing; run the workflow again to make it") from error
    except PermissionError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    except Exception as error:  # PyTorch raises many kinds for a file that it cannot read
        raise DamagedError(f"{file}: damaged", [file]) from error


def _fits(description: dict[str, Any], tensors: dict[str, Tensor]) -> bool:
    """Whether the tensors have the sizes, the shape and the type of the description."""
    shape, classes = description["shape"], description["classes"]
    target = [torch.float32 if classes is None else torch.int64]
    if description["task"] == NEXT_TOKEN:
        target = [torch.uint8, torch.int16, torch.int32]
    sizes = {part: size for part, size in description["sizes"].items() if size}
    names = {f"{letter}_{part}" for part in sizes for letter in "xy"}
    if "train" not in sizes or not isinstance(tensors, dict) or tensors.keys() != names:
        return False
    return all(
        list(tensors[f"x_{part}"].shape) == [size, *shape]
        and len(tensors[f"y_{part}"]) == size
        and tensors[f"y_{part}"].dtype in target
        for part, size in sizes.items()
    )


def _intact(file: Path, description: dict[str, Any], tensors: dict[str, Tensor]) -> bool:
    """Whether the tensors have the hash that the description gives.

    A hash of all examples takes longer than a short run. So it is compared once for each state of
    the file, which a note beside it names.
    """
    found = file.stat()
    state = f"{found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
    note = file.with_suffix(".checked")
    try:
        if note.read_text() == state:
            return True
    except (OSError, ValueError):
        pass
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    if files.arrays_hash(arrays) != description.get("sha256"):
        return False
    with suppress(OSError):  # the folder may be read-only
        files.write(note, state, durable=False)
    return True
