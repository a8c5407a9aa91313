"""The prepared data set as tensors: what a training process reads, and needs only torch for."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from optlab.errors import DataError

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Examples of one part of a data set.

    x: uint8 [N, C, H, W] or float32 [N, ...], as stored: see Dataset.inputs.
    y: int64 [N] (classes) or float32 [N, ...].
    """

    x: torch.Tensor
    y: torch.Tensor


@dataclass(frozen=True)
class Dataset:
    """A prepared data set. `shape` is that of one example; `scale` brings stored values to [0, 1].

    `task` is "regression" or "classification", `classes` is None for a regression.
    """

    name: str
    label: str
    task: str
    classes: int | None
    shape: tuple[int, ...]
    scale: float
    train: Split
    validation: Split | None
    test: Split | None

    def inputs(self, x_rows: torch.Tensor) -> torch.Tensor:
        """Return stored rows as a network takes them: float32, images scaled to [0, 1]."""
        if x_rows.dtype == torch.uint8:
            return x_rows.to(torch.float32).mul_(self.scale)
        return x_rows


def load(json_path: str | Path, device: str | torch.device = "cpu") -> Dataset:
    """Open the data set that `json_path` describes, with its tensors on the device.

    On a CPU the tensors stay in the file and are read as they are used (memory-mapped), so that
    processes share them; they must not be written to. Raises DataError.
    """
    description = _description(Path(json_path))
    file = Path(json_path).with_suffix(".pt")
    tensors = _tensors(file)
    _check(file, description, tensors)
    if torch.device(device).type != "cpu":
        tensors = {name: tensor.to(device) for name, tensor in tensors.items()}
    splits = {
        part: Split(tensors[f"x_{part}"], tensors[f"y_{part}"])
        for part in PARTS
        if f"x_{part}" in tensors
    }
    return Dataset(
        **{key: description[key] for key in ("name", "label", "task", "classes", "scale")},
        shape=tuple(description["shape"]),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


def _description(file: Path) -> dict[str, Any]:
    try:
        description = json.loads(file.read_text())
        complete = description.keys() >= {
            "name", "label", "task", "classes", "scale", "shape", "sizes"
        }  # fmt: skip
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error
    except (ValueError, AttributeError):
        complete = False
    if not complete:
        raise DataError(f"{file}: not the description of a prepared data set; {_again(file)}")
    return description


def _tensors(file: Path) -> dict[str, torch.Tensor]:
    try:
        return torch.load(str(file), map_location="cpu", mmap=True, weights_only=True)
    except FileNotFoundError as error:
        raise DataError(f"{file}: is missing; {_again(file)}") from error
    except PermissionError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror}") from error
    except (RuntimeError, OSError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{file}: is damaged; {_again(file)}") from error


def _check(file: Path, description: dict[str, Any], tensors: dict[str, torch.Tensor]) -> None:
    """Raise DataError unless the tensors have the sizes, the shape and the type described."""
    shape, classes = description["shape"], description["classes"]
    target = torch.float32 if classes is None else torch.int64
    expected = {part: size for part, size in description["sizes"].items() if size}
    held = set(tensors) if isinstance(tensors, dict) else None
    fits = "train" in expected and held == {
        f"{letter}_{part}" for part in expected for letter in "xy"
    }
    fits = fits and all(
        list(tensors[f"x_{part}"].shape) == [size, *shape]
        and len(tensors[f"y_{part}"]) == size
        and tensors[f"y_{part}"].dtype == target
        for part, size in expected.items()
    )
    if not fits:
        raise DataError(f"{file}: does not fit its description (.json); {_again(file)}")


def _again(file: Path) -> str:
    return f"delete {file.stem}.json and .pt and run the workflow again to make them"
