"""Tables from many runs: reading the metrics of 100 to 10,000 runs of 30 epochs and three seeds."""

import hashlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
STUDY = """
study: many
seeds: 3
device: cpu
exercises:
  many:
    datasets: [digits]
    models: [softmax]
    epochs: [30]
    optimizers:
      sgd: {{lr: [{rates}], weight_decay: [{decays}]}}
"""


def make(folder: Path, runs: int) -> Path:
    """A study whose runs all have the same metrics."""
    from optlab.runs import metrics
    from optlab.study import reading, table

    rates = ", ".join(f"{1e-6 * (number + 1):.8f}" for number in range(100))
    decays = ", ".join(str(number) for number in range(runs // 100))
    path = folder / f"{runs}.yaml"
    path.write_text(STUDY.format(rates=rates, decays=decays))
    rows = [
        {
            **dict.fromkeys(metrics.COLUMNS, ""),
            **{"exercise": "many", "dataset": "digits", "model": "softmax", "optimizer": "sgd"},
            **{"batch_size": 100, "gpus": 1, "device": "cpu", "seed": seed, "epoch": epoch},
            **{"step": 11 * epoch, "train_loss": 2.3 / (epoch + 1), "val_loss": 2.3 / (epoch + 1)},
            **{"seconds": 0.1 * epoch, "status": "ok"},
        }
        for seed in range(3)
        for epoch in range(31)
    ]
    text = metrics.text(rows)
    seeds = [{"seed": seed, "seconds": 3.0, "cpu_seconds": 3.0} for seed in range(3)]
    record = {"settings": STUDY, "command": STUDY, "versions": STUDY, "seeds": seeds}
    record["metrics_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    for run in table.runs(reading.load(path)):
        target = folder / run.folder / "metrics.tsv"
        target.parent.mkdir(parents=True)
        target.write_text(text)
        target.with_name("run.json").write_text(json.dumps(record, indent=1))
    return path


def main() -> None:
    import os

    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for runs in (100, 1000, 10_000):
            path = make(Path(name), runs)
            command = [sys.executable, f"{SCRIPTS}/tables.py", "--study", str(path)]
            start = time.perf_counter()
            subprocess.run([*command, "--output-folder", "tables"], check=True)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
            print(f"  {runs:6} runs: {seconds:5.1f} s, peak {peak:.0f} MB")
            subprocess.run(["rm", "-rf", "results/many"], check=True)


if __name__ == "__main__":
    main()
