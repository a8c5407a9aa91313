"""Remove the sockets and logs of servers that were killed.

A server does it when it starts, and so does each call of Snakemake, which may start none.

A server holds the lock on its log for as long as it lives. A log that says that a server could not
start stays for the time in which no other is tried.
"""

import fcntl
import os
import re
import time
from contextlib import suppress

KEPT_SECONDS = 600.0


def remove_all() -> None:
    """Remove them from each folder in which this user's servers may have been."""
    for place in {os.environ.get("TMPDIR") or "/tmp", "/tmp"}:
        remove(f"{place}/optlab-{os.getuid()}")


def remove(folder: str) -> None:
    """Remove them from this folder, if it can be read."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for stem in {name[:16] for name in names if re.match(r"[0-9a-f]{16}($|\.)", name)}:
        with suppress(OSError):
            path = os.path.join(folder, stem)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            log = os.open(f"{path}.log", flags, 0o600)
            try:
                fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found = os.fstat(log)
                recent = time.time() - found.st_mtime < KEPT_SECONDS
                if recent and os.pread(log, found.st_size, 0).endswith(b"cannot start\n"):
                    continue
                for name in [name for name in names if name.startswith(stem)]:
                    os.unlink(os.path.join(folder, name))
                if f"{stem}.log" not in names:
                    os.unlink(f"{path}.log")
            finally:
                os.close(log)
