"""The warm interpreter behind `warm.py`: imports torch once, forks a process for each job.

It imports nothing of this project, so that every job runs the code that lies on the disk, and it
never touches a GPU, since CUDA does not survive a fork. Called with the path of its socket.
"""

from __future__ import annotations

import array
import ctypes
import gc
import json
import os
import runpy
import select
import signal
import socket
import struct
import sys
from contextlib import suppress

IDLE_SECONDS = 5.0  # without a job; long enough for a workflow to start the next one
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)


def warm_up() -> None:
    """Import what a training process imports; nothing here may start a thread."""
    # NumPy's OpenBLAS, which torch imports and training does not use, would start some.
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    import argparse  # noqa: F401
    import csv  # noqa: F401
    import importlib.metadata  # noqa: F401
    import platform  # noqa: F401
    import shlex  # noqa: F401

    import torch

    # The first optimizer of a process imports torch._dynamo: half of the whole start-up.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    gc.collect()
    gc.freeze()  # so that the collector of a job's process leaves these pages shared


class Server:
    """Accepts jobs, forks a process for each, and tells its launcher how it ended."""

    def __init__(self, path: str):
        self.path = path
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        temporary = f"{path}.{os.getpid()}"
        self.listener.bind(temporary)
        self.listener.listen(1024)
        os.rename(temporary, path)  # whoever sees the socket can connect to it
        self.inode = os.stat(path).st_ino
        self.jobs: dict[int, tuple[int, socket.socket]] = {}  # connection -> process, connection
        self.wake, wake_up = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_up)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        self.poll = select.poll()
        self.poll.register(self.listener, select.POLLIN)
        self.poll.register(self.wake, select.POLLIN)

    def serve(self) -> None:
        """Serve until there has been no job for a while, or the socket is no longer ours."""
        while True:
            events = self.poll.poll(IDLE_SECONDS * 1000)
            for number, _ in events:
                if number == self.listener.fileno():
                    self.accept()
                elif number == self.wake:
                    os.read(self.wake, 4096)
                elif number in self.jobs:
                    # The launcher is gone, perhaps by SIGKILL: its job goes with it.
                    kill_group(self.jobs[number][0])
                    self.poll.unregister(number)
            self.reap()
            if not events and not self.jobs:
                return self.close()

    def accept(self) -> None:
        """Fork a process for a new connection; it reads its job itself."""
        connection, _ = self.listener.accept()
        if peer_user(connection) != os.getuid():
            connection.close()
            return
        process = os.fork()
        if process == 0:
            self.become_job(connection)
        with suppress(ProcessLookupError, PermissionError):
            os.setpgid(process, process)
        self.jobs[connection.fileno()] = (process, connection)
        self.poll.register(connection, select.POLLRDHUP)
        with suppress(OSError):
            connection.sendall(struct.pack("!I", process))

    def become_job(self, connection: socket.socket) -> None:
        """In the forked process: leave the server behind, run the job, end."""
        status = 1
        try:
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setpgid(0, 0)
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self.listener.close()
            for _, other in self.jobs.values():
                other.close()
            job = read_job(connection)
            connection.close()
            status = run(job)
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(status)

    def reap(self) -> None:
        """Tell the launcher of every process that has ended."""
        with suppress(ChildProcessError):
            while True:
                process, status = os.waitpid(-1, os.WNOHANG)
                if process == 0:
                    return
                for number, (running, connection) in list(self.jobs.items()):
                    if running == process:
                        with suppress(OSError):
                            connection.sendall(struct.pack("!I", status))
                        with suppress(KeyError):
                            self.poll.unregister(number)
                        connection.close()
                        del self.jobs[number]

    def close(self) -> None:
        """Take the socket away first, so that no new job meets a server that is leaving."""
        with suppress(FileNotFoundError):
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)
                os.unlink(f"{self.path}.log")
        self.listener.setblocking(False)
        with suppress(BlockingIOError):
            while True:  # came in between: they see the end of their connection and start anew
                self.listener.accept()[0].close()


def read_job(connection: socket.socket) -> dict:
    """The job of a launcher, its standard streams put in the place of the server's."""
    size = array.array("i").itemsize
    data, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(3 * size))
    if not data:
        os._exit(1)  # the launcher is gone already
    streams = array.array("i", ancillary[0][2][: 3 * size])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    length = struct.unpack("!I", data[:4])[0]
    body = bytearray(data[4:])
    while len(body) < length:
        body += connection.recv(length - len(body))
    return json.loads(body)


def run(job: dict) -> int:
    """Run the job's program as `python PROGRAM ARGUMENT ...` would; its exit status."""
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    os.umask(job["umask"])
    with suppress(OSError):
        os.nice(job["nice"] - os.nice(0))
    program = job["arguments"][0]
    sys.argv = job["arguments"]
    sys.path[0] = os.path.dirname(os.path.abspath(program))
    try:
        runpy.run_path(program, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def peer_user(connection: socket.socket) -> int:
    """The user at the other end, as the kernel knows it."""
    size = struct.calcsize("3i")
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return struct.unpack("3i", peer)[1]


def kill_group(process: int) -> None:
    """Kill a job's process and whatever it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    warm_up()
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("importing torch has started threads here; a fork would lose them")
    Server(sys.argv[1]).serve()
