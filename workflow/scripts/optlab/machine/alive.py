"""Whether a process is alive. It is identified by its pid and its start time.

A pid alone is not enough: the system gives it to another process some time after the first has
ended.
"""

import os
import platform
from functools import cache
from typing import Any

import psutil

Identity = dict[str, Any]
TOLERANCE = 2.0  # seconds; the system rounds the time of the boot to whole seconds


def identity() -> Identity:
    """The identity of this process, in the form that `lives` takes."""
    pid = os.getpid()
    return {"host": platform.node(), "place": _place(), "pid": pid, "born": _born(pid)}


def lives(process: Identity) -> bool | None:
    """Whether a process is alive; None if it runs in a place whose processes we cannot see.

    A zombie, which has ended and waits for its parent to read its status, is not alive.
    """
    if process["place"] != _place():
        return None
    born = _born(process["pid"])
    return born is not None and abs(born - process["born"]) < TOLERANCE


@cache
def _place() -> str:
    """The scope of pids: one PID namespace in one boot of one machine."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _born(pid: int) -> float | None:
    """When a process started, in seconds since the boot; None for a zombie or no process.

    Not since the epoch: that number changes when the clock of the machine is set.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return process.create_time() - psutil.boot_time()
    except psutil.Error:
        return None
