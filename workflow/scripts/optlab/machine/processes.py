"""The processes of a run that several of them train: launched, joined and ended together.

`launch` starts them with torchrun, one per GPU or one per share of the CPU cores; in each of them
`join` gives its `World`. Only this module reads RANK and WORLD_SIZE, and only in processes that it
has started: another launcher may have left them in the environment, as it may PET_* and others.
"""

import logging
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from optlab.errors import UserError, report
from optlab.machine import hardware, nodes
from optlab.training.world import ALONE, World

LAUNCHER = Path(__file__).parents[4] / "warm/launcher.py"
GRACE_SECONDS = 20  # for a process to save its state after SIGTERM
_STARTED = "OPTLAB_STARTED"
_OF_OTHERS = ("PET_", "TORCHELASTIC_")  # variables that torchrun reads or hands on
# Errors that the surviving ranks raise after one rank has died. They are symptoms, so no traceback
# is printed.
_GONE = re.compile(
    r"\b(gloo|nccl|tcpstore)\b|connection (closed|reset|refused)|broken pipe", re.IGNORECASE
)


def is_member() -> bool:
    """Whether this process is one of several that train a run together."""
    return _STARTED in os.environ


def is_first() -> bool:
    """Whether this process starts the others of a run, on the first node, or is its only one."""
    return not is_member() and nodes.layout()[1] == 0


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
    with _limited(f"process {rank} of {size} could not connect to the others"):
        if device == "cuda":
            torch.cuda.set_device(local)
            torch.distributed.init_process_group("nccl", device_id=torch.device("cuda", local))
        else:
            torch.distributed.init_process_group("gloo")
    return World(rank, size)


@contextmanager
def _limited(message: str) -> Iterator[None]:
    """End this process after `nodes.SECONDS` in this context, or by SIGTERM at once.

    Within PyTorch's own code, which waits for long and lets no handler of a signal run.
    """

    def end() -> None:
        report(f"{message} within {nodes.SECONDS} s")
        os._exit(1)

    timer = threading.Timer(nodes.SECONDS, end)
    timer.daemon = True
    handler = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, handler)


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
    return here * threads > hardware.cores()


def started() -> float | None:
    """When the program that launched this process was started, in seconds since the epoch."""
    return float(os.environ[_STARTED]) if is_member() else None


def processes_here(processes: int) -> int:
    """How many of a run's processes this node trains, if SLURM runs this program on each node."""
    return -(-processes // nodes.layout()[0])


def launch(
    words: Sequence[str], processes: int, threads: int, meeting: Path, started: float
) -> int:
    """Run this program in several processes through torchrun, and wait for them.

    Args:
        words: the arguments of the program.
        processes: their number, over all nodes of the SLURM job step if there is one.
        threads: CPU threads of each process.
        meeting: a path on a disk that all nodes share; they meet beside it.
        started: when this program was started, in seconds since the epoch.

    Returns:
        The exit status.

    Raises:
        UserError: the processes cannot be shared out or cannot meet, or one was killed.
    """
    count, node = nodes.layout()
    if processes % count:
        raise UserError(f"gpus: {processes} processes cannot be shared out among {count} nodes")
    member = _member(words, threads, started)
    if count == 1 and sys.platform == "linux":
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # works if the host has no address
    # By number, since the name of a laptop may not resolve.
    here = ["--nnodes=1", "--standalone", "--local-addr=127.0.0.1"]
    place = meeting.with_name(f".{meeting.name}.meeting")
    logs = meeting.with_name(f".{meeting.name}.torchrun-{node}")  # torchrun's, empty
    try:
        where = here if count == 1 else nodes.meet(place, count, node)
        if count > 1:  # torchrun handles it once it has started processes; until then, at once
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        options = [*where, f"--nproc-per-node={processes // count}"]
        return _torchrun(options, member, processes, logs)
    finally:
        if node == 0:
            nodes.part(place)


def _member(words: Sequence[str], threads: int, started: float) -> list[str]:
    """The command of one of the processes, for which the environment is made ready."""
    for name in [name for name in os.environ if name.startswith(_OF_OTHERS)]:
        del os.environ[name]
    variables = [f"{_STARTED}={started}"]
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(threads)  # else torchrun sets it and prints a warning
        variables = ["-u", "OMP_NUM_THREADS", *variables]  # it is not set in other runs either
    # In warm interpreters, as all runs. The launcher makes each of them end with torchrun.
    return ["env", *variables, sys.executable, str(LAUNCHER), sys.argv[0], *words]


def _torchrun(options: list[str], member: list[str], processes: int, logs: Path) -> int:
    """Run the command ``member`` in several processes; returns the exit status."""
    shutil.rmtree(logs, ignore_errors=True)  # of a call that was killed
    logs.mkdir(parents=True)
    from torch.distributed import DistError
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
    except DistError as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"gpus: the nodes of this run cannot connect: {reason}") from error
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    return 0
