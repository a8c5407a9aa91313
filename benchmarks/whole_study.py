"""The default study, from `snakemake` to the last figure, beside one bare loop over its runs.

The same for the default study without exercise 4, and for exercise 1 alone with a grid of sixty
runs. The loop is what a user would write instead: one process imports PyTorch once and trains every
run and seed with the same trainer, one after another; it keeps no files and draws nothing. Both
work on data sets that are prepared already. The study may use every core; the loop cannot.

Nothing is confirmed or extended, since the loop does not either. The study also makes a search,
which the loop leaves out. For the runs of exercise 4 with `gpus: 2` the loop calls torchrun, since
one process cannot train them; those runs have the machine to themselves in the study, too. The
share of the cores' time that goes to training is therefore that without exercise 4, and without the
search, tables and figures, which do something else.
"""

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
import subprocess, sys
sys.path.insert(0, "workflow/scripts")
from pathlib import Path
import torch
from optlab.machine import processes
from optlab.study import reading, table
from optlab.training import datasets, loop
torch.set_num_threads(1)
world = processes.join("cpu")
config, *only = sys.argv[1:]
for run in table.runs(reading.load(config)):
    if only and run.path not in only:
        continue
    if run.gpus > world.size:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        torchrun += [f"--nproc-per-node={run.gpus}", "loop.py", config, run.path]
        subprocess.run(torchrun, check=True)
        continue
    data = datasets.load(Path(run.data))
    for seed in range(run.seeds):
        loop.train(run, data, [seed], world=world)
processes.leave(world)
"""


# Some machines forbid Python to write byte code: each job then compiles its modules again, the loop
# only once. Both run as Python does by default.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def call(folder: Path, *command: str) -> float:
    """Seconds that a Python program takes."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], cwd=folder, check=True, capture_output=True, env=ENVIRONMENT
    )
    return time.perf_counter() - start


def study(folder: Path, name: str, *options: str) -> float:
    """Seconds of a whole study without its data sets, with PyTorch not yet imported."""
    shutil.rmtree(folder / "results" / name, ignore_errors=True)
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    time.sleep(IDLE_SECONDS)
    words = ("--cores", "all", "--quiet", "all", "--configfile", f"{name}.yaml")
    return call(folder, "-m", "snakemake", *words, *options)


def loop(folder: Path, name: str) -> float:
    """Seconds of the bare loop over the runs of a study."""
    return call(folder, "loop.py", f"{name}.yaml")


def share_of_training(folder: Path, name: str, seconds: float) -> float:
    """The part of the cores' time that went to training and evaluation."""
    records = (folder / "results" / name / "runs").rglob("run.json")
    walls = [json.loads(record.read_text())["wall"] for record in records]
    used = sum(wall["training"] + wall["evaluation"] for wall in walls)
    return used / seconds / len(os.sched_getaffinity(0))


def studies() -> dict[str, dict[str, Any]]:
    """The studies that are measured, all of them made from the default one."""
    plan = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    exercises = plan["exercises"]
    rates = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1]
    optimizers = exercises["linear"]["optimizers"]
    sixty = {
        "sgd": optimizers["sgd"],
        "momentum": {**optimizers["momentum"], "lr": rates},
        "adam": {"lr": [*rates, 0.2, 0.3, 0.5]},
    }
    parts = {
        "default": exercises,
        "single": {name: e for name, e in exercises.items() if e.get("kind") != "scaling"},
        "linear": {"linear": {**exercises["linear"], "optimizers": sixty}},
    }
    grids = {**plan, "confirm": 0, "extend": 0}
    return {name: {**grids, "study": name, "exercises": part} for name, part in parts.items()}


def main(rounds: int = 3) -> None:
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for part in ("Snakefile", "workflow", "warm", "profiles", "config"):
            source = ROOT / part
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
        for name, plan in studies().items():
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
        (folder / "loop.py").write_text(LOOP)

        def runs_alone() -> float:
            seconds = study(folder, "single", "--until", "train")
            shares.append(share_of_training(folder, "single", seconds))
            return seconds

        seconds = interleaved(
            {
                "study": lambda: study(folder, "default"),
                "its loop": lambda: loop(folder, "default"),
                "study without exercise 4": lambda: study(folder, "single"),
                "its runs, and nothing else": runs_alone,
                "its bare loop": lambda: loop(folder, "single"),
                "sixty runs of exercise 1": lambda: study(folder, "linear"),
                "their bare loop": lambda: loop(folder, "linear"),
            },
            rounds,
        )
    show(
        seconds,
        ("study", "its loop"),
        ("study without exercise 4", "its bare loop"),
        ("sixty runs of exercise 1", "their bare loop"),
    )
    low, middle, high = min(shares[1:]), median(shares[1:]), max(shares[1:])
    print(f"  share of the cores' time in training: {middle:.0%} ({low:.0%} to {high:.0%})")


if __name__ == "__main__":
    main()
