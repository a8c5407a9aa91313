"""Programs that a program runs one after another, and that end when it does."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

PR_SET_PDEATHSIG = 1
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # unless they are ignored, as by nohup

Child = subprocess.Popen[bytes]


class Children:
    """Runs programs one after another, and asks the running one to end when this process is asked.

    A signal raises no exception where it arrives, which might be between the start of a program
    and the variable that holds it: `run` raises one when the program has ended.

    Args:
        end: asks a program to end.
        orphaned: the signal that it gets when this process is killed (Linux only).
        group: whether it gets a process group of its own, which Ctrl-C does not reach.
    """

    def __init__(
        self, end: Callable[[Child], None], orphaned: int = signal.SIGKILL, group: bool = False
    ):
        self._end, self._orphaned, self._group = end, orphaned, group
        self._child: Child | None = None
        self._asked = False
        for number in ASKING:
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Run a program and return its exit status.

        Raises:
            KeyboardInterrupt: this process was asked to end, and the program has not succeeded.
        """
        if self._asked:
            raise KeyboardInterrupt
        parent = os.getpid()
        self._child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, preexec_fn=lambda: self._begin(parent), **options
        )
        try:
            if self._asked:  # while it was being started
                self._end(self._child)
            status = self._child.wait()
        finally:
            self._child = None
        if self._asked and status:
            raise KeyboardInterrupt
        return status

    def _begin(self, parent: int) -> None:
        """In the new process, before it becomes the program."""
        if self._group:
            os.setpgid(0, 0)
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored in the background of a shell
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, self._orphaned)
            if os.getppid() != parent:
                os._exit(1)

    def _handle(self, number: int, frame: object) -> None:
        self._asked = True
        if self._child:
            self._end(self._child)


def terminate(child: Child) -> None:
    """Ask a program to end by SIGTERM."""
    child.terminate()


def interrupt_group(child: Child) -> None:
    """Ask a program and what it has started to end, like Ctrl-C."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGINT)
