"""The default study, from `snakemake` to the last figure, beside one bare loop over its runs.

The loop is what a user would write instead: one process imports PyTorch once and trains every run
and seed with the same trainer, one after another; it keeps no files and draws nothing. Both work
on data sets that are prepared already. The study may use every core; the loop cannot.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import interleaved, show

ROOT = Path(__file__).resolve().parents[1]
LOOP = """
import sys, yaml
sys.path.insert(0, "workflow/scripts")
from pathlib import Path
import torch
from optlab import datasets, grid, study, training
import train
torch.set_num_threads(1)
plan = study.load(sys.argv[1])
for run in grid.runs(plan):
    data = datasets.load(Path(run.data))
    for seed in range(run.seeds):
        training.train(train.settings_of(run, "cpu"), data, seed)
"""


# Some machines forbid Python to write byte code: each job then compiles its modules anew, the loop
# only once. Both run as Python does by default.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def snakemake(folder: Path, *options: str) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--quiet", "all", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def study(folder: Path, *options: str) -> float:
    """Seconds of the whole study, its data sets aside."""
    for name in ("default", "linear"):
        shutil.rmtree(folder / "results" / name, ignore_errors=True)
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    return snakemake(folder, *options)


def loop(folder: Path, config: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOOP, config], cwd=folder, check=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def share_of_training(folder: Path, seconds: float) -> float:
    """The part of the cores' time that went to training and evaluation."""
    records = (folder / "results/default/runs").rglob("run.json")
    walls = [json.loads(record.read_text())["wall"] for record in records]
    used = sum(wall["training"] + wall["evaluation"] for wall in walls)
    return used / seconds / len(os.sched_getaffinity(0))


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("Snakefile", "workflow", "profiles", "config"):
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        text = (folder / "config/config.yaml").read_text()
        first = text.index("  # Exercise 2")
        linear = text[:first].replace("study: default", "study: linear")
        (folder / "linear.yaml").write_text(linear)
        snakemake(folder)
        seconds = interleaved(
            {
                "study": lambda: study(folder),
                "bare loop": lambda: loop(folder, "config/config.yaml"),
                "exercise 1": lambda: study(folder, "--configfile", "linear.yaml"),
                "bare loop, exercise 1": lambda: loop(folder, "linear.yaml"),
            },
            rounds,
        )
        show(seconds, ("study", "bare loop"), ("exercise 1", "bare loop, exercise 1"))
        training = study(folder, "--until", "train")
        print(f"  share of the cores' time in training: {share_of_training(folder, training):.0%}")


if __name__ == "__main__":
    main()
