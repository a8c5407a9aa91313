"""Run a Python program from a warm interpreter: `launcher.py PROGRAM.py [ARGUMENT ...]`.

Importing torch and its optimizers takes seconds; most runs of a study train for less. The launcher
passes the program, its arguments, environment, working directory, standard streams and signal
settings to a server, which has imported torch (and nothing of this project) and forks a process for
the program. The launcher then waits: it forwards its signals to that process, ends with its exit
status, and if it dies, the process is killed.

There is one server for all that a process cannot change after its start: see `circumstances`. The
first launcher starts it; it ends a few seconds after its last process. If no server can be used,
the program starts in a new interpreter, and a line in the log says why; so with OPTLAB_WARM=0.
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
import zlib  # each run pays for these imports: json, hashlib or subprocess would double the time
from contextlib import suppress

SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "server.py")
IMPORT_VARIABLES = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "DNNL_", "ONEDNN_", "ATEN_"),
    *("TORCH", "PYTORCH_", "TRITON_", "CUDA", "CUBLAS_", "NVIDIA_", "NCCL_", "HIP_", "ROC", "HSA_"),
    *("PYTHON", "NPY_", "LD_", "GLIBC_", "MALLOC_", "LC_", "LANG"),
)
# Set by torchrun for each process of a run, and not read by any import.
TORCHRUN_VARIABLES = ("TORCHELASTIC_", "TORCH_NCCL_ASYNC_ERROR_HANDLING")
# Snakemake sets OPENBLAS_NUM_THREADS; servers and the programs of this project change it to 1.
IGNORED_VARIABLES = (*TORCHRUN_VARIABLES, "OPENBLAS_NUM_THREADS")
JOB_VARIABLES = ("SLURM_JOB_ID", "SLURM_STEP_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")
# Lines of /proc/self/status: identity, privileges, processors and memory nodes.
STATUS = ("Uid", "Gid", "Groups", "Cap", "NoNewPrivs", "Seccomp", "Cpus_allowed:", "Mems_allowed:")
SIGNALS = ("HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "XCPU")
FORWARDED = [getattr(signal, f"SIG{name}") for name in SIGNALS]
START_SECONDS = 60.0  # limit for a new server to import torch, also from a slow network disk
ANSWER_SECONDS = 30.0  # limit for a running server to fork a process
FAILED = b"this server cannot start\n"  # the last line of its log, unless it was killed
FAILED_SECONDS = 600.0  # after which a launcher starts another
NOT_BEGUN = 2**32 - 1  # sent instead of an exit status: the program has not started


class NoWarmStart(Exception):
    """The reason why no warm interpreter can be used."""


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__, flush=True)
        return 0 if len(sys.argv) > 1 else 2
    if sys.platform == "linux" and any(n.startswith(TORCHRUN_VARIABLES) for n in os.environ):
        die_with_parent()  # a torchrun that is killed does not end its processes
    program = sys.argv[1]
    # If the program cannot be read, Python prints its usual error.
    readable = program.endswith(".py") and os.access(program, os.R_OK) and os.path.isfile(program)
    if os.environ.get("OPTLAB_WARM") == "0" or not readable:
        return start_cold()
    try:
        return start_warm()
    except Exception as reason:
        text = str(reason) if isinstance(reason, NoWarmStart | OSError) else repr(reason)
        with suppress(OSError):
            os.write(2, f"no warm start: {text}\n".encode(errors="backslashreplace"))
    return start_cold()


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even by SIGKILL."""
    import ctypes  # slow, so imported only here

    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG


def start_cold() -> int:
    """Replace this process by a new interpreter that runs the program."""
    os.execv(sys.executable, [sys.executable, *options(), *sys.argv[1:]])


def options() -> list[str]:
    """The options of the interpreter, such as -W error."""
    return sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv)]


def start_warm() -> int:
    """Run the program in a process of a server and return its exit status."""
    if sys.platform != "linux":
        raise NoWarmStart(f"{sys.platform} is not supported")
    for stream in (0, 1, 2):
        try:
            os.fstat(stream)
        except OSError:
            raise NoWarmStart(f"standard stream {stream} is closed") from None
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of the launcher
    path = os.path.join(private_folder(), circumstances())
    for _ in range(3):
        with connect(path) as connection:
            process = receive(connection)
            if process is not None:
                return follow(connection, process)
        # The server was about to end; the program has not started.
    raise NoWarmStart("no server accepts the program")


def private_folder() -> str:
    """A local folder that only this user can enter, with a name short enough for sockets."""
    folder = os.path.abspath(f"{os.environ.get('TMPDIR') or '/tmp'}/optlab-{os.getuid()}")
    if len(folder) > 80:  # a socket's path has room for 107 characters
        folder = f"/tmp/optlab-{os.getuid()}"
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.getuid():
        raise NoWarmStart(f"{folder} is not a folder that only you can enter")
    return folder


def circumstances() -> str:
    """A hash, 16 hex digits, of all that a process forked by a server cannot change for itself."""
    spaces = [f"/proc/self/ns/{name}" for name in sorted(os.listdir("/proc/self/ns"))]
    here: list[object] = [os.readlink(space) for space in spaces]
    here += [os.uname(), os.stat("/").st_dev, os.stat("/").st_ino, read(SERVER)]
    here += [read(f"/proc/self/{name}") for name in ("cgroup", "limits", "oom_score_adj")]
    here += [line for line in read("/proc/self/status").splitlines() if line.startswith(STATUS)]
    here += [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), torch_identity()]
    here += [sys.executable, os.stat(sys.executable).st_mtime_ns, sys.version, options()]
    relevant = [n for n in os.environ if n.startswith(IMPORT_VARIABLES) or n in JOB_VARIABLES]
    here += [(n, os.environ[n]) for n in sorted(relevant) if not n.startswith(IGNORED_VARIABLES)]
    text = repr(here).encode(errors="backslashreplace")
    return f"{zlib.crc32(text):08x}{zlib.crc32(text[::-1]):08x}"


def read(path: str) -> str:
    with open(path, encoding="utf-8", errors="backslashreplace") as file:
        return file.read()


def torch_identity() -> tuple[str, int, int]:
    """Path and time of torch's version file, and time of its folder, found without an import."""
    for folder in sys.path[0 if sys.flags.safe_path else 1 :]:
        version = os.path.join(folder, "torch", "version.py")
        with suppress(OSError):
            return version, os.stat(version).st_mtime_ns, os.stat(folder or ".").st_mtime_ns
    raise NoWarmStart("torch is not installed for this interpreter")


def connect(path: str) -> socket.socket:
    """A connection to the server at this path, which is started if there is none."""
    end = time.monotonic() + START_SECONDS
    started = 0
    while time.monotonic() < end:
        # No socket, the socket of a killed server, or too many launchers at once.
        with suppress(FileNotFoundError, ConnectionRefusedError, BlockingIOError):
            return connected(path)
        started += start_server(path)
        if started > 2:
            raise NoWarmStart("the server was killed at each of its starts")
        time.sleep(0.01)
    raise NoWarmStart(f"no server answered within {START_SECONDS:.0f} s")


def connected(path: str) -> socket.socket:
    """A connection to the server at this path, which must belong to this user."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(ANSWER_SECONDS)
        connection.connect(path)
        peer = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        if struct.unpack("3i", peer)[1] != os.getuid():
            raise NoWarmStart(f"{path} belongs to another user")
    except BaseException:
        connection.close()
        raise
    return connection


def start_server(path: str) -> bool:
    """Start a server unless one runs, which holds a lock on its log; returns whether it did."""
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    log = os.open(f"{path}.log", flags, 0o600)
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        found = os.fstat(log)
        if not found.st_nlink:
            return False  # a server that ends has just removed it
        recent = time.time() - found.st_mtime < FAILED_SECONDS
        if recent and os.pread(log, found.st_size, 0).endswith(FAILED):
            raise NoWarmStart(f"the server failed, see {path}.log")
        os.ftruncate(log, 0)
        from subprocess import DEVNULL, run

        server = [sys.executable, *options(), SERVER, path]
        run(server, stdin=DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
        return True
    except BlockingIOError:
        return False  # a server starts or ends
    finally:
        os.close(log)


def follow(connection: socket.socket, process: int) -> int:
    """Send the job, forward signals, and return the exit status of its process."""

    def forward(number: int, frame: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(process, number)

    def pause(number: int, frame: object) -> None:
        """Ctrl-Z: stop together with the program, and continue together."""
        for last in (signal.SIGSTOP, signal.SIGCONT):
            with suppress(ProcessLookupError):
                os.killpg(process, last)
            if last == signal.SIGSTOP:
                os.kill(os.getpid(), last)

    connection.settimeout(None)
    for number in FORWARDED:
        if not ignored(number):
            signal.signal(number, forward)
    if not ignored(signal.SIGTSTP):
        signal.signal(signal.SIGTSTP, pause)
    with suppress(OSError):  # if its process is already dead, the server sends its status
        send_job(connection)
    status = receive(connection)
    if status is None or status == NOT_BEGUN:
        end_group(process)
        killed = "the server was killed, and the program with it: starting it again"
        raise NoWarmStart(killed if status is None else "the server could not set up a process")
    if os.WIFSIGNALED(status):
        return die_of(os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


def send_job(connection: socket.socket) -> None:
    """Send what the new process takes over: open files first, then the other settings."""
    os.umask(mask := os.umask(0o077))
    folder = os.open(".", os.O_PATH | os.O_CLOEXEC)
    program = os.path.dirname(os.path.realpath(sys.argv[1]))
    job = {
        "arguments": sys.argv[1:],
        "original": [sys.orig_argv[0], *options(), *sys.argv[1:]],
        "path": sys.path if sys.flags.safe_path else [program, *sys.path[1:]],
        "environment": dict(os.environ),
        "umask": mask,
        "ignored": [int(n) for n in signal.valid_signals() if ignored(n)],
        "blocked": [int(n) for n in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
    }
    socket.send_fds(connection, [b"."], [0, 1, 2, folder])
    connection.sendall(marshal.dumps(job))  # read by the same interpreter, run by the same user
    os.close(folder)


def receive(connection: socket.socket) -> int | None:
    """The next number that the server sends; None if the connection has ended."""
    try:
        data = connection.recv(4)  # complete or empty: the server sends four bytes at once
    except ConnectionResetError:
        return None
    except TimeoutError:
        raise NoWarmStart(f"the server did not answer within {ANSWER_SECONDS:.0f} s") from None
    return int(struct.unpack("!I", data)[0]) if len(data) == 4 else None


def end_group(process: int) -> None:
    """Kill what is left of a job and wait for its end: two processes must not write its files."""
    end = time.monotonic() + 1
    with suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < end:
            os.killpg(process, signal.SIGKILL)
            time.sleep(0.01)
    for number in FORWARDED:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def ignored(number: int) -> bool:
    return signal.getsignal(number) is signal.SIG_IGN


def die_of(number: int) -> int:
    """End by the signal that ended the job's process, without writing another core file."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # SIGKILL
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [number])
    os.kill(os.getpid(), number)
    return 128 + number


if __name__ == "__main__":
    os._exit(main())  # without the interpreter's clean-up, which takes time and is not needed
