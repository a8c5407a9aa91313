"""Locks that the kernel holds for a process: free when it has ended, in whatever way.

A number or a file that says who owns something outlives its owner. An open, locked file does not.
Links are not followed, so that nobody leads a lock to a file of somebody else.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

PAUSE = 0.2  # seconds between two attempts
_held: dict[Path, int] = {}  # by `take`


def lock(file: Path, mode: int = 0o666) -> int | None:
    """Open and lock a file, which is created; None if another process has locked it.

    On a file system without locks it counts as locked by us.
    """
    while True:
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(opened)
            return None
        except OSError:
            return opened
        if os.fstat(opened).st_nlink:
            return opened
        os.close(opened)  # its owner has removed it in between


def wait(file: Path) -> int:
    """`lock` a file of one's own, which others open for a moment only, in `remove_left`."""
    while (opened := lock(file)) is None:
        pass
    return opened


def remove_left(file: Path) -> bool:
    """Remove a file that its owner keeps locked, if its owner has ended; returns whether it did."""
    with suppress(OSError):
        opened = os.open(file, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(opened):
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.unlink(missing_ok=True)
        return True
    return False


def take(file: Path, work: str) -> None:
    """Lock a file for this process, waiting until no other process has it; see `release`.

    Args:
        file: created here, its folder too.
        work: what the owner of the lock does, for the line that says that this process waits.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    waiting = False
    while (opened := lock(file)) is None:
        if not waiting:
            print(f"waiting for the process that {work}", flush=True)
            waiting = True
        time.sleep(PAUSE)
    _held[file] = opened


def descriptors() -> tuple[int, ...]:
    """The open files of what this process has taken; who inherits them has the locks, too."""
    return tuple(_held.values())


def release() -> None:
    """Give back what this process has taken, and remove the files."""
    while _held:
        file, opened = _held.popitem()
        file.unlink(missing_ok=True)
        os.close(opened)
