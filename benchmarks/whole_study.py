"""The default study, from `snakemake` to the last figure, beside one bare loop over its runs.

The same for exercise 1 alone, with a grid of sixty runs. The loop is what a user would write
instead: one process imports PyTorch once and trains every run and seed with the same trainer, one
after another; it keeps no files and draws nothing. Both work on data sets that are prepared
already. The study may use every core; the loop cannot.

The study also makes a search, and starts torchrun for the runs of exercise 4 with `gpus: 2`, which
it times one by one on an idle machine. The loop does without: it trains those runs too, in its one
process on the whole batch, which is the same arithmetic.

The share of the cores' time is that of a study of single runs, exercise 4 aside: its runs have the
machine to themselves, and a core that idles beside one is how it is measured.
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
from statistics import median
from typing import Any

import yaml
from timing import interleaved, show

ROOT = Path(__file__).resolve().parents[1]
IDLE_SECONDS = 8  # after which a warm interpreter has ended
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


def study(folder: Path, config: str, *options: str) -> float:
    """Seconds of the whole study, its data sets aside; PyTorch is imported anew for it."""
    name = yaml.safe_load((folder / config).read_text())["study"]
    shutil.rmtree(folder / "results" / name, ignore_errors=True)
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    time.sleep(IDLE_SECONDS)
    return snakemake(folder, "--configfile", config, *options)


def loop(folder: Path, config: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", LOOP, config], cwd=folder, check=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def share_of_training(folder: Path, seconds: float) -> float:
    """The part of the cores' time that went to training and evaluation."""
    records = (folder / "results/single/runs").rglob("run.json")
    walls = [json.loads(record.read_text())["wall"] for record in records]
    used = sum(wall["training"] + wall["evaluation"] for wall in walls)
    return used / seconds / len(os.sched_getaffinity(0))


def studies() -> dict[str, dict[str, Any]]:
    """The studies that are measured, all of them parts of the default one."""
    plan = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    exercises = plan["exercises"]
    rates = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1]
    optimizers = exercises["linear"]["optimizers"]
    sixty = {
        "sgd": optimizers["sgd"],
        "momentum": {**optimizers["momentum"], "lr": rates},
        "adam": {"lr": [*rates, 0.2, 0.3, 0.5]},
    }
    linear = {**exercises["linear"], "optimizers": sixty}
    single = {name: e for name, e in exercises.items() if e.get("kind") is None}
    return {
        "default": plan,
        "linear": {**plan, "study": "linear", "exercises": {"linear": linear}},
        "single": {**plan, "study": "single", "exercises": single},
    }


def main(rounds: int = 3) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("Snakefile", "workflow", "profiles", "config"):
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        for name, plan in studies().items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
        shares: list[float] = []

        def single() -> float:
            seconds = study(folder, "single.yaml", "--until", "train")
            shares.append(share_of_training(folder, seconds))
            return seconds

        seconds = interleaved(
            {
                "study": lambda: study(folder, "default.yaml"),
                "bare loop": lambda: loop(folder, "default.yaml"),
                "exercise 1": lambda: study(folder, "linear.yaml"),
                "bare loop, exercise 1": lambda: loop(folder, "linear.yaml"),
                "single runs, up to the last": single,
            },
            rounds,
        )
        show(seconds, ("study", "bare loop"), ("exercise 1", "bare loop, exercise 1"))
        low, middle, high = min(shares[1:]), median(shares[1:]), max(shares[1:])
        print(f"  share of the cores' time in training: {middle:.0%} ({low:.0%} to {high:.0%})")


if __name__ == "__main__":
    main()
