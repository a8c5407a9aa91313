"""What Snakemake costs: its start, a dry run of large studies, and scheduling runs that do nothing.

Works in a temporary copy of the workflow; the training rule of the copy makes empty files. A start
is that of `snakemake --list-rules`, beside the same with a Snakefile of one rule.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from timing import interleaved, show

ROOT = Path(__file__).resolve().parents[1]
CONFIGURED = ("--configfile", "study.yaml")
STUDY = """
study: size
seeds: 1
device: cpu
exercises:
  many:
    datasets: [line]
    models: [linear]
    epochs: [1]
    batch_sizes: [full]
    optimizers:
      sgd: {{lr: [{rates}]}}
"""


def copy(folder: Path, runs: int) -> None:
    """The workflow with a study of this many runs, whose training does nothing."""
    for name in ("Snakefile", "workflow", "warm", "profiles", "config"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    rates = ", ".join(f"{1e-6 * (number + 1):.8f}" for number in range(runs))
    (folder / "study.yaml").write_text(STUDY.format(rates=rates))
    rule = folder / "workflow/rules/train.smk"
    text = rule.read_text()
    before, _, after = text.partition('        """\n')
    rule.write_text(f'{before}        "touch {{output}}"\n{after.partition(chr(34) * 3)[2]}')


def snakemake(folder: Path, *options: str) -> float:
    """Seconds that Snakemake takes."""
    command = [sys.executable, "-m", "snakemake", *options]
    start = time.perf_counter()
    environment = {**os.environ, "OPTLAB_WARM": "0"}
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return time.perf_counter() - start


def start_up(folder: Path, rounds: int = 9) -> None:
    """Print how long Snakemake takes to have read the default study, and one bare rule."""
    bare, ours = folder / "bare", folder / "ours"
    bare.mkdir()
    ours.mkdir()
    (bare / "Snakefile").write_text('rule all:\n    output: "all"\n    shell: "touch {output}"\n')
    copy(ours, 1)
    start = ("--list-rules", "--cores", "1")
    seconds = interleaved(
        {"start": partial(snakemake, ours, *start), "bare": partial(snakemake, bare, *start)},
        rounds,
    )
    show(seconds, ("start", "bare"))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        start_up(Path(name))
        for runs in (100, 1000, 5000):
            folder = Path(name, f"dry-{runs}")
            folder.mkdir()
            copy(folder, runs)
            seconds = snakemake(folder, *CONFIGURED, "--dry-run")
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
            print(f"  dry run of {runs:5} runs: {seconds:6.1f} s, peak {peak:6.0f} MB")
        for runs in (200, 2000):
            folder = Path(name, f"empty-{runs}")
            folder.mkdir()
            copy(folder, runs)
            options = ("--cores", "2", "--until", "train", "--quiet", "all")
            seconds = snakemake(folder, *CONFIGURED, *options)
            print(f"  {runs:5} runs that do nothing: {seconds / runs * 1000:6.1f} ms each")


if __name__ == "__main__":
    main()
