"""Runs that fail by themselves: their network, optimizer or data refuse, or the user's code raises.

Such a failure is a result, since another try would end in the same way. Faults of the machine
(memory, disk, GPU, a killed process) are not: the run is tried again.
"""

import errno
import os
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optlab import custom
from optlab.errors import DISK_FULL, UserError, is_out_of_memory
from optlab.machine import processes
from optlab.runs import record
from optlab.study.run import Run

STATUS = "failed"  # of a seed without figures
EXIT = 3  # status of a process of a run that several train, if the run itself fails
# Errors of the operating system that another try, or another machine, may not have.
_SCARCE = (
    *(*DISK_FULL, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE),
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT),
)
_NO_THREAD = "can't start new thread"  # of Python
_MACHINE = re.compile(r"\b(cuda|cudnn|cublas|nccl|gloo|hip)\b.*(error|status)", re.IGNORECASE)


class RunFailed(UserError):
    """The run itself fails; ``str(error)`` is the reason."""


@contextmanager
def recognised(run: Run) -> Iterator[None]:
    """Raise errors that are the run's own as `RunFailed`; the first error is their cause."""
    try:
        yield
    except (Exception, SystemExit) as error:  # code of the user's own may call sys.exit
        if (reason := _reason(run, error)) is None:
            raise
        raise RunFailed(reason) from error


def _reason(run: Run, error: BaseException) -> str | None:
    """Why the run itself fails, in one line; None if the machine or this program is at fault."""
    if isinstance(error, UserError):
        return str(error)
    own = custom.own((run.network, run.optimizer, run.loss, *(run.metrics or ())))
    if not own or is_out_of_memory(error) or processes.is_consequence(error):
        return None
    line = _own_line(error, run.code)
    if getattr(error, "errno", None) in _SCARCE or _NO_THREAD in str(error):
        return None
    if not line and (isinstance(error, OSError) or _MACHINE.search(str(error))):
        return None
    text = " ".join(str(error).split())[:300]
    return f"{line or ' with '.join(own)}: {type(error).__name__}: {text}".removesuffix(": ")


def _own_line(error: BaseException, own: list[str]) -> str | None:
    """The last line of the user's files that an error passed through, as ``file:line``."""
    known = {os.path.realpath(file): file for file in own}
    places = [
        f"{known[path]}:{frame.lineno}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (path := os.path.realpath(frame.filename)) in known
    ]
    return places[-1] if places else None


def rows(run: Run, device: str, missing: list[int]) -> list[dict[str, Any]]:
    """A row without figures for each seed that was not trained."""
    start = {"epoch": 0, "step": 0, "seconds": 0.0, "status": STATUS}
    return [{**record.identity(run, device, seed), **start} for seed in missing]


def reason(folder: str) -> str | None:
    """Why the run in this folder failed; None where it did not, or has no readable record."""
    found = record.read(folder).get("failure")
    return found if isinstance(found, str) else None
