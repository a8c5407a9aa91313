"""What sharing submissions gains on SLURM: `python benchmarks/slurm_jobs.py [RUNS]`.

Brings up the test cluster (root, Debian) and trains short runs of exercise 1 in three ways: in
shared SLURM jobs, in one SLURM job each (of a quarter of the runs alone), and
locally. All of the cluster's nodes are this one machine, so processors are as scarce in each way.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLUSTER = ROOT / "tests/slurm/cluster.sh"
STUDY = """\
study: many
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [EPOCHS]
    batch_sizes: [full]
    optimizers: {sgd: {lr: [RATES]}}
"""
EPOCHS = 1_000


def seconds(folder: Path, runs: int, *words: str) -> tuple[float, int]:
    """Seconds that training this many runs takes without earlier results, and the SLURM jobs it took."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    rates = ", ".join(f"{number / 100_000:g}" for number in range(1, runs + 1))
    study = STUDY.replace("RATES", rates).replace("EPOCHS", str(EPOCHS))
    (folder / "many.yaml").write_text(study)
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    begin = time.monotonic()
    done = subprocess.run(
        [*command, "--configfile", "many.yaml", *words, "tables"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return time.monotonic() - begin, done.stderr.count("has been submitted")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    few = max(1, runs // 4)
    cores = str(os.cpu_count())
    profile = ("--profile", str(ROOT / "profiles/slurm"), "--optlab-slurm-together-cpus", cores,
               "--optlab-slurm-init-seconds-before-status-checks", "5")  # fmt: skip
    os.environ["SLURM_CONF"] = "/tmp/optlab-slurm/etc/slurm.conf"
    subprocess.run(
        [CLUSTER, "start", str(os.getpid())], check=True, stdout=subprocess.DEVNULL, timeout=300
    )
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            together, jobs = seconds(folder, runs, *profile)
            print(f"{runs} runs together: {together:.1f} s, {jobs} SLURM jobs", flush=True)
            each, one_each = seconds(folder, few, *profile, "--optlab-slurm-together-seconds", "0")
            print(f"{few} runs, one job each: {each:.1f} s, {one_each} SLURM jobs", flush=True)
            local, _ = seconds(folder, runs, "--cores", cores)
            print(f"{runs} runs locally: {local:.1f} s", flush=True)
    finally:
        subprocess.run([CLUSTER, "stop"], check=True)


if __name__ == "__main__":
    main()
