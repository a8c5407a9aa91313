"""The resources that a job requests: time, memory, processors and GPUs, predicted from the study.

A run is predicted from its work (the multiplications of its network, examples, epochs, seeds), or
better from finished runs that are similar. These estimates never affect results, and local runs
ignore them. Snakemake calls this for thousands of runs at every start.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from optlab.catalogue import networks
from optlab.catalogue.datasets import SOURCES
from optlab.catalogue.networks import Shape, Work
from optlab.catalogue.tasks import NEXT_TOKEN
from optlab.data import identity, known
from optlab.errors import UserError
from optlab.machine import devices, nodes
from optlab.study.confirmation import Unit
from optlab.study.kinds.search import Search
from optlab.study.run import Run

CPU_RATE = 2e10  # floating-point operations per second and thread, float32 on a modest core
GPU_RATE = 1e12  # far below the peak of a GPU, which small networks do not fill
STEP_SECONDS = 1e-3  # per batch, for Python and the optimizer
START_SECONDS = 2.0
BASE_MB = 600  # PyTorch needs about 250; the rest is for a launcher, and reserve
GPU_BASE_MB = 4_000  # CUDA maps some gigabytes of main memory
RUNTIME_MINUTES = 10  # part of every time limit, for a slow network disk
RUNTIME_FACTOR = 3  # time limit over prediction


@dataclass(frozen=True)
class Site:
    """The machines, as the ``default-resources`` of a profile describe them.

    Attributes:
        gpus_per_node: 0 if it has no GPUs, or if nothing is said about them.
        gpu_type: the type that jobs request; empty for any.
        prepare_on: "login" or "compute": where data sets are prepared.
    """

    gpus_per_node: int = 0
    gpu_type: str = ""
    prepare_on: str = "login"

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Site:
        """The site that a profile's default resources describe.

        Raises:
            UserError: a value is not allowed.
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
    """What one job needs on its first attempt.

    Attributes:
        seconds, megabytes: predicted.
        gpus: over all nodes.
        site: the machines.
        members: processes that need processors of their own.
        threads: CPU threads of each process.
    """

    seconds: float
    megabytes: float
    gpus: int
    site: Site
    members: int = 1
    threads: int = 1

    def mem_mb(self, attempt: int) -> int:
        """Memory, rounded up to 100 MB and doubled with each attempt."""
        return math.ceil(int(self.megabytes) / 100) * 100 * 2 ** (attempt - 1)

    def runtime(self, attempt: int) -> int:
        """The time limit in minutes, doubled with each attempt."""
        minutes = RUNTIME_MINUTES + RUNTIME_FACTOR * self.seconds / 60
        return math.ceil(minutes) * 2 ** (attempt - 1)

    def predicted(self, attempt: int) -> int:
        """Whole seconds, more with each attempt: the prediction may have been too low."""
        return math.ceil(self.seconds) * attempt

    @property
    def nodes(self) -> int:
        """The smallest number of nodes that have the GPUs, the same number on each."""
        if not self.gpus or not self.site.gpus_per_node:
            return 1
        least = math.ceil(self.gpus / self.site.gpus_per_node)
        return next(n for n in range(least, self.gpus + 1) if self.gpus % n == 0)

    @property
    def processes(self) -> int:
        """Processes per node that need processors of their own."""
        return self.members // self.nodes

    @property
    def gpu(self) -> int:
        """GPUs of a job on one node; 0 on several nodes, which request them by `gres`."""
        return self.gpus if self.nodes == 1 else 0

    @property
    def gpu_model(self) -> str:
        """The type of `gpu`; empty for any."""
        return self.site.gpu_type if self.gpu else ""

    @property
    def gres(self) -> str:
        """GPUs per node of a job on several nodes, in SLURM's form; empty for other jobs."""
        kind = f"{self.site.gpu_type}:" if self.site.gpu_type else ""
        return f"gpu:{kind}{self.processes}" if self.nodes > 1 else ""

    @property
    def spread(self) -> str:
        """The command that starts a program on each of several nodes; empty for other jobs."""
        return nodes.command(self.nodes, self.threads * self.processes) if self.nodes > 1 else ""


def this_machine(site: Site, runs: Iterable[Run]) -> Site:
    """The site if no job is submitted: this machine, or this allocation, with its GPUs.

    Raises:
        UserError: a run asks for more GPUs than there are.
    """
    here = replace(site, gpus_per_node=len(devices.present()))
    for run in runs:
        wanted = wanted_gpus(run.device, run.gpus, here)
        devices.check(wanted, here.gpus_per_node, f"exercises.{run.exercise}.gpus")
    return here


def of_run(run: Run, definition: Mapping[str, Any], site: Site) -> Needs:
    """What a run needs; ``definition`` is that of its data set."""
    problem = Problem.of(run.network, run.network_options, run.data, definition)
    batch = problem.batch(run.batch_size)
    gpus = wanted_gpus(run.device, run.gpus, site)
    epoch_seconds = problem.epoch_seconds(batch, run.threads * run.gpus, gpus)
    here = min(gpus, site.gpus_per_node or gpus) if gpus else run.gpus  # processes per node
    memory = here * (problem.megabytes(batch) + (GPU_BASE_MB if gpus else 0))
    family = os.path.dirname(os.path.dirname(run.folder))  # same data, network and optimizer
    measured = earlier(family, run.batch_size)
    if measured:
        epoch_seconds = measured.seconds
        if not gpus:
            memory = max(memory, here * (1.3 * measured.megabytes + BASE_MB / 2))
    # On a single machine, GPU jobs of several processes request no processors for each of them.
    members = 1 if run.device == "cuda" and not site.gpus_per_node else run.gpus
    seconds = START_SECONDS + epoch_seconds * run.epochs * run.seeds
    if run.minutes:  # evaluations are outside of them
        seconds = START_SECONDS + 1.5 * 60 * run.minutes * run.seeds
    return Needs(seconds, memory, gpus, site, members, run.threads)


def of_unit(unit: Unit, definition: Mapping[str, Any], site: Site) -> Needs:
    """What the job of a unit needs: rates beyond the grid, and confirmation seeds."""
    run = unit.widest
    seeds = unit.confirm + unit.extend * run.seeds
    return of_run(replace(run, seeds=seeds), definition, site)


def of_worker(search: Search, definition: Mapping[str, Any], site: Site) -> Needs:
    """What one worker of a search needs: its share of the trials, none of them pruned."""
    return _of_trials(search, definition, site, math.ceil(search.trials / search.workers))


def of_retraining(search: Search, definition: Mapping[str, Any], site: Site) -> Needs:
    """What retraining the best setting of a search needs."""
    return _of_trials(search, definition, site, search.seeds + search.retrain_pruned)


def _of_trials(search: Search, definition: Mapping[str, Any], site: Site, trials: int) -> Needs:
    problem = Problem.of(search.network, {}, search.data, definition)
    examples = min(search.epoch_examples or problem.examples, problem.examples)
    problem = replace(problem, examples=examples)
    batch = problem.batch(search.batch_size)
    gpus = wanted_gpus(search.device, 1, site)
    seconds = problem.epoch_seconds(batch, search.threads, gpus) * search.epochs * trials
    # Factors 1.5 and 2: the search space may contain networks larger than the default one.
    memory = 1.5 * problem.megabytes(batch) + (GPU_BASE_MB if gpus else 0)
    return Needs(START_SECONDS + 2 * seconds, memory, gpus, site)


def wanted_gpus(device: str, gpus: int, site: Site) -> int:
    """GPUs to request: always for cuda, for auto if the site has some, never for cpu."""
    return gpus if device == "cuda" or (device == "auto" and site.gpus_per_node) else 0


class Measured(NamedTuple):
    """What finished runs took: seconds per epoch and seed, and peak memory in megabytes."""

    seconds: float
    megabytes: float


@cache
def earlier(folder: str, batch_size: int | str) -> Measured | None:
    """The maxima over some runs in ``folder`` with this batch size; None if there are none.

    ``folder`` holds one folder for each setting of the knobs, and these the runs. Only a few
    records are read, and once, since Snakemake asks whenever it reads the workflow.
    """
    found: list[Measured] = []
    for knobs in sorted(Path(folder).glob("*")):
        records = knobs.glob(f"batch_size={batch_size}+*/run.json")
        found += filter(None, map(_measured, records))
        if len(found) >= 3:
            break
    if not found:
        return None
    return Measured(max(one.seconds for one in found), max(one.megabytes for one in found))


def _measured(file: Path) -> Measured | None:
    with suppress(OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
        record = json.loads(file.read_text(encoding="utf-8"))
        wall, settings = record["wall"], record["settings"]
        if settings.get("minutes"):  # nothing that another run would take
            return None
        # The record of a resumed run has the times of its last seeds only.
        seeds = max(1, min(settings["seeds"], len(record["seeds"])))
        seconds = (wall["training"] + wall["evaluation"]) / (seeds * settings["epochs"])
        return Measured(seconds, record["usage"]["peak_memory_mb"])
    return None


@dataclass(frozen=True)
class Problem:
    """The size of a problem: training examples, the shape of one, and the work for one."""

    examples: int
    shape: Shape
    work: Work

    @classmethod
    def of(
        cls, network: str, options: Mapping[str, Any], data: str, definition: Mapping[str, Any]
    ) -> Problem:
        source, subset = definition["source"], definition.get("subset")
        if SOURCES[source].looked or SOURCES[source].task == NEXT_TOKEN:  # known beforehand
            examples, shape = known.sizes(definition)[0], known.source(definition).shape
        else:
            examples, shape = identity.size(data, source, subset)
        entry = networks.of(network)
        return cls(examples, shape, entry.work(shape, {**entry.options, **options}))

    def batch(self, size: int | str) -> int:
        """Examples of a batch; ``full`` is all of them."""
        return min(size, self.examples) if isinstance(size, int) else self.examples

    def epoch_seconds(self, batch: int, threads: int, gpus: int) -> float:
        """Predicted seconds of one epoch of one seed, with its evaluation."""
        rate = GPU_RATE * gpus if gpus else CPU_RATE * threads
        # Forward and backward are three times forward; evaluation is about one more.
        operations = 2 * 4 * self.work.products * self.examples
        return operations / rate + math.ceil(self.examples / batch) * STEP_SECONDS

    def megabytes(self, batch: int) -> float:
        """Predicted memory of a training process."""
        numbers = 3 * self.examples * math.prod(self.shape)  # all parts, and a copy
        numbers += 6 * self.work.weights + 4 * batch * self.work.activations
        return BASE_MB + numbers * 4 / 2**20
