"""Run a Python program from a warm interpreter: `warm.py PROGRAM [ARGUMENT ...]`.

Importing torch and its optimizers takes seconds; most runs of a study train for less. This
launcher hands the program, with its arguments, environment, working directory and standard
streams, to a server that has imported torch (and nothing of this project) and forks a process for
it. It then waits: signals that it gets go to that process, its exit status is that process's, and
the process dies when the launcher does.

There is one server for each set of circumstances that a process cannot change after it has
started: user, interpreter, PyTorch, name spaces, control group (so: SLURM job and step), limits,
and the environment variables that matter when torch is imported. The first launcher starts it; it
ends by itself some seconds after its last process. Wherever something is odd, the program is
started in the ordinary way and a line in the log says why. OPTLAB_WARM=0 always does so.
"""

from __future__ import annotations

import array
import fcntl
import hashlib
import json
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
from contextlib import suppress

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "warm_server.py")
IMPORT_VARIABLES = ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "LD_", "PYTHON", "TORCH", "CUDA_")
FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2")
START_SECONDS = 60.0  # for the server to import torch, on a slow network disk too


class Odd(Exception):
    """Why no warm interpreter can be used here."""


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return 0 if len(sys.argv) > 1 else 2
    if os.environ.get("OPTLAB_WARM", "1") == "0":
        return start_cold()
    try:
        connection = connect()
        return follow(connection)
    except (Odd, OSError) as reason:
        print(f"no warm start: {reason}", file=sys.stderr, flush=True)
        return start_cold()


def start_cold() -> int:
    """Become the program, in an interpreter of its own."""
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])


def connect() -> socket.socket:
    """A connection to the server of these circumstances, which is started where there is none."""
    folder = private_folder()
    path = os.path.join(folder, circumstances())
    with open(f"{path}.lock", "w") as lock:
        # One launcher starts the server, the others wait here until it is there.
        fcntl.flock(lock, fcntl.LOCK_EX)
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return checked(path)
        with suppress(FileNotFoundError):
            os.unlink(path)  # left by a server that was killed
        return started(path)


def started(path: str) -> socket.socket:
    """Start a server, detached from this job, and wait until it answers."""
    with open(f"{path}.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, SERVER, path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
        )
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with suppress(FileNotFoundError, ConnectionRefusedError):
            return checked(path)
        if server.poll() is not None:
            raise Odd(f"the server ended with status {server.returncode}, see {path}.log")
        time.sleep(0.01)
    server.kill()
    raise Odd(f"the server did not answer within {START_SECONDS:.0f} s")


def checked(path: str) -> socket.socket:
    """A connection to a server of this user's, and to no other."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.connect(path)
        if peer_user(connection) != os.getuid():
            raise Odd(f"{path} belongs to another user")
    except BaseException:
        connection.close()
        raise
    return connection


def peer_user(connection: socket.socket) -> int:
    """The user at the other end, as the kernel knows it."""
    size = struct.calcsize("3i")
    peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
    return struct.unpack("3i", peer)[1]


def private_folder() -> str:
    """A folder on this machine that only this user can enter, with a short name for sockets."""
    folder = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"optlab-{os.getuid()}")
    if len(folder) > 80:  # a socket's path has room for 107 characters
        folder = f"/tmp/optlab-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not private or found.st_uid != os.getuid():
        raise Odd(f"{folder} is not a folder of yours alone")
    return folder


def circumstances() -> str:
    """A short name for all that a process forked elsewhere could not make its own."""
    here: list[object] = [os.getuid(), os.getgid(), sorted(os.getgroups()), sys.executable]
    here += [sys.version, torch_identity(), sorted(os.sched_getaffinity(0))]
    for name in sorted(os.listdir("/proc/self/ns")):
        here.append(os.readlink(f"/proc/self/ns/{name}"))
    with open("/proc/self/cgroup") as groups:
        here.append(groups.read())
    limits = (name for name in dir(resource) if name.startswith("RLIMIT_"))
    here += [(name, resource.getrlimit(getattr(resource, name))) for name in limits]
    here += sorted(v for v in os.environ.items() if v[0].startswith(IMPORT_VARIABLES))
    here += [os.environ.get(name) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID")]
    with open(SERVER, "rb") as server:
        here.append(server.read())
    return hashlib.blake2b(repr(here).encode(), digest_size=8).hexdigest()


def torch_identity() -> tuple[str, float]:
    """Where torch lies and when it was installed, found without importing it."""
    for folder in sys.path:
        version = os.path.join(folder, "torch", "version.py")
        with suppress(OSError):
            return version, os.stat(version).st_mtime
    raise Odd("torch is not installed for this interpreter")


def follow(connection: socket.socket) -> int:
    """Send the job, pass on signals, and end as its process ends."""
    send_job(connection)
    process = receive(connection)
    if process is None:
        raise Odd("the server ended before it took the job")

    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    for name in FORWARDED:
        signal.signal(getattr(signal, name), forward)
    status = receive(connection)
    if status is None:
        raise Odd("the server was killed, and the job's process with it; starting again")
    if os.WIFSIGNALED(status):
        die_of(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def send_job(connection: socket.socket) -> None:
    """Arguments, environment and so on as JSON behind its length; standard streams beside it."""
    mask = os.umask(0)
    os.umask(mask)
    job = json.dumps(
        {
            "arguments": sys.argv[1:],
            "environment": dict(os.environ),
            "folder": os.getcwd(),
            "umask": mask,
            "nice": os.nice(0),
        }
    ).encode()
    streams = array.array("i", [0, 1, 2])
    message = struct.pack("!I", len(job)) + job
    sent = connection.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
    connection.sendall(message[sent:])


def receive(connection: socket.socket) -> int | None:
    """The next number that the server sends; None where it has gone."""
    try:
        data = connection.recv(4, socket.MSG_WAITALL)
    except ConnectionResetError:
        return None
    return struct.unpack("!I", data)[0] if len(data) == 4 else None


def die_of(number: int) -> None:
    """End by the signal that ended the job's process, without a second core file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL) if number not in (signal.SIGKILL, signal.SIGSTOP) else 0
    os.kill(os.getpid(), number)


if __name__ == "__main__":
    sys.exit(main())
