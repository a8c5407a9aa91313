"""A small study for executors that are not ours: where it runs, and what is there in the end."""

import subprocess
import sys
import venv
from pathlib import Path

# Runs of exercises 1 and 2: a path with one knob and with two, a knob that is a list, an optimizer
# of the user's own.
STUDY = """\
study: tiny
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [3]
    batch_sizes: [full]
    optimizers:
      sgd: {lr: [0.01]}
      momentum: {lr: [0.01], momentum: [0.8]}
      my/steps.py:Step: {lr: [0.05]}
  digits:
    datasets: [digits]
    models: [softmax]
    epochs: [2]
    batch_sizes: [100]
    optimizers:
      adam: {lr: [0.01], betas: [[0.8, 0.99]]}
"""
RUNS = 4
TABLES = ("best", "budget", "claims", "optimizers", "pairs", "profiles", "runs")


def without_ours(folder):
    """The Python of an environment like this one, in which our executor is not installed.

    Snakemake imports every plugin that it finds, and ours changes the SLURM plugin.
    """
    venv.create(folder, symlinks=True)
    packages = "lib/python{}.{}/site-packages".format(*sys.version_info)
    for entry in Path(sys.prefix, packages).iterdir():
        here = Path(folder, packages, entry.name)
        if "executor_plugin_optlab" not in entry.name and not here.exists():
            here.symlink_to(entry)
    python = Path(folder, "bin/python")
    plugins = "import pkgutil; print(*(module.name for module in pkgutil.iter_modules()))"
    found = subprocess.run([python, "-c", plugins], capture_output=True, text=True, check=True)
    names = found.stdout.split()
    assert "snakemake_executor_plugin_slurm" in names
    assert not [name for name in names if "executor_plugin_optlab" in name]
    return str(python)


def check(lab, profile):
    """The study is complete, and another call finds nothing to do."""
    records = [*lab.folder.glob("results/tiny/runs/**/run.json")]
    assert len(records) == len(lab.table()) == RUNS
    for record in records:
        rows = record.with_name("metrics.tsv").read_text(encoding="utf-8").splitlines()
        assert len(rows) > 2, record
    assert all(lab.table(name) is not None for name in TABLES)
    assert lab.planned(profile) == 0
