"""The processes of a run that several of them train: launched, joined and ended together.

`launch` starts them with torchrun, one per GPU or one per share of the CPU cores; in each of them
`join` gives its `World`. Only this module reads RANK, WORLD_SIZE and SLURM's description of a job.
"""

import logging
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from optlab import files
from optlab.errors import UserError
from optlab.training.world import ALONE, World

LAUNCHER = Path(__file__).parents[4] / "warm/launcher.py"
MEETING_SECONDS = 300  # within which the first node of a job must have written its address
GRACE_SECONDS = 20  # for a process to save its state after SIGTERM
_STARTED = "OPTLAB_STARTED"
# Errors that the surviving ranks raise after one rank has died. They are symptoms, so no traceback
# is printed.
_GONE = re.compile(
    r"\b(gloo|nccl|tcpstore)\b|connection (closed|reset|refused)|broken pipe", re.IGNORECASE
)


def is_member() -> bool:
    """Whether this process is one of several that train a run together."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process starts the others of a run, on the first node, or is its only one."""
    return not is_member() and _layout()[1] == 0


def is_first_to_tell() -> bool:
    """Whether this process should print an error: rank 0 does, the others wait for it first.

    An error that all ranks have is printed once, since torchrun ends those that wait here.
    """
    return not is_member() or os.environ.get("RANK", "0") == "0" or not await_the_end(2)


def is_consequence(error: BaseException) -> bool:
    """Whether an error only says that another rank has ended."""
    return is_member() and isinstance(error, RuntimeError) and bool(_GONE.search(str(error)))


def await_the_end(seconds: float = GRACE_SECONDS) -> bool:
    """Wait until torchrun, which reports the rank that failed first, has ended this process.

    Returns:
        False if it has not within this time.
    """
    try:
        time.sleep(seconds)
    except KeyboardInterrupt:
        return True
    return False


def join(device: str) -> World:
    """Join the process group of the run; `ALONE` if this process is its only one."""
    if not is_member():
        return ALONE
    import torch.distributed

    rank, size, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device == "cuda":
        torch.cuda.set_device(local)
        torch.distributed.init_process_group("nccl", device_id=torch.device("cuda", local))
    else:
        torch.distributed.init_process_group("gloo")
    return World(rank, size)


def leave(world: World) -> None:
    """Leave the process group when all ranks have reached this point."""
    if world.size > 1:
        import torch.distributed

        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def oversubscribed(world: World, device: str, threads: int) -> bool:
    """Whether ranks on this machine have to share CPU cores or GPUs."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world.size > 1 else 1
    if device == "cuda":
        import torch

        return here > torch.cuda.device_count()
    return here * threads > len(os.sched_getaffinity(0))


def started() -> float | None:
    """When the program that launched this process was started, in seconds since the epoch."""
    return float(os.environ[_STARTED]) if is_member() and _STARTED in os.environ else None


def processes_here(processes: int) -> int:
    """How many of a run's processes this node trains, if SLURM runs this program on each node."""
    return -(-processes // _layout()[0])


def launch(
    words: Sequence[str], processes: int, threads: int, meeting: Path, started: float
) -> int:
    """Run this program in several processes through torchrun, and wait for them.

    Args:
        words: the arguments of the program.
        processes: their number, over all nodes of the SLURM job step if there is one.
        threads: CPU threads of each process.
        meeting: a path on a disk that all nodes share; they exchange their address beside it.
        started: when this program was started, in seconds since the epoch.

    Returns:
        The exit status.

    Raises:
        UserError: the processes cannot be divided equally among the nodes, or one was killed.
    """
    nodes, node = _layout()
    if processes % nodes:
        raise UserError(f"gpus: {processes} processes cannot be shared out among {nodes} nodes")
    os.environ[_STARTED] = str(started)
    # In warm interpreters, as all runs. The launcher makes each of them end with torchrun.
    member = [sys.executable, str(LAUNCHER), sys.argv[0], *words]
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else torchrun sets it and prints a warning
        member = ["env", "-u", "OMP_NUM_THREADS", *member]  # it is not set in other runs either
    if nodes == 1 and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # works if the host has no address
    # By number, since the name of a laptop may not resolve.
    here = ["--standalone", "--local-addr=127.0.0.1"]
    place = here if nodes == 1 else _meet(meeting, nodes, node)
    logs = meeting.with_name(f".{meeting.name}.torchrun-{node}")  # torchrun's, empty
    try:
        options = [*place, f"--nproc-per-node={processes // nodes}"]
        return _torchrun(options, member, processes, logs)
    finally:
        if node == 0:
            _meeting_file(meeting).unlink(missing_ok=True)


def _torchrun(options: list[str], member: list[str], processes: int, logs: Path) -> int:
    """Run the command ``member`` in several processes; returns the exit status."""
    shutil.rmtree(logs, ignore_errors=True)  # of a call that was killed
    logs.mkdir(parents=True)
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # see below
    if "--shutdown-timeout" in torchrun.get_args_parser()._option_string_actions:
        options = [*options, f"--shutdown-timeout={GRACE_SECONDS}"]
    try:
        options = [*options, "--monitor-interval=0.2", f"--log-dir={logs}", "--no-python"]
        torchrun.run(torchrun.parse_args([*options, *member]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            message = f"process {rank} of {processes} was killed ({name}); the others were ended"
            raise UserError(message) from error
        return failure.exitcode  # the process has printed the reason
    except SignalException as error:
        raise KeyboardInterrupt from error
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    return 0


def _layout() -> tuple[int, int]:
    """The number of nodes on which SLURM runs this program, and the number of this node."""
    step = os.environ.get("SLURM_STEP_NUM_NODES", "1")
    return int(step), int(os.environ.get("SLURM_NODEID", "0")) if step != "1" else 0


def _meet(meeting: Path, nodes: int, node: int) -> list[str]:
    """The options that connect the torchruns of all nodes; node 0 determines the address."""
    file = _meeting_file(meeting)
    if node == 0:
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        host = socket.gethostname()
        files.write(file, f"{host} {port}")
    else:
        host, port = _read_meeting(file)
    address = [f"--master-addr={host}", f"--master-port={port}"]
    return [f"--nnodes={nodes}", f"--node-rank={node}", *address]


def _meeting_file(meeting: Path) -> Path:
    """A file for this attempt at this job step, so that no attempt reads that of an earlier one."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    attempt = "-".join(os.environ.get(name, "0") for name in names)
    return meeting.with_name(f"{meeting.name}.{attempt}")


def _read_meeting(file: Path) -> tuple[str, int]:
    end = time.monotonic() + MEETING_SECONDS
    while time.monotonic() < end:
        try:
            os.listdir(file.parent)  # makes a network file system look for new files
            host, port = file.read_text(encoding="utf-8").split()
            return host, int(port)
        except (OSError, ValueError):
            time.sleep(0.2)
    raise UserError(f"the first node has not written {file} within {MEETING_SECONDS} s")
