"""Sixty short runs of exercise 1, two at a time, from a warm interpreter and from cold ones."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from timing import show

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow/scripts"
RUN = "--dataset line --model linear --optimizer sgd --batch-size full --epochs 1000 --device cpu"


def sixty(folder: Path, warm: str, runs: int = 60) -> float:
    """Seconds for all runs, two at a time."""
    environment = {**os.environ, "OPTLAB_WARM": warm}

    def one(number: int) -> None:
        command = [sys.executable, f"{ROOT}/warm/launcher.py", f"{SCRIPTS}/train.py", *RUN.split()]
        command += ["--lr", str(1e-4 * (number + 1))]
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)

    shutil.rmtree(folder / "results/by-hand", ignore_errors=True)
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(one, range(runs)))
    return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sixty(folder, "1", runs=1)  # prepares the data set
        time.sleep(8)  # and lets the server go, so that its start is counted below
        seconds = {"warm": [sixty(folder, "1")], "cold": [sixty(folder, "0")]}
        show(seconds, ("warm", "cold"))


if __name__ == "__main__":
    main()
