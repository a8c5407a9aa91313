"""The GPUs of this machine, handed out so that no two runs land on the same one by accident.

Snakemake counts GPUs but does not say which; a run takes its own by locking a file for each. The
lock goes with the process, however that ends. Inside a SLURM job its GPUs are the job's alone.
Standard library only at its top level: the number of GPUs is asked for at every parse.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import tempfile
import time
from pathlib import Path

from optlab.errors import UserError

PAUSE = 0.2  # seconds between two looks for a GPU that is free
_held: list[int] = []  # locks, kept open as long as the process lives


def present() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",")]
        seen = itertools.takewhile(lambda name: name not in ("", "-1", "NoDevFiles"), names)
        return list(dict.fromkeys(seen))  # CUDA stops at the first that is none, too
    try:
        found = [name for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name)]
    except OSError:
        return []
    return [str(number) for number in range(len(found))]


def resolve(wanted: str) -> str:
    """Where to train, cpu or cuda, when this is ``wanted``: cpu, cuda or auto; starts no CUDA.

    Raises:
        UserError: a GPU is asked for and PyTorch sees none.
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
    """`take` so many GPUs for a process that trains on ``wanted``: cpu, cuda or auto; or none.

    Raises:
        UserError: as `take`.
    """
    if wanted == "cpu" or not present() or _held:
        return
    import torch

    if wanted == "cuda" or torch.backends.cuda.is_built():
        take(count)


def take(count: int) -> list[str]:
    """Wait for so many free GPUs, and make them the only ones that this process sees.

    Must be called before CUDA is started.

    Returns:
        The GPUs, as CUDA_VISIBLE_DEVICES names them.

    Raises:
        UserError: the machine, or the SLURM job, has fewer.
    """
    names = present()
    check(count, len(names))
    told = False
    while True:
        locks = {name: lock for name in names if (lock := _lock(name)) is not None}
        if len(locks) >= count:
            break
        for lock in locks.values():  # all or none: two runs never wait for each other
            os.close(lock)
        if not told:
            print(f"waiting for {count} free GPU(s) of {len(names)}", flush=True)
            told = True
        time.sleep(PAUSE)
    taken = list(locks)[:count]
    for name in list(locks)[count:]:
        os.close(locks[name])
    _held.extend(locks[name] for name in taken)
    if "CUDA_VISIBLE_DEVICES" not in os.environ:  # these are numbers of the bus, not of speed
        os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    return taken


def check(count: int, there: int, key: str = "gpus") -> None:
    """Raise UserError where fewer GPUs are there than a run asks for under ``key``."""
    if count > there:
        found = f"there are {there} here" if there else "there is none here"
        raise UserError(
            f"{key}: it takes {count} GPU(s) and {found}; use device: cpu, for processes on CPU "
            "cores, or a cluster: snakemake --profile profiles/slurm"
        )


def _lock(name: str) -> int | None:
    """A lock on one GPU, None where another process has it."""
    folder = Path(tempfile.gettempdir()) / f"optlab-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # Nodes of one job may share a folder for temporary files, and number their GPUs alike.
    owner = os.environ.get("SLURM_JOB_ID", "machine") + os.environ.get("SLURMD_NODENAME", "")
    file = os.open(folder / f"gpu-{owner}-{name.replace('/', '+')}", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        return None
    return file
