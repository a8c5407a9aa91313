"""The first process of a bundle: `python -m snakemake_executor_plugin_optlab_bundle FILE.json`.

Starts the Snakemake that runs the bundle's jobs, those left out of which something is known: SLURM
may have put the bundle back into its queue and started it again. SLURM signals only this first
process when the time is over or the bundle is cancelled; it passes that on to all others, so that
training can write its checkpoint.
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
    told = report.read_text(encoding="utf-8").splitlines() if report.exists() else []
    known = {line.partition("\t")[2] for line in told}
    tell(report, "begin")
    targets = [name for name in bundle["targets"] if name not in known]
    if os.getpgid(0) != os.getpid():
        os.setpgid(0, 0)
    signal.signal(signal.SIGTERM, pass_on)
    command = [sys.executable, *bundle["command"], "--", *targets]
    status = subprocess.call(command) if targets else 0
    tell(report, "end")
    return status


def tell(report: Path, word: str) -> None:
    with report.open("a", encoding="utf-8") as file:
        file.write(f"{word}\n")


def pass_on(number: int, frame: object) -> None:
    """Give a signal to all other processes of the bundle, once."""
    signal.signal(number, signal.SIG_IGN)
    os.killpg(0, number)


if __name__ == "__main__":
    sys.exit(main())
