"""The hardware, the software versions and the resource usage of a process."""

import os
import platform
import resource
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


def hardware(device: str) -> dict[str, Any]:
    """The machine: host, processor, usable cores; for cuda also the GPU and its peak memory."""
    found: dict[str, Any] = {
        "host": platform.node(),
        "cpu": processor_of("cpu"),
        "cores": cores(),
    }
    if device == "cuda":
        import torch

        found["gpu"] = processor_of(device)
        found["gpu_peak_memory_mb"] = round(torch.cuda.max_memory_allocated() / 2**20, 1)
    return found


def cores() -> int:
    """The cores that this process may use; where the system does not say (macOS), all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def processor_of(device: str) -> str:
    """The name of the processor or, for cuda, of the GPU."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def usage() -> dict[str, float]:
    """CPU time in seconds and peak memory in megabytes of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    scale = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
        "peak_memory_mb": round(used.ru_maxrss / scale, 1),
    }


def versions() -> dict[str, str | None]:
    """Versions of Python and PyTorch, and the commit of this package (None outside of git)."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        found = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, timeout=10, check=True
        )
        commit = found.stdout.decode().strip()
    except (OSError, subprocess.SubprocessError):
        commit = None
    torch = metadata.version("torch")
    return {"python": platform.python_version(), "torch": torch, "commit": commit}


def process_start() -> float:
    """When this process started, in seconds since the epoch; now, if the system does not say.

    Not by psutil, which knows the start of the machine only to a second.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return time.time()
