"""Whether jobs can be submitted from this machine at all."""

import shlex
import shutil
import subprocess
from typing import Any

from optlab.errors import UserError

SECONDS = 60.0  # for the answer of a cluster
HINT = "call this on a login node of the cluster, or use snakemake --cores all"


def check(executor: str, settings: Any) -> None:
    """Check that an executor finds its cluster, before each job says at length that it does not.

    Args:
        executor: its name.
        settings: those of Snakemake for it.

    Raises:
        UserError: this machine has not its commands, or they find no cluster.
    """
    if executor in ("slurm", "optlab-slurm"):
        _there("sbatch")
        _there("sinfo")
        _answers("sinfo", "--noheader", "--format=%P")
    elif executor == "cluster-generic" and settings.cancel_cmd:
        _there(shlex.split(settings.cancel_cmd)[0])  # to submit may be several commands


def _there(command: str) -> None:
    if shutil.which(command) is None:
        raise UserError(f"there is no {command} on this machine; {HINT}")


def _answers(*command: str) -> None:
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]} does not answer within {SECONDS:.0f} s; {HINT}") from None
    if asked.returncode:
        said = [line for line in asked.stderr.splitlines() if line.strip()] or ["without a reason"]
        raise UserError(f"the cluster does not answer: {said[-1]}; {HINT}")
