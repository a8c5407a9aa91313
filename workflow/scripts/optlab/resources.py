"""What a job asks of a machine: time, memory, processors, GPUs; predicted from the study.

A run is predicted from the work in it (multiplications of its network, examples, epochs, seeds),
and better from runs like it that are there already. Nothing here changes a digit, and what is
local takes no notice. Standard library only: this is imported at every parse, for thousands of
runs, so each file is read once.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from optlab import devices, earlier, models
from optlab.errors import UserError
from optlab.grid import Run
from optlab.search_plan import Search

Shape = tuple[int, ...]

# Until a data set is prepared: its training examples and the shape of one.
SIZES: dict[str, tuple[int, Shape]] = {
    "line": (4, (1,)),
    "digits": (1_077, (1, 8, 8)),
    "mnist": (50_000, (1, 28, 28)),
    "fashion_mnist": (50_000, (1, 28, 28)),
    "cifar10": (45_000, (3, 32, 32)),
    "npz": (50_000, (1_000,)),
}
OUTPUTS = 10
UNKNOWN = (2_000_000, 200_000, 20_000)  # of a user's network: products, weights, activations

CPU_RATE = 2e10  # floating-point operations a second and thread, in float32 on a modest core
GPU_RATE = 1e12  # far below what a GPU can do: small networks do not fill one
STEP_SECONDS = 1e-3  # of Python and optimizer for each batch
START_SECONDS = 2.0
BASE_MB = 600  # PyTorch takes some 250; a launcher, and room
GPU_BASE_MB = 4_000  # CUDA maps some gigabytes of the main memory
RUNTIME_MINUTES = 10  # of every time limit, for a slow network disk
RUNTIME_FACTOR = 3  # of the time limit over what is predicted


@dataclass(frozen=True)
class Site:
    """What the rules know of the machines; `default-resources` of a profile say it."""

    gpus_per_node: int = 0
    gpu_type: str = ""
    prepare_on: str = "login"  # or "compute": data sets are prepared by a job

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Site:
        """The site that a profile's default resources describe.

        Raises:
            UserError: a value that is not allowed.
        """
        gpus = str(given.get("gpus_per_node") or 0)
        where = str(given.get("prepare_on") or "login")
        if not gpus.isdecimal():
            raise UserError(f"default-resources: gpus_per_node={gpus} is no number of GPUs")
        if where not in ("login", "compute"):
            raise UserError(f"default-resources: prepare_on={where}; allowed: login, compute")
        return cls(int(gpus), str(given.get("gpu_type") or ""), where)


@dataclass(frozen=True)
class Needs:
    """What one job needs on its first attempt."""

    seconds: float
    megabytes: float
    gpus: int
    site: Site
    members: int = 1  # processes, where they need processors of their own
    threads: int = 1  # of each

    def mem_mb(self, attempt: int) -> int:
        """Memory, in round numbers, doubled with each attempt."""
        return math.ceil(int(self.megabytes) / 100) * 100 * 2 ** (attempt - 1)

    def runtime(self, attempt: int) -> int:
        """The time limit in minutes."""
        minutes = RUNTIME_MINUTES + RUNTIME_FACTOR * self.seconds / 60
        return math.ceil(minutes) * 2 ** (attempt - 1)

    def predicted(self, attempt: int) -> int:
        """Whole seconds; a job that has failed may have done so because they were too few."""
        return math.ceil(self.seconds) * attempt

    @property
    def nodes(self) -> int:
        """Nodes that have so many GPUs together, the same number on each."""
        if not self.gpus or not self.site.gpus_per_node:
            return 1
        least = math.ceil(self.gpus / self.site.gpus_per_node)
        return next(n for n in range(least, self.gpus + 1) if self.gpus % n == 0)

    @property
    def processes(self) -> int:
        """Processes on each node, of which each has processors of its own."""
        return self.members // self.nodes

    @property
    def gpu(self) -> int:
        """GPUs of a job on one node."""
        return self.gpus if self.nodes == 1 else 0

    @property
    def gpu_model(self) -> str:
        """Their type; empty where it does not matter."""
        return self.site.gpu_type if self.gpu else ""

    @property
    def gres(self) -> str:
        """GPUs of each node of a job on several; empty for others."""
        kind = f"{self.site.gpu_type}:" if self.site.gpu_type else ""
        return f"gpu:{kind}{self.processes}" if self.nodes > 1 else ""

    @property
    def spread(self) -> str:
        """What starts a program on each node of a job on several; empty for others."""
        one_each = f"--nodes={self.nodes} --ntasks={self.nodes} --ntasks-per-node=1"
        whole = f"--cpus-per-task={self.threads * self.processes} --kill-on-bad-exit=1"
        return f"srun {one_each} {whole}" if self.nodes > 1 else ""


def this_machine(where: Site, runs: Iterable[Run]) -> Site:
    """The site when nothing is submitted: this machine, or this allocation, with its GPUs.

    Raises:
        UserError: a run asks for more GPUs than there are.
    """
    here = replace(where, gpus_per_node=len(devices.present()))
    for run in runs:
        wanted = wanted_gpus(run.device, run.gpus, here)
        if wanted > here.gpus_per_node:
            devices.check(wanted, here.gpus_per_node, f"exercises.{run.exercise}.gpus")
    return here


def of_run(run: Run, definition: Mapping[str, Any], where: Site) -> Needs:
    """What a run needs.

    Args:
        run: the run.
        definition: the study's definition of its data set.
        where: the machines.
    """
    work = Work.of(run.network, run.network_options, run.data, definition)
    batch = work.batch(run.batch_size)
    gpus = wanted_gpus(run.device, run.gpus, where)
    family = os.path.dirname(os.path.dirname(run.folder))  # the same data, network and optimizer
    measured = earlier.like(family, run.batch_size)
    epochs = run.epochs * run.seeds
    if measured:
        seconds = measured.seconds * epochs
    else:
        seconds = work.epoch_seconds(batch, run.threads * run.gpus, gpus) * epochs
    here = min(gpus, where.gpus_per_node or gpus) if gpus else run.gpus  # processes on a node
    memory = here * (work.megabytes(batch) + (GPU_BASE_MB if gpus else 0))
    if measured and not gpus:
        memory = max(memory, here * (1.3 * measured.megabytes + BASE_MB / 2))
    # On a machine of one's own, nobody counts the processors of what runs on GPUs.
    members = 1 if run.device == "cuda" and not where.gpus_per_node else run.gpus
    return Needs(START_SECONDS + seconds, memory, gpus, where, members, run.threads)


def of_worker(search: Search, definition: Mapping[str, Any], where: Site) -> Needs:
    """What one worker of a search needs: its share of the trials, none of them pruned."""
    return _of_trials(search, definition, where, math.ceil(search.trials / search.workers))


def of_retraining(search: Search, definition: Mapping[str, Any], where: Site) -> Needs:
    """What training the best setting of a search anew needs."""
    return _of_trials(search, definition, where, search.seeds + search.retrain_pruned)


def _of_trials(search: Search, definition: Mapping[str, Any], where: Site, trials: int) -> Needs:
    work = Work.of(search.network, {}, search.data, definition)
    examples = min(search.epoch_examples or work.examples, work.examples)
    work = Work(examples, work.shape, work.products, work.weights, work.activations)
    batch = work.batch(search.batch_size)
    gpus = wanted_gpus(search.device, 1, where)
    seconds = work.epoch_seconds(batch, search.threads, gpus) * search.epochs * trials
    # The space may hold larger networks than the default one.
    memory = 1.5 * work.megabytes(batch) + (GPU_BASE_MB if gpus else 0)
    return Needs(START_SECONDS + 2 * seconds, memory, gpus, where)


def wanted_gpus(device: str, gpus: int, where: Site) -> int:
    """GPUs to ask for: `cuda` always, `auto` where the site has some, `cpu` never."""
    return gpus if device == "cuda" or (device == "auto" and where.gpus_per_node) else 0


@dataclass(frozen=True)
class Work:
    """The size of a problem: its examples, and for each what a network multiplies and keeps."""

    examples: int
    shape: Shape
    products: int
    weights: int
    activations: int

    @classmethod
    def of(
        cls, network: str, options: Mapping[str, Any], data: str, definition: Mapping[str, Any]
    ) -> Work:
        examples, shape = _size(data, definition["source"], definition.get("subset"))
        return cls(examples, shape, *_network(network, json.dumps(dict(options)), shape))

    def batch(self, size: int | str) -> int:
        """Examples of a batch; `full` is all of them."""
        return min(size, self.examples) if isinstance(size, int) else self.examples

    def epoch_seconds(self, batch: int, threads: int, gpus: int) -> float:
        """Predicted seconds of one epoch of one seed, its evaluation included."""
        rate = GPU_RATE * gpus if gpus else CPU_RATE * threads
        # Forward and backward are three times forward; evaluation is about one more.
        operations = 2 * 4 * self.products * self.examples
        return operations / rate + math.ceil(self.examples / batch) * STEP_SECONDS

    def megabytes(self, batch: int) -> float:
        """Predicted memory of a process that trains."""
        numbers = 3 * self.examples * math.prod(self.shape)  # all parts, and a copy
        numbers += 6 * self.weights + 4 * batch * self.activations
        return BASE_MB + numbers * 4 / 2**20


@cache
def _size(data: str, source: str, subset: int | None) -> tuple[int, Shape]:
    """Training examples and the shape of one; as prepared, else as published."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads(Path(data).read_text(encoding="utf-8"))
        return found["sizes"]["train"], tuple(found["shape"])
    examples, shape = SIZES.get(source, SIZES["npz"])
    return min(subset or examples, examples), shape


@cache
def known_examples(data: str, source: str, changed: bool) -> int | None:
    """Training examples of a data set, where they are known before it is prepared.

    ``changed``: whether the study takes a subset of it, or another share for validation.
    """
    if Path(data).exists() or (source in SIZES and source != "npz" and not changed):
        return _size(data, source, None)[0]
    return None


@cache
def _network(name: str, options_text: str, shape: Shape) -> tuple[int, int, int]:
    """Products, weights and activations of a network for one example."""
    options = (
        {**models.options(name), **json.loads(options_text)} if name in models.NETWORKS else {}
    )
    width = math.prod(shape)
    if name in ("linear", "softmax"):
        return width * OUTPUTS, width * OUTPUTS, OUTPUTS
    if name == "mlp":
        layers = [width, *options["hidden"], OUTPUTS]
        weights = sum(a * b for a, b in itertools.pairwise(layers))
        return weights, weights, 2 * sum(layers[1:])
    if name == "cnn" and len(shape) == 3:
        depth, height, breadth = shape
        products = weights = activations = 0
        for filters in options["channels"]:
            weights += 25 * depth * filters
            products += 25 * depth * filters * height * breadth
            activations += 2 * filters * height * breadth
            depth, height, breadth = filters, height // 2, breadth // 2
        dense = depth * height * breadth * options["units"] + options["units"] * OUTPUTS
        return products + dense, weights + dense, activations + options["units"]
    return UNKNOWN
