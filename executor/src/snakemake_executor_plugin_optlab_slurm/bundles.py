"""Bundles: jobs that share one SLURM job, and its resources. Needs neither Snakemake nor SLURM."""

import heapq
import math
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

PREDICTION = "predicted_seconds"  # resource with the predicted time of a job
# Resources that are computed for a bundle; in all others its members agree.
OWN = {
    *("mem", "mem_mb", "mem_mib", "disk", "disk_mb", "disk_mib", "tmpdir"),
    *("runtime", PREDICTION, "_cores", "_nodes"),
}
START_MB = 700  # memory of Snakemake and of the interpreter from which runs are forked
START_MINUTES = 5  # for Snakemake, a slow network disk, and importing PyTorch
MARGIN = 3  # time limit of a shared submission, in units of its predicted time
MOST = 1000  # members of a bundle; each adds about 200 characters to the command line


class Resources(dict):
    """The resources of a bundle, read like those of a job: by key and by attribute."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Bundle:
    """One or more jobs in one SLURM job, with the attributes that the SLURM plugin reads."""

    def __init__(self, members: list[Any], cpus: int):
        first = members[0]
        self.members = members
        self.attempt = first.attempt
        self.threads = max(
            max(m.threads for m in members), min(cpus, sum(m.threads for m in members))
        )
        self.resources = request(members, self.threads)
        # For SLURM's comment and the path of the log.
        self.name = first.rule.name if len(members) == 1 else "together"
        self.wildcards = first.wildcards if len(members) == 1 else (f"{len(members)}_jobs",)
        self.rule = SimpleNamespace(name=self.name)
        self.jobid = ",".join(str(member.jobid) for member in members)
        self.open = {str(member.output[0]): member for member in members}  # not yet reported
        self.report = Path()  # file to which the bundle appends the end of each member
        self.read = 0  # bytes of the report that have been read
        self.ended: float | None = None  # when the report said "end", which SLURM has to confirm

    def is_group(self) -> bool:
        return False

    def register(self, external_jobid: str) -> None:
        """Note for each member that it has been started."""
        for member in self.members:
            member.register(external_jobid=external_jobid)

    def news(self) -> list[tuple[Any, bool]]:
        """The members that have ended since the last call, each with whether it succeeded."""
        try:
            with self.report.open("rb") as file:
                file.seek(self.read)
                text = file.read()
        except OSError:  # not there yet
            return []
        complete = text[: text.rfind(b"\n") + 1]
        self.read += len(complete)
        ended = []
        for line in complete.decode().splitlines():
            word, _, name = line.partition("\t")
            if word in ("begin", "end"):
                self.ended = time.monotonic() if word == "end" else None
            elif name in self.open:
                ended.append((self.open.pop(name), word == "done"))
        return ended


def request(members: list[Any], cpus: int) -> Resources:
    """The resources of a SLURM job that runs ``members`` on ``cpus`` processors."""
    resources = [member.resources for member in members]
    seconds = [r.get(PREDICTION) or 0 for r in resources]
    asked = Resources((name, value) for name, value in resources[0].items() if name not in OWN)
    if asked.get("gpu"):
        at_once, work = 1, sum(seconds)  # members use the GPU one after another
    else:
        at_once = max(1, cpus // min(member.threads for member in members))
        work = sum(s * m.threads for s, m in zip(seconds, members, strict=True)) / cpus
    memory = sorted((r.get("mem_mb") or 0 for r in resources), reverse=True)
    asked["mem_mb"] = START_MB + sum(memory[:at_once])
    minutes = max(r.get("runtime") or 0 for r in resources)
    if len(members) > 1:
        minutes = max(minutes, START_MINUTES + MARGIN * (work + max(seconds)) / 60)
    if minutes:
        asked["runtime"] = math.ceil(minutes)
    if asked.get("alone"):
        asked["slurm_extra"] = f"{asked.get('slurm_extra') or ''} --exclusive".strip()
    return asked


def is_short(job: Any, seconds: float) -> bool:
    """Whether a job may share its submission: it is predicted to take at most ``seconds``."""
    predicted = job.resources.get(PREDICTION)
    alone = (job.resources.get("nodes") or 1) > 1 or job.resources.get("alone") or not job.output
    return not alone and isinstance(predicted, int | float) and predicted <= seconds


def pack(jobs: Iterable[Any], cpus: int, seconds: float) -> list[Bundle]:
    """Pack short jobs into as few bundles as take about ``seconds`` each on ``cpus`` processors."""
    groups: dict[str, list[Any]] = {}
    for job in jobs:
        shared = sorted((k, str(v)) for k, v in job.resources.items() if k not in OWN)
        groups.setdefault(repr((job.attempt, shared)), []).append(job)
    bundles = []
    for group in groups.values():
        # Each attempt doubles the memory of a job and halves how many of them run at once.
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
