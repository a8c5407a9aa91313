"""The GPUs of this machine, assigned so that no two runs use the same one.

Snakemake counts GPUs but does not assign them. A run therefore locks one file per GPU that it
uses; the lock is released when the process ends, in any way. Inside a SLURM job the GPUs belong
to the job alone.
"""

import itertools
import os
import stat
import time
from pathlib import Path

from optlab import locks
from optlab.errors import UserError

PAUSE = 0.2  # seconds between two attempts to get free GPUs
_held: list[int] = []  # open files, whose locks this process holds


def present() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        valid = itertools.takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names)
        return list(dict.fromkeys(valid))  # CUDA too ignores everything after an invalid name
    found = list(Path("/dev").glob("nvidia[0-9]*"))
    return [str(number) for number in range(len(found))]


def resolve(wanted: str) -> str:
    """The device, cpu or cuda, of a run that wants cpu, cuda or auto; does not initialize CUDA.

    Raises:
        UserError: cuda is wanted and PyTorch sees no GPU.
    """
    if wanted == "cpu":
        return "cpu"
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise UserError("device: cuda, but PyTorch sees no GPU here; use cpu or auto")
    return "cpu"


def take_for(wanted: str, count: int = 1) -> None:
    """`take` GPUs for a process that wants cpu, cuda or auto, if it can use any.

    Raises:
        UserError: see `take`.
    """
    if wanted == "cpu" or not present() or _held:
        return
    import torch

    if wanted == "cuda" or torch.backends.cuda.is_built():
        take(count)


def take(count: int) -> list[str]:
    """Wait until ``count`` GPUs are free, and hide all others from this process.

    Must be called before CUDA is initialized.

    Returns:
        The GPUs, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        UserError: the machine, or the SLURM job, has fewer.
    """
    names = present()
    check(count, len(names))
    waiting = False
    while True:
        taken: dict[str, int] = {}
        for name in names:
            if len(taken) < count and (lock := _lock(name)) is not None:
                taken[name] = lock
        if len(taken) == count:
            break
        for lock in taken.values():  # hold all or none, so that two runs never block each other
            os.close(lock)
        if not waiting:
            print(f"waiting for {count} free GPU(s) of {len(names)}", flush=True)
            waiting = True
        time.sleep(PAUSE)
    _held.extend(taken.values())
    if "CUDA_VISIBLE_DEVICES" not in os.environ:  # these numbers follow the bus, not the speed
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return list(taken)


def check(count: int, there: int, key: str = "gpus") -> None:
    """Check that there are as many GPUs as a run asks for under ``key``.

    Raises:
        UserError: there are fewer.
    """
    if count > there:
        found = f"there are {there} here" if there else "there is none here"
        raise UserError(
            f"{key}: it takes {count} GPU(s) and {found}; use device: cpu, for processes on CPU "
            "cores, or a cluster: snakemake --profile profiles/slurm"
        )


def _lock(name: str) -> int | None:
    """The open, locked file of a GPU; None if another process has locked it.

    Raises:
        UserError: the folder of these files belongs to somebody else.
    """
    # One place for all processes of this user on this machine: TMPDIR is another in each job of
    # Grid Engine and of other clusters.
    folder = Path(f"/tmp/optlab-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != os.getuid():
        raise UserError(f"{folder} is not a folder that only you can enter; remove it")
    # The nodes of one job may share a folder for temporary files, and number their GPUs alike.
    owner = os.environ.get("SLURM_JOB_ID", "machine") + os.environ.get("SLURMD_NODENAME", "")
    return locks.lock(folder / f"gpu-{owner}-{name.replace('/', '+')}", 0o600)
