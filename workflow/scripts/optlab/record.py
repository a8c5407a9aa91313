"""What lies beside the metrics of a run: where, when, with what and at what cost it was made."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from optlab import metrics


def fingerprint(settings: Mapping[str, Any], files: Iterable[str | Path]) -> str:
    """One text for everything the digits of a run depend on: settings, code, data and PyTorch.

    Args:
        settings: the run's settings, its seeds aside.
        files: programs, modules and the prepared data set's JSON.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    digest.update(_torch().encode())
    for file in files:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


def kept(folder: Path, mark: str, seeds: int) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """What an earlier call of the same run left: its rows and its record of each seed.

    Nothing is kept of a run with another fingerprint, or whose two files do not belong together.
    """
    try:
        record = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        content = (folder / "metrics.tsv").read_bytes()
        same = record["fingerprint"] == mark
        if not same or record["metrics_sha256"] != hashlib.sha256(content).hexdigest():
            return [], []
        rows = metrics.read(folder / "metrics.tsv")
        return (
            [row for row in rows if int(row["seed"]) < seeds],
            [entry for entry in record["seeds"] if entry["seed"] < seeds],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def write(folder: Path, rows: list[metrics.Row], record: dict[str, Any]) -> None:
    """Write ``metrics.tsv`` and then ``run.json``, which vouches for it."""
    content = metrics.text(rows)
    digest = hashlib.sha256(content.encode()).hexdigest()
    metrics.write_atomically(folder / "metrics.tsv", content)
    record = {**record, "metrics_sha256": digest}
    metrics.write_atomically(folder / "run.json", json.dumps(record, indent=1) + "\n")


def of_seed(seed: int, outcome: Any, replicates: int, device: str) -> dict[str, Any]:
    """What ``run.json`` says of one seed; of a handful of weights, their final values too.

    ``replicates`` is how many were trained at once and share the seconds.
    """
    last = outcome.evaluations[-1]
    weights = {name: value.flatten().tolist() for name, value in outcome.model.state_dict().items()}
    facts = {
        "seed": seed,
        "status": last.status,
        "last_step": last.step,
        "seconds": round(outcome.seconds, 6),
        "evaluation_seconds": round(outcome.evaluation_seconds, 6),
        "hardware": processor_of(device),
        "weights": sum(map(len, weights.values())),
        **({"trained_at_once": replicates} if replicates > 1 else {}),
    }
    return {**facts, "final_weights": weights} if facts["weights"] <= 16 else facts


def versions() -> dict[str, str | None]:
    """Python, PyTorch and the commit of this program, marked where it has been edited."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        commit = None
    return {
        "python": platform.python_version(),
        "torch": _torch(),
        "commit": commit,
    }


@cache
def _torch() -> str:
    """The version of PyTorch, which need not be imported for it."""
    return metadata.version("torch")


def hardware(device: str) -> dict[str, Any]:
    """The machine that trained: host, processor, its cores, and the GPU where one was used."""
    found: dict[str, Any] = {
        "host": platform.node(),
        "cpu": _processor(),
        "cores": len(os.sched_getaffinity(0)),
    }
    if device == "cuda":
        import torch

        found["gpu"] = processor_of(device)
        found["gpu_peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def processor_of(device: str) -> str:
    """The name of what trains: of the GPU, or of the machine's processor."""
    if device == "cpu":
        return _processor()
    import torch

    return torch.cuda.get_device_name()


def usage() -> dict[str, float]:
    """CPU seconds and peak memory of this process, in MB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "peak_memory_mb": round(used.ru_maxrss / scale, 1),
    }


def process_start() -> float:
    """When this process started, in seconds since the epoch (now, where the system hides it)."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time()


@cache
def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
