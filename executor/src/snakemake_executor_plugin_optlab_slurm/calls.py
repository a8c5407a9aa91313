"""Calls of Snakemake in one folder: after a call was killed, the next one cancels its jobs.

Otherwise the jobs of both calls would train the same runs at the same time. Each call leaves a note
with the name of its SLURM jobs and its process: PID and start time, since PIDs are reused.
"""

import json
import os
import subprocess
import time
from pathlib import Path

import psutil

TOLERANCE = 2.0  # seconds by which a start time moves when the clock of the machine is set
CANCEL_SECONDS = 60.0  # limit for `scancel`, and then for the jobs to leave the queue


def begin(note: Path, name: str) -> None:
    """Cancel the jobs of an earlier call that was killed, then write the note of this call.

    Args:
        note: file of the note, the same for all calls in the folder.
        name: name that all SLURM jobs of this call have.
    """
    dead = killed(note)
    if dead is not None:
        cancel(dead)
    process = psutil.Process()
    content = {"host": os.uname().nodename, "pid": process.pid, "born": process.create_time()}
    note.write_text(json.dumps({**content, "name": name}), encoding="utf-8")


def killed(note: Path) -> str | None:
    """The name of the jobs of the call that left this note; None if it lives or left no note.

    A call on another host counts as killed: a live one with the same outputs would hold
    Snakemake's lock, and this call would not have come so far.
    """
    try:
        call = json.loads(note.read_text(encoding="utf-8"))
        lives = call["host"] == os.uname().nodename and _lives(call["pid"], call["born"])
        return None if lives else str(call["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _lives(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        started = process.create_time()
        return abs(started - born) < TOLERANCE and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def cancel(name: str) -> None:
    """Cancel all jobs of this name and wait until they have left the queue."""
    subprocess.run(["scancel", f"--name={name}"], timeout=CANCEL_SECONDS, check=False)
    queue = ["squeue", "--noheader", "--format=%i", f"--name={name}"]
    end = time.monotonic() + CANCEL_SECONDS
    while time.monotonic() < end:
        if not subprocess.run(queue, capture_output=True, check=False).stdout.strip():
            return
        time.sleep(0.5)
