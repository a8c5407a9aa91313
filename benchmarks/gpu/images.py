"""The images that the parts train on."""

import os
from dataclasses import replace
from pathlib import Path

import torch

from gpu.day import Day, Skip
from optlab.catalogue.datasets import Definition, built_in
from optlab.data import prepare
from optlab.data.archives import FOLDERS
from optlab.training.datasets import Dataset, Split, load

FEW = 50  # examples of a part in a rehearsal
VARIABLE = "OPTLAB_ARCHIVES"
ONE = "train-images-idx3-ubyte.gz"


def mnist(day: Day) -> Dataset:
    """MNIST on the device, prepared once a day; in a rehearsal a small part of it.

    Raises:
        Skip: there are no archives: nothing is downloaded.
    """
    few = {"subset": 4 * FEW, "validation": FEW} if day.rehearsal else {}
    return _prepared(day, "mnist", {**built_in("mnist"), **few}, archives())


def archives() -> str:
    """The folder of MNIST's archives, in torchvision's layout."""
    folder = os.environ.get(VARIABLE, "")
    if not folder:
        raise Skip(f"needs MNIST: {VARIABLE} names no folder that holds {FOLDERS['MNIST']}/*.gz")
    if not any(Path(folder, below, ONE).is_file() for below in (FOLDERS["MNIST"], "")):
        raise Skip(f"needs MNIST: {folder} ({VARIABLE}) holds no {FOLDERS['MNIST']}/{ONE}")
    return folder


def to_learn(day: Day) -> Dataset:
    """MNIST; in a rehearsal without archives scikit-learn's digits."""
    try:
        return mnist(day)
    except Skip:
        if not day.rehearsal:
            raise
        return _prepared(day, "digits", built_in("digits"), None)


def to_time(day: Day) -> Dataset:
    """MNIST, or without archives random images of its size, which take as long."""
    try:
        return mnist(day)
    except Skip as skip:
        print(f"random images: {skip}", flush=True)
        return random(day)


def random(day: Day) -> Dataset:
    """Random images of MNIST's size, in its numbers."""
    generator = torch.Generator().manual_seed(0)

    def split(examples: int) -> Split:
        shape = (examples, 1, 28, 28)
        x = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        y = torch.randint(0, 10, shape[:1], generator=generator)
        return Split(x.to(day.device), y.to(day.device))

    few = day.size(10_000, FEW)
    parts = split(day.size(50_000, 3 * FEW)), split(few), split(few)
    return Dataset("random", "random", "classification", 10, (1, 28, 28), 1 / 255, *parts)


def _prepared(day: Day, name: str, definition: Definition, folder: str | None) -> Dataset:
    path = day.folder / f"{name}.json"
    if not path.exists():
        prepare.prepare(name, definition, path, folder)
    data = load(path, day.device)
    if not day.rehearsal or data.test is None:
        return data
    return replace(data, test=Split(data.test.x[:FEW], data.test.y[:FEW]))
