"""The processes of a run that is trained by several: started, joined, and ended together.

`launch` starts them with torchrun, one a GPU or one a share of the CPU cores, and `join` makes one
of them a `World`. This is the only reader of RANK, WORLD_SIZE and of SLURM's layout.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from optlab import files
from optlab.errors import UserError
from optlab.training.world import ALONE, World

LAUNCHER = Path(__file__).parents[4] / "warm/launcher.py"
MEETING_SECONDS = 300  # for all nodes of a job to come to the meeting point
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


def is_first_to_tell() -> bool:
    """Whether this process should print an error: rank 0 does, the others wait for it first.

    An error that all ranks have is printed once, since torchrun ends those that wait here.
    """
    if os.environ.get("RANK", "0") == "0" or not is_member():
        return True
    try:
        time.sleep(2)
    except KeyboardInterrupt:
        return False
    return True


def join(device: str) -> World:
    """Join the process group of the run."""
    if not is_member():
        return ALONE
    import torch.distributed

    rank, size, local = (int(os.environ[n]) for n in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
    if device == "cuda":
        torch.cuda.set_device(local)
        gpu = torch.device("cuda", local)
        torch.distributed.init_process_group("nccl", device_id=gpu)
    else:
        torch.distributed.init_process_group("gloo")
    return World(rank, size, local)


def oversubscribed(world: World, device: str, threads: int) -> bool:
    """Whether the processes of this machine have to share CPU cores, or a GPU."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if world.size > 1 else 1
    if device == "cuda":
        import torch

        return here > torch.cuda.device_count()
    return here * threads > len(os.sched_getaffinity(0))


def leave(world: World) -> None:
    """Leave the process group, once all ranks have come to this point."""
    if world.size > 1:
        import torch.distributed

        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def is_consequence(error: BaseException) -> bool:
    """Whether an error only says that another process of the run has ended."""
    return is_member() and isinstance(error, RuntimeError) and bool(_GONE.search(str(error)))


def await_the_end() -> bool:
    """Wait until torchrun has reported the rank that failed first; whether it ended this one."""
    try:
        time.sleep(GRACE_SECONDS)
    except KeyboardInterrupt:
        return True
    return False


def started() -> float | None:
    """When the program that launched this process was started, in seconds since the epoch."""
    return float(os.environ[_STARTED]) if is_member() and _STARTED in os.environ else None


def processes_here(processes: int) -> int:
    """How many of the run's processes this node has, itself being one of SLURM's."""
    return -(-processes // _layout()[0])


def launch(
    words: Sequence[str], processes: int, threads: int, meeting: Path, started: float
) -> int:
    """Run this program in several processes, through torchrun, and wait for them.

    Args:
        words: the program's own arguments.
        processes: how many, over all nodes of the SLURM job step where there is one.
        threads: CPU threads of each.
        meeting: beside this file, which all nodes see, they find each other.
        started: when this program was started, in seconds since the epoch.

    Returns:
        The exit status.

    Raises:
        UserError: the processes cannot be shared out evenly among the nodes, or one was killed.
    """
    nodes, node = _layout()
    if processes % nodes:
        raise UserError(f"gpus: {processes} processes cannot be shared out among {nodes} nodes")
    os.environ[_STARTED] = str(started)
    # From a warm interpreter, like any other run; the launcher makes each die with torchrun.
    member = [sys.executable, str(LAUNCHER), sys.argv[0], *words]
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # torchrun would choose, and say so
        member = ["env", "-u", "OMP_NUM_THREADS", *member]  # as in all other runs
    if nodes == 1 and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # also where the host has no address
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # we say it shorter
    # By number: the name of a laptop's own may lead nowhere.
    here = ["--standalone", "--local-addr=127.0.0.1"]
    place = here if nodes == 1 else _meet(meeting, nodes, node)
    options = [*place, f"--nproc-per-node={processes // nodes}", "--monitor-interval=0.2"]
    known = torchrun.get_args_parser()._option_string_actions
    if "--shutdown-timeout" in known:
        options.append(f"--shutdown-timeout={GRACE_SECONDS}")
    try:
        with tempfile.TemporaryDirectory(prefix="torchelastic_") as logs:  # which stay empty
            options.append(f"--log-dir={logs}")
            torchrun.run(torchrun.parse_args([*options, "--no-python", *member]))
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode < 0:
            name = signal.Signals(-failure.exitcode).name
            message = f"process {rank} of {processes} was killed ({name}); the others were ended"
            raise UserError(message) from error
        return failure.exitcode  # it has told why
    except SignalException as error:
        raise KeyboardInterrupt from error
    finally:
        if node == 0:
            _meeting_file(meeting).unlink(missing_ok=True)
    return 0


def _layout() -> tuple[int, int]:
    """Number of nodes that run this program, and the number of this one, as SLURM tells them."""
    step = os.environ.get("SLURM_STEP_NUM_NODES", "1")
    return int(step), int(os.environ.get("SLURM_NODEID", "0")) if step != "1" else 0


def _meet(meeting: Path, nodes: int, node: int) -> list[str]:
    """The options by which several torchruns find each other; the first one names the place."""
    file = _meeting_file(meeting)
    if node == 0:
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        host = socket.gethostname()
        files.write(file, f"{host} {port}")
    else:
        host, port = _read_meeting(file)
    return [f"--nnodes={nodes}", f"--node-rank={node}", f"--master-addr={host}",
            f"--master-port={port}"]  # fmt: skip


def _meeting_file(meeting: Path) -> Path:
    """One file for each attempt at each step of a job: none reads what an earlier one wrote."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    attempt = "-".join(os.environ.get(name, "0") for name in names)
    return meeting.with_name(f"{meeting.name}.{attempt}")


def _read_meeting(file: Path) -> tuple[str, int]:
    end = time.monotonic() + MEETING_SECONDS
    while time.monotonic() < end:
        try:
            os.listdir(file.parent)  # a network file system looks again
            host, port = file.read_text(encoding="utf-8").split()
            return host, int(port)
        except (OSError, ValueError):
            time.sleep(0.2)
    raise UserError(f"the first node has not written {file} within {MEETING_SECONDS} s")
