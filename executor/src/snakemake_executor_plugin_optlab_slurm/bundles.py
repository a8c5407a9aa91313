"""Bundles: jobs that share one SLURM job, and what that job asks for. No Snakemake, no SLURM."""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PREDICTION = "predicted_seconds"  # the resource by which a rule says how long a job takes
# Resources that a bundle has of its own; in all others its members agree.
OWN = {
    *("mem", "mem_mb", "mem_mib", "disk", "disk_mb", "disk_mib", "tmpdir"),
    *("runtime", PREDICTION, "_cores", "_nodes"),
}
START_MB = 700  # Snakemake and the interpreter from which runs are forked
START_MINUTES = 5  # for Snakemake, a slow network disk, and importing PyTorch
MARGIN = 3  # of the time limit over what is predicted
MOST = 1000  # members of a bundle, each of them some 200 characters of its command line


class Resources(dict):
    """A bundle's request, readable in the two ways in which a job's is."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Bundle:
    """One or more jobs in one SLURM job; for the SLURM plugin, a job like any other."""

    def __init__(self, members: list[Any], cpus: int):
        first = members[0]
        self.members = members
        self.attempt = first.attempt
        self.threads = max(
            max(m.threads for m in members), min(cpus, sum(m.threads for m in members))
        )
        self.resources = request(members, self.threads)
        # SLURM's comment, and the path of its log.
        self.name = first.rule.name if len(members) == 1 else "together"
        self.wildcards = first.wildcards if len(members) == 1 else (f"{len(members)}_jobs",)
        self.rule = SimpleNamespace(name=self.name)
        self.jobid = ",".join(str(member.jobid) for member in members)
        self.open = {key(member): member for member in members}  # of which nothing is known yet
        self.report = Path()  # the file in which the bundle tells what has become of each member
        self.read = 0  # characters of it
        self.ended: float | None = None  # when it was seen to have ended, to be confirmed by SLURM

    def is_group(self) -> bool:
        return False

    def news(self) -> list[tuple[Any, bool]]:
        """The members that have ended since the last call, each with whether it went well."""
        try:
            with self.report.open("rb") as file:
                file.seek(self.read)
                text = file.read()
        except OSError:  # not there yet
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self.read += len(complete)
        told = []
        for line in complete.decode().splitlines():
            word, _, name = line.partition("\t")
            if word in ("begin", "end"):
                self.ended = time.monotonic() if word == "end" else None
            elif name in self.open:
                told.append((self.open.pop(name), word == "done"))
        return told


def key(job: Any) -> str:
    """The name of a job on which both sides agree: its first output."""
    return str(job.output[0])


def request(members: list[Any], cpus: int) -> Resources:
    """What a SLURM job for ``members`` on ``cpus`` processors asks for."""
    resources = [member.resources for member in members]
    asked = Resources((name, value) for name, value in resources[0].items() if name not in OWN)
    if asked.get("gpu"):
        # The GPU goes from one to the next.
        at_once, work = 1, sum(r[PREDICTION] for r in resources if len(members) > 1)
    else:
        at_once = max(1, cpus // min(member.threads for member in members))
        core_seconds = (r.get(PREDICTION, 0) * m.threads
                        for r, m in zip(resources, members, strict=True))  # fmt: skip
        work = sum(core_seconds) / cpus
    memory = sorted((r.get("mem_mb") or 0 for r in resources), reverse=True)
    asked["mem_mb"] = START_MB + sum(memory[:at_once])
    minutes = max(r.get("runtime") or 0 for r in resources)
    if len(members) > 1:
        seconds = work + max(r[PREDICTION] for r in resources)
        minutes = max(minutes, START_MINUTES + MARGIN * seconds / 60)
    if minutes:
        asked["runtime"] = math.ceil(minutes)
    if asked.get("alone"):
        asked["slurm_extra"] = f"{asked.get('slurm_extra') or ''} --exclusive".strip()
    return asked


def is_short(job: Any, seconds: float) -> bool:
    """Whether a job is to share its submission: predicted to take at most ``seconds``."""
    several = (job.resources.get("nodes") or 1) > 1
    if job.is_group() or not job.output or several or job.resources.get("alone"):
        return False
    predicted = job.resources.get(PREDICTION)
    return isinstance(predicted, int | float) and predicted <= seconds


def pack(jobs: Iterable[Any], cpus: int, seconds: float) -> list[Bundle]:
    """Short jobs in as few bundles as keep each, on ``cpus`` processors, to about ``seconds``."""
    groups: dict[str, list[Any]] = {}
    for job in jobs:
        shared = sorted((k, str(v)) for k, v in job.resources.items() if k not in OWN)
        groups.setdefault(repr((job.attempt, shared)), []).append(job)
    bundles = []
    for group in groups.values():
        # With each attempt the jobs ask for more memory: fewer of them then run at once.
        width = 1 if group[0].resources.get("gpu") else cpus >> (group[0].attempt - 1)
        width = max(width, max(job.threads for job in group))
        work = {id(job): job.resources[PREDICTION] * min(job.threads, width) for job in group}
        count = max(math.ceil(sum(work.values()) / (width * seconds)), math.ceil(len(group) / MOST))
        count = min(max(count, 1), len(group))
        heap: list[tuple[float, int, list[Any]]] = [(0, number, []) for number in range(count)]
        for job in sorted(group, key=lambda job: -work[id(job)]):
            load, number, members = heapq.heappop(heap)
            members.append(job)
            heapq.heappush(heap, (load + work[id(job)], number, members))
        bundles += [Bundle(members, width) for _, _, members in sorted(heap, key=lambda b: b[1])]
    return bundles
