"""The first process of a bundle: `python -m snakemake_executor_plugin_optlab_bundle FILE.json`.

Starts the Snakemake that runs the bundle's jobs, without those that the report already lists: SLURM
may have requeued and restarted the bundle. At a timeout or a cancellation SLURM signals only this
process, which forwards the signal to all others so that training can write its checkpoint.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> int:
    bundle = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    report = Path(bundle["report"])
    lines = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    ended = {line.partition("\t")[2] for line in lines}
    append(report, "begin")
    targets = [name for name in bundle["targets"] if name not in ended]
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, forward)
    command = [sys.executable, *bundle["command"], "--", *targets]
    status = subprocess.call(command) if targets else 0
    append(report, "end")
    return status


def append(report: Path, word: str) -> None:
    with report.open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def forward(number: int, frame: object) -> None:
    """Send a signal to all other processes of the bundle, once."""
    signal.signal(number, signal.SIG_IGN)
    os.killpg(0, number)


if __name__ == "__main__":
    sys.exit(main())
