"""The warm interpreter behind `launcher.py`: imports torch once and forks a process for each job.

It imports nothing of this project, so that each job runs the code that is on disk at its start, and
it never uses a GPU, because CUDA does not survive a fork. Its argument is the path of its socket;
its output goes to a log file that `launcher.py` has locked for it.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import gc
import importlib.machinery
import io
import marshal
import os
import runpy
import select
import signal
import socket
import struct
import sys
import threading
import time
import traceback
import weakref
from contextlib import suppress
from types import ModuleType
from typing import Any, cast

IDLE_SECONDS = 5.0  # without a job before it ends; a workflow starts its next job sooner
NOT_BEGUN = 2**32 - 1  # sent instead of an exit status: the program has not started
FAILED = "this server cannot start"  # the last line of its log
PR_SET_PDEATHSIG = 1
# Imported by every job, tabulate by torch._dynamo at the end of each process.
PRELOADED = ("argparse", "csv", "importlib.metadata", "psutil", "resource", "shlex", "tabulate")
LIBC = ctypes.CDLL(None)


def main() -> None:
    if os.fork():
        os._exit(0)  # a launcher must have no child that its program does not know
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not sys.flags.safe_path:
        del sys.path[0]  # the folder of this file, which no job has on its path
    try:
        warm_up()
    except BaseException as reason:
        if isinstance(reason, MemoryError | OSError) or "allocate" in str(reason):
            raise  # the machine is busy, and the next server may start
        traceback.print_exc()
        sys.exit(FAILED)
    leftovers = runpy.run_path(os.path.join(os.path.dirname(__file__), "leftovers.py"))
    leftovers["remove"](os.path.dirname(sys.argv[1]))
    server = Server(sys.argv[1])
    connection = server.serve()
    if connection is not None:  # in the process of a job
        become_job(connection)


def warm_up() -> None:
    """Import what a training process imports, without starting a thread or using a GPU."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # for NumPy, which torch imports: see `optlab`
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    import torch
    import torch.utils.serialization

    # The first optimizer of a process imports torch._dynamo, which is half of the start-up time.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("importing torch has started threads, which a forked process would not have")
    trial = os.fork()
    if trial == 0:
        os._exit(torch.cuda._is_in_bad_fork())
    if torch.cuda.is_initialized() or os.waitpid(trial, 0)[1]:
        sys.exit("importing torch has used a GPU, which a forked process could not use")
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        finalizer.atexit = False  # otherwise each job would unregister torch's operators
    gc.collect()
    gc.freeze()  # garbage collections of a job then leave these pages shared


class Server:
    """Accepts jobs, forks a process for each, and sends its launcher the exit status."""

    def __init__(self, path: str):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        temporary = f"{path}.{os.getpid()}"
        self.listener.bind(temporary)
        self.listener.listen(1024)
        os.rename(temporary, path)  # a visible socket always accepts connections
        self.jobs: dict[int, tuple[int, socket.socket]] = {}  # connection -> process, connection
        self.wake, self.wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.wake_up, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def serve(self) -> socket.socket | None:
        """Serve until idle, and return None. In the process of a job, return its connection."""
        while True:
            events = self.poll.poll(IDLE_SECONDS * 1000)
            for number, _ in events:
                if number == self.listener.fileno():
                    connection = self.admit()
                    if connection is not None:
                        return connection
                elif number == self.wake:
                    os.read(self.wake, 4096)
                elif number in self.jobs:
                    # The launcher has ended, perhaps by SIGKILL: kill its job too.
                    with suppress(ProcessLookupError):
                        os.killpg(self.jobs[number][0], signal.SIGKILL)
                    self.poll.unregister(number)
            self.reap()
            if not events and not self.jobs:
                # A launcher that has just connected sees the connection end and tries again.
                for name in (self.path, f"{self.path}.log"):
                    with suppress(FileNotFoundError):
                        os.unlink(name)
                return None

    def admit(self) -> socket.socket | None:
        """Fork a process for a new connection, and return that there; None in the server."""
        try:
            connection, _ = self.listener.accept()
        except OSError:  # too many open files, until a job ends
            time.sleep(0.01)
            return None
        try:
            peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if struct.unpack("3i", peer)[1] != os.getuid():
                raise PermissionError
            server = os.getpid()
            process = os.fork()
        except OSError:
            connection.close()  # the launcher then starts the program cold
            return None
        if process == 0:
            self.leave(server)
            return connection
        with suppress(OSError):
            os.setpgid(process, process)
        self.jobs[connection.fileno()] = (process, connection)
        self.poll.register(connection, select.POLLRDHUP)
        with suppress(OSError):
            connection.sendall(struct.pack("!I", process))
        return None

    def leave(self, server: int) -> None:
        """In the process of a job: close what belongs to the server, and die when it dies."""
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:
            os._exit(1)
        with suppress(OSError):
            os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for _, connection in self.jobs.values():
            connection.close()
        self.listener.close()
        os.close(self.wake)
        os.close(self.wake_up)

    def reap(self) -> None:
        """Send the exit status of each process that has ended to its launcher."""
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                for number, (process, connection) in list(self.jobs.items()):
                    if process == ended[0]:
                        with suppress(OSError):
                            connection.sendall(struct.pack("!I", ended[1]))
                        with suppress(KeyError):
                            self.poll.unregister(number)
                        connection.close()
                        del self.jobs[number]


def become_job(connection: socket.socket) -> None:
    """Run the job that the launcher sends like `python PROGRAM ARGUMENT ...`, and end."""
    status = 1
    try:
        try:
            job = read_job(connection)
            set_up(job)
        except EOFError:
            return  # the launcher has ended
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
            with suppress(OSError):
                connection.sendall(struct.pack("!I", NOT_BEGUN))
            return
        connection.close()
        status = finish(run(job["arguments"][0]))
    finally:
        os._exit(status)


def read_job(connection: socket.socket) -> dict[str, Any]:
    """The job of a launcher, whose streams and folder replace the server's; else EOFError."""
    _, files, _, _ = socket.recv_fds(connection, 1, 4)
    with connection.makefile("rb") as stream:
        job: dict[str, Any] = marshal.load(stream)
    os.fchdir(files[3])
    for number in range(3):
        os.dup2(files[number], number)
    for file in files:
        os.close(file)
    return job


def set_up(job: dict[str, Any]) -> None:
    """Bring this process into the state of one that the launcher had started."""
    os.umask(job["umask"])
    os.environ.clear()
    os.environ.update(job["environment"])
    time.tzset()
    sys.argv, sys.orig_argv, sys.path[:] = job["arguments"], job["original"], job["path"]
    importlib.invalidate_caches()
    stdout = cast(io.TextIOWrapper, sys.stdout)
    stdout.reconfigure(line_buffering=os.isatty(1) and not stdout.write_through)
    # State that modules have taken from the server when they were imported.
    folders = (("tempfile", "tempdir", None), ("multiprocessing.process", "ORIGINAL_DIR", "."))
    for module, name, folder in folders:
        if module in sys.modules:
            setattr(sys.modules[module], name, folder and os.path.abspath(folder))
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    for number in signal.valid_signals():
        wanted: Any = signal.SIG_IGN if number in job["ignored"] else signal.SIG_DFL
        if number == signal.SIGINT and wanted is signal.SIG_DFL:
            wanted = signal.default_int_handler
        if signal.getsignal(number) not in (wanted, None):
            signal.signal(number, wanted)
    signal.pthread_sigmask(signal.SIG_SETMASK, job["blocked"])


def run(path: str) -> int:
    """Run a program as the main module. Returns its exit status, -SIGINT for an interrupt."""
    if not os.path.isabs(path):
        path = os.path.join(os.getcwd(), path)
    main = ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = builtins  # type: ignore[attr-defined]
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    try:
        with io.open_code(path) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        try:
            exec(code, main.__dict__)
        finally:  # as Python does before it prints an exception
            for stream in (sys.stderr, sys.stdout):
                with suppress(Exception):
                    stream.flush()
    except SystemExit as end:
        status = 0 if end.code is None else end.code
        if isinstance(status, int):
            return status & 0xFF if -(2**63) <= status < 2**63 else 0xFF
        print(status, file=sys.stderr)
        return 1
    except BaseException as error:
        # Without the frame of this function, which is not part of the program.
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        sys.excepthook(type(error), error.with_traceback(trace), trace)
        return -signal.SIGINT if type(error) is KeyboardInterrupt else 1
    return 0


def finish(status: int) -> int:
    """End like the interpreter, without the time that it takes to unload torch."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if all(t.daemon or t is threading.main_thread() for t in threading.enumerate()):
        vars(sys.modules["__main__"]).clear()  # closes files that are still open
        gc.collect()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception as error:
            if stream is sys.stdout:
                (line,) = traceback.format_exception_only(error)
                sys.stderr.write(f"Exception ignored in: {stream!r}\n{line}")
                sys.stderr.flush()
            status = 120
    LIBC.fflush(None)
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return status & 0xFF


if __name__ == "__main__":
    main()
