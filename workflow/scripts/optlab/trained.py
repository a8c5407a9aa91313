"""Networks with the weights that a run kept (`keep_weights`), for a notebook or a program.

    from optlab import trained
    net = trained.load("results/default/runs/softmax/adam/mnist+softmax/lr=0.001/…")
    net.predict(images)     classes, or values of a regression in their own units
    net(images)             the network's outputs, such as logits
    net.model               the torch.nn.Module, in evaluation mode

Call it where Snakemake is called. Inputs are as the data set's source has them: images of bytes,
rows of a table in their own units.
"""

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.errors import DamagedError, UserError
from optlab.runs import record, weights
from optlab.study.run import Run
from optlab.training import datasets, networks, precision
from optlab.training.datasets import Dataset

BLOCK = 1000  # examples of one forward pass


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        model: the network in evaluation mode.
        run: its settings.
        seed: the replicate.
        epoch: after which it had these weights.
        data: the data set's description, without examples.
        standard: by x and y, mean and deviation of each column that was standardised.
    """

    model: nn.Module
    run: Run
    seed: int
    epoch: int
    data: Dataset
    standard: Mapping[str, Mapping[str, list[float]]] = field(default_factory=dict)

    def inputs(self, x: Any) -> Tensor:
        """Inputs of the source [N, ...] as the network takes them."""
        found = x if isinstance(x, Tensor) else torch.from_numpy(np.array(x))
        if "x" in self.standard:
            mean, deviation = self._scale("x")
            found = ((found.double().cpu() - mean) / deviation).float()
        found = self._shaped(found)
        dtype = precision.WEIGHTS[self.run.precision]
        targets = found.new_zeros(0, dtype=torch.int64)
        return self.data.examples(found, targets, dtype)[0].to(self.run.device)

    def _shaped(self, x: Tensor) -> Tensor:
        shape = self.data.shape
        if self.data.train.x.dtype == torch.uint8 and x.dtype != torch.uint8:
            kind = str(x.dtype).removeprefix("torch.")
            raise UserError(f"the images of {self.data.name} are uint8, and these are {kind}")
        last = (*shape[1:], shape[0])
        if x.shape[1:] != shape and x.ndim == 4 and x.shape[1:] == last:
            x = x.permute(0, 3, 1, 2)  # channels last
        given = list(x.shape[1:])
        if given not in (list(shape), [size for size in shape if size != 1]):
            words = f"an example of {self.data.name} has the shape {list(shape)}"
            raise UserError(f"{words}, and these have {given}; give [N, ...], also for one")
        return x.reshape(-1, *shape)

    @torch.inference_mode()
    def __call__(self, x: Any) -> Tensor:
        """The network's outputs for inputs of the source, on the CPU."""
        blocks = self.inputs(x).split(BLOCK)
        return torch.cat([self.model(block).cpu() for block in blocks])

    def predict(self, x: Any) -> Tensor:
        """The class of each input, counted from 0; of a regression, its values."""
        found = self(x)
        if self.data.classes is not None:
            return found.argmax(-1)
        mean, deviation = self._scale("y") if "y" in self.standard else (0, 1)
        return found * deviation + mean

    def _scale(self, letter: str) -> tuple[Tensor, Tensor]:
        said = self.standard[letter]
        mean, deviation = (torch.from_numpy(np.array(said[key])) for key in ("mean", "deviation"))
        return mean, deviation


def load(folder: str | Path, seed: int | None = None, device: str = "cpu") -> Trained:
    """The network of a finished run that keeps its weights.

    Args:
        folder: of the run, in which its ``run.json`` is.
        seed: the replicate; the first one where it is left out.
        device: where the network computes.

    Raises:
        UserError: there is no such run or seed, or it keeps no weights.
        DamagedError: the file is gone, or not what was written.
    """
    found, said = _said(Path(folder), seed)
    run = dataclasses.replace(_run(folder, found), device=device)
    state = _weights(weights.file_of(folder, said["seed"]), said[weights.KEY])
    description = datasets.described(Path(run.data))
    data = _without_examples(description, device)
    model = _built(run, data, said["seed"])
    try:
        model.load_state_dict(state)
    except (RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        words = f"{run.network_builder} is not the network that was trained: {reason}"
        raise UserError(f"{folder}: {words}") from error
    model.eval()
    epoch, standard = said[weights.KEY]["epoch"], description.get("standard", {})
    return Trained(model, run, said["seed"], epoch, data, standard)


def _said(folder: Path, seed: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run's record, and what it says of a seed that has weights."""
    found = record.read(str(folder))
    if not found:
        raise UserError(f"{folder}: not the folder of a finished run: it has no run.json")
    if "failure" in found:
        raise UserError(f"{folder}: the run failed: {found['failure']}")
    seeds = {entry["seed"]: entry for entry in found["seeds"]}
    kept = [number for number, entry in seeds.items() if weights.KEY in entry]
    if not kept:
        raise UserError(f"{folder}: the run kept no weights; give its exercise keep_weights: last")
    number = kept[0] if seed is None else seed
    if number not in kept:
        words = f"no weights of seed {number}; there are those of {', '.join(map(str, kept))}"
        raise UserError(f"{folder}: {words}")
    return found, seeds[number]


def _run(folder: str | Path, found: Mapping[str, Any]) -> Run:
    try:
        return Run(study="", **found["settings"])
    except (KeyError, TypeError) as error:
        raise UserError(f"{folder}: run.json is not of this version: {error}") from error


def _weights(file: Path, said: Mapping[str, Any]) -> dict[str, Any]:
    try:
        if weights.intact(file, said):
            return torch.load(file, map_location="cpu", weights_only=True)
        what = "damaged: not the weights that run.json describes"
    except OSError as error:
        what = f"cannot be read: {error.strerror}"
    again = "the workflow makes it again where it is gone"
    if "/confirm/" in file.as_posix():
        again += " and the unit's confirmed.json is removed"
    raise DamagedError(f"{file}: {what}; {again}", [file])


def _without_examples(description: Mapping[str, Any], device: str) -> Dataset:
    """The data set with two examples of zeros in place of its own, which prediction needs not."""
    image = description["scale"] != 1
    symbols = description["task"] == NEXT_TOKEN
    x = torch.zeros(2, *description["shape"], dtype=torch.uint8 if image else torch.float32)
    y = torch.zeros(2, dtype=torch.int64)
    if description["classes"] is None:
        y = torch.zeros(2, *description.get("targets", [1]))
    x = x.long() if symbols else x
    return datasets.of(description, {"x_train": x, "y_train": y}, device)


def _built(run: Run, data: Dataset, seed: int) -> nn.Module:
    """The network, with the caller's random numbers left as they are."""
    before = random.getstate()
    try:
        with torch.random.fork_rng():
            return networks.build(run, data, seed)
    finally:
        random.setstate(before)
