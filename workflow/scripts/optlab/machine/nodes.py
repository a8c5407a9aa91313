"""The nodes of a run that several of them train: how many there are, and where they meet.

srun starts the program once on each of them. Only the command that does so (`command`) says how
many they are: variables of SLURM also remain in the shell of an allocation, where nobody starts
the others.
"""

import os
import shutil
import socket
import time
from pathlib import Path

from optlab import files
from optlab.errors import UserError

SECONDS = 60  # within which all nodes must have come
PAUSE = 0.2
_NODES = "OPTLAB_NODES"


def command(nodes: int, threads: int) -> str:
    """The command that starts a program on each of so many nodes, with so many processors."""
    one_each = f"--nodes={nodes} --ntasks={nodes} --ntasks-per-node=1"
    whole = f"--cpus-per-task={threads} --kill-on-bad-exit=1"
    return f"srun {one_each} {whole} env {_NODES}={nodes}"


def layout() -> tuple[int, int]:
    """The number of nodes on which this program was started, and the number of this one.

    Raises:
        UserError: srun has not started it on each.
    """
    nodes = int(os.environ.get(_NODES, "1"))
    if nodes == 1:
        return 1, 0
    step, node = (os.environ.get(f"SLURM_{name}", "") for name in ("STEP_NUM_NODES", "NODEID"))
    if step != str(nodes) or not node.isdecimal():
        raise UserError(f"{_NODES}={nodes}, but srun has not started this program on each of them")
    return nodes, int(node)


def meet(folder: Path, nodes: int, node: int) -> list[str]:
    """The options that connect the torchruns of all nodes, once all of them have come.

    PyTorch would wait for them in its own code, for long and deaf to signals.

    Args:
        folder: on a disk that all nodes share; `part` removes it.

    Raises:
        UserError: they have not come in time.
    """
    if node == 0:
        for old in folder.glob("*"):  # of calls that were killed
            if old.name != _attempt():
                shutil.rmtree(old, ignore_errors=True)
        with socket.create_server(("", 0)) as server:
            port = server.getsockname()[1]
        address = f"{socket.gethostname()} {port}"
    else:
        address = "here"
    place = folder / _attempt()
    files.write(place / str(node), address)
    host, _, port = _first_of(place, nodes).partition(" ")
    where = [f"--master-addr={host}", f"--master-port={port}"]
    return [f"--nnodes={nodes}", f"--node-rank={node}", *where, f"--rdzv-conf=timeout={SECONDS}"]


def part(folder: Path) -> None:
    """Remove the place where nodes have met."""
    shutil.rmtree(folder, ignore_errors=True)


def _attempt() -> str:
    """A name for this attempt at this job step, so that no attempt reads that of an earlier one."""
    names = ("SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_RESTART_COUNT")
    return "-".join(os.environ.get(name, "0") for name in names)


def _first_of(place: Path, nodes: int) -> str:
    """What the first node has written, once all of them have."""
    end, missing = time.monotonic() + SECONDS, [*range(nodes)]
    while time.monotonic() < end:
        try:
            os.listdir(place)  # makes a network file system look for new files
            missing = [number for number in range(nodes) if not (place / str(number)).exists()]
            if not missing:
                return (place / "0").read_text(encoding="utf-8")
        except OSError:
            pass
        time.sleep(PAUSE)
    names = ", ".join(map(str, missing))
    raise UserError(
        f"gpus: of the {nodes} nodes of this run, {names} did not come within {SECONDS} s to "
        f"{place}; is it on a disk that all of them share?"
    )
