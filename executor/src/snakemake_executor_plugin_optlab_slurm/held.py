"""Jobs that SLURM holds because a node failed to start them: they would wait for ever."""

import subprocess
from collections.abc import Collection

LAUNCH_FAILED = "launch failed requeued held"  # SLURM's reason; only a person would release it
SECONDS = 60  # for SLURM to answer


def cancel(pending: Collection[str]) -> set[str]:
    """Cancel those of these jobs that are held, so that they can be submitted again.

    Returns:
        The numbers of the jobs; empty where SLURM does not answer.
    """
    if not pending:
        return set()
    command = ["squeue", "--noheader", "--format=%i|%r", f"--jobs={','.join(pending)}"]
    try:
        told = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=True
        ).stdout
        lines = [line.partition("|") for line in told.splitlines()]
        held = {job for job, _, reason in lines if reason.strip("()") == LAUNCH_FAILED}
        if held:
            subprocess.run(["scancel", *sorted(held)], timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return set()
    return held
