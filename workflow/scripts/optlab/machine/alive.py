"""Whether a process is still there: its number *and* its start time agree.

A number alone may belong to another process by now.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from typing import Any

import psutil

Identity = dict[str, Any]
TOLERANCE = 2.0  # seconds by which a start time moves when the clock of the machine is set


def identity() -> Identity:
    """This process, as other processes can look it up."""
    pid = os.getpid()
    return {"host": platform.node(), "place": _place(), "pid": pid, "born": _born(pid)}


def lives(process: Identity) -> bool | None:
    """Whether a process is there; None where it cannot be seen from here."""
    if process["place"] != _place():
        return None
    born = _born(process["pid"])
    return born is not None and abs(born - process["born"]) < TOLERANCE


@cache
def _place() -> str:
    """Where a number means the same process: one boot of one machine, and one container."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
            return f"{file.read().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return platform.node()


def _born(pid: int) -> float | None:
    """When a process started; None where there is none, or only a zombie."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.Error:
        return None
