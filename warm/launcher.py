"""Run a Python program from a warm interpreter: `launcher.py PROGRAM.py [ARGUMENT ...]`.

Importing torch and its optimizers takes seconds; most runs of a study train for less. This
launcher hands the program, with its arguments, environment, working directory, standard streams
and signals, to a server that has imported torch (and nothing of this project) and forks a process
for it. It then waits: signals that it gets go to that process, its exit status is that process's,
and the process dies when the launcher does.

There is one server for each set of circumstances that a process cannot change after it has
started: user, interpreter, PyTorch, name spaces, control group (so: SLURM job and step), limits,
and the environment variables that matter when torch is imported. The first launcher starts it; it
ends by itself some seconds after its last process. Wherever something is odd, the program is
started in the ordinary way and a line in the log says why. OPTLAB_WARM=0 always does so.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import signal
import socket
import stat
import struct
import sys
import time
import zlib  # every run imports these: no json, hashlib or subprocess, which would double the cost
from contextlib import suppress

TYPE_CHECKING = False  # importing typing costs as much as all the rest
if TYPE_CHECKING:
    from typing import NoReturn

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
IMPORT_VARIABLES = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "DNNL_", "ONEDNN_", "ATEN_"),
    *("TORCH", "PYTORCH_", "TRITON_", "CUDA", "CUBLAS_", "NVIDIA_", "NCCL_", "HIP_", "ROC", "HSA_"),
    *("PYTHON", "NPY_", "LD_", "GLIBC_", "MALLOC_", "LC_", "LANG"),
)
# What torchrun tells each process of a run: nothing that an import reads.
TORCHRUN_VARIABLES = ("TORCHELASTIC_", "TORCH_NCCL_ASYNC_ERROR_HANDLING")
# Always 1, in a server and in the programs of this project; Snakemake has one for each job.
IGNORED_VARIABLES = (*TORCHRUN_VARIABLES, "OPENBLAS_NUM_THREADS")
JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
# Lines of /proc/self/status: identity, rights, processors and memory nodes.
STATUS = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed:", "Mems_allowed:")
FORWARDED = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXCPU")
START_SECONDS = 60.0  # for the server to import torch, on a slow network disk too
ANSWER_SECONDS = 30.0  # for a server that is there to fork a process
FAILED_SECONDS = 600.0  # for which nobody tries again after a server has failed
NOT_BEGUN = 2**32 - 1  # in place of an exit status


class Odd(Exception):
    """Why no warm interpreter can be used here."""


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, flush=True)
        return 0 if len(sys.argv) > 1 else 2
    if any(name.startswith(TORCHRUN_VARIABLES) for name in os.environ):
        die_with_parent()  # torchrun, when it is killed, leaves its processes alone
    program = sys.argv[1]
    # A program that cannot be read is left to Python too, which says so in its own words.
    readable = program.endswith(".py") and os.access(program, os.R_OK) and os.path.isfile(program)
    if os.environ.get("OPTLAB_WARM") == "0" or not readable:
        start_cold()
    try:
        return start_warm()
    except Exception as reason:
        text = str(reason) if isinstance(reason, (Odd, OSError)) else repr(reason)
        with suppress(OSError):
            os.write(2, f"no warm start: {text}\n".encode(errors="backslashreplace"))
    start_cold()


def die_with_parent() -> None:
    """Have the kernel end this process when its parent ends, however that happens."""
    if sys.platform == "linux":
        import ctypes  # slow to import, so only where it is needed

        parent_death_signal = 1
        ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGKILL)


def start_cold() -> NoReturn:
    """Become the program, in an interpreter of its own."""
    os.execv(sys.executable, [sys.executable, *options(), *sys.argv[1:]])


def options() -> list[str]:
    """The interpreter's own options, such as -W error."""
    return sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]


def start_warm() -> int:
    """Have a server run the program; returns its exit status."""
    if sys.platform != "linux":
        raise Odd(f"{sys.platform} lacks what it needs")
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            raise Odd(f"standard stream {stream} is closed") from None
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of the launcher's own
    path = os.path.join(private_folder(), circumstances())
    for _ in range(3):
        with connect(path) as connection:
            process = receive(connection)
            if process is not None:
                return follow(connection, process)
        # The server was about to leave; nothing of the program has run.
    raise Odd("no server takes the program")


def private_folder() -> str:
    """A folder on this machine that only this user can enter, with a short name for sockets."""
    place = os.path.abspath(os.environ.get("TMPDIR") or "/tmp")
    folder = os.path.join(place, f"optlab-{os.getuid()}")
    if len(folder) > 80:  # a socket's path has room for 107 characters
        folder = f"/tmp/optlab-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.getuid():
        raise Odd(f"{folder} is not a folder of yours alone")
    return folder


def circumstances() -> str:
    """A short name for all that a process forked elsewhere could not make its own."""
    spaces = [f"/proc/self/ns/{name}" for name in sorted(os.listdir("/proc/self/ns"))]
    here: list[object] = [os.readlink(space) for space in spaces]
    here += [os.uname(), os.stat("/").st_dev, os.stat("/").st_ino]
    here += [read(f"/proc/self/{name}") for name in ("cgroup", "limits", "oom_score_adj")]
    here += [line for line in read("/proc/self/status").splitlines() if line.startswith(STATUS)]
    here += [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0)]
    here += [sys.executable, os.stat(sys.executable).st_mtime_ns, sys.version, options()]
    here += [torch_identity(), read(SERVER)]
    here += [
        item
        for item in sorted(os.environ.items())
        if (item[0].startswith(IMPORT_VARIABLES) or item[0] in JOB_VARIABLES)
        and not item[0].startswith(IGNORED_VARIABLES)
    ]
    text = repr(here).encode(errors="backslashreplace")
    return f"{zlib.crc32(text):08x}{zlib.crc32(text[::-1]):08x}"


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="backslashreplace") as file:
        return file.read()


def torch_identity() -> tuple[str, int, int]:
    """Where torch lies and when it, or a neighbour, was installed; found without importing it."""
    for folder in sys.path[0 if sys.flags.safe_path else 1 :]:
        version = os.path.join(folder, "torch", "version.py")
        with suppress(OSError):
            return version, os.stat(version).st_mtime_ns, os.stat(folder or ".").st_mtime_ns
    raise Odd("torch is not installed for this interpreter")


def connect(path: str) -> socket.socket:
    """A connection to the server of these circumstances, which is started where there is none."""
    end = time.monotonic() + START_SECONDS
    started = 0
    while time.monotonic() < end:
        # No socket, a socket that a killed server has left, or too many launchers at once.
        with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            return connected(path)
        started += start_server(path)
        if started > 2:
            raise Odd("the server is killed whenever it starts")
        time.sleep(0.01)
    raise Odd(f"no server answered within {START_SECONDS:.0f} s")


def connected(path: str) -> socket.socket:
    """A connection to a server of this user's, and to no other."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(path)
        size = struct.calcsize("3i")
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if struct.unpack("3i", peer)[1] != os.getuid():
            raise Odd(f"{path} belongs to another user")
    except BaseException:
        connection.close()
        raise
    return connection


def start_server(path: str) -> bool:
    """Start a server, unless there is one: it keeps its log locked for as long as it lives."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(f"{path}.log", flags, 0o600)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(log)
        if not found.st_nlink:
            return False  # a server that was leaving has removed it just now
        if found.st_size and time.time() - found.st_mtime < FAILED_SECONDS:
            raise Odd(f"the server failed, see {path}.log")
        os.ftruncate(log, 0)
        import subprocess

        subprocess.run(
            [sys.executable, *options(), SERVER, path],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            check=False,
        )
        return True
    except BlockingIOError:
        return False  # one is starting, or leaving
    finally:
        os.close(log)


def follow(connection: socket.socket, process: int) -> int:
    """Send the job, pass on signals, and end as its process ends."""

    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    def pause(number: int, frame: object) -> None:
        """Ctrl-Z: stop with the program, and go on with it."""
        for last in (signal.SIGSTOP, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.killpg(process, last)
            if last == signal.SIGSTOP:
                os.kill(os.getpid(), last)

    connection.settimeout(None)
    if signal.getsignal(signal.SIGTSTP) is not signal.SIG_IGN:
        signal.signal(signal.SIGTSTP, pause)
    for number in (getattr(signal, name) for name in FORWARDED):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, forward)
    with suppress(OSError):  # where its process is dead already, the server tells how it died
        send_job(connection)
    status = receive(connection)
    if status is None or status == NOT_BEGUN:
        end_group(process)
        killed = "the server was killed, and the program with it; it starts again"
        raise Odd(killed if status is None else "the server could not set up a process")
    if os.WIFSIGNALED(status):
        return die_of(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def send_job(connection: socket.socket) -> None:
    """What a process can make its own: standard streams and working directory, then the rest."""
    os.umask(mask := os.umask(0o077))
    folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
    program = os.path.dirname(os.path.realpath(sys.argv[1]))
    job = {
        "arguments": sys.argv[1:],
        "original": [sys.orig_argv[0], *options(), *sys.argv[1:]],
        "path": sys.path if sys.flags.safe_path else [program, *sys.path[1:]],
        "environment": dict(os.environ),
        "umask": mask,
        "ignored": [
            int(n) for n in signal.valid_signals() if signal.getsignal(n) is signal.SIG_IGN
        ],
        "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }
    body = marshal.dumps(job)  # the same interpreter of the same user reads it
    socket.send_fds(connection, [b"."], [0, 1, 2, folder])
    connection.sendall(struct.pack("!I", len(body)) + body)
    os.close(folder)


def receive(connection: socket.socket) -> int | None:
    """The next number that the server sends; None where it has gone."""
    data = b""
    while len(data) < 4:
        try:
            more = connection.recv(4 - len(data))
        except ConnectionResetError:
            return None
        except TimeoutError:
            raise Odd(f"the server did not answer within {ANSWER_SECONDS:.0f} s") from None
        if not more:
            return None
        data += more
    return int(struct.unpack("!I", data)[0])


def end_group(process: int) -> None:
    """Kill what is left of a job, and wait for its end: two must not write the same files."""
    end = time.monotonic() + 1
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < end:
            os.killpg(process, signal.SIGKILL)
            time.sleep(0.01)
    for name in FORWARDED:
        if callable(signal.getsignal(getattr(signal, name))):
            signal.signal(getattr(signal, name), signal.SIG_DFL)


def die_of(number: int) -> int:
    """End by the signal that ended the job's process, without a second core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # SIGKILL
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    os._exit(main())  # nothing is left to tidy up, and the interpreter would take its time
