"""The answer page: its size, the time to write it, and to its first paint in a browser.

Of studies with random curves: 10 optimizers on 5 problems, three seeds and 31 evaluations a run.
The first paint is that of a headless Chromium, which needs the packages chromium and
chromium-driver; without it, sizes and times of writing are printed alone.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SCRIPTS = Path(__file__).resolve().parents[1] / "workflow/scripts"
OPTIMIZERS = ("sgd", "adagrad", "adadelta", "adam", "adamw", "adamax", "nadam", "radam", "muon")
STUDY = """
study: many
seeds: 3
device: cpu
confirm: 0
extend: 0
exercises:
"""
EXERCISE = """
  problem{number}:
    datasets: [digits]
    models: [mlp]
    epochs: [30]
    optimizers: {{{optimizers}}}
"""
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0].startTime"


def make(folder: Path, runs: int) -> Path:
    """A study of about this many runs, with their metrics and records."""
    from optlab.runs import metrics
    from optlab.study import reading, table

    rates = ", ".join(f"{rate:.6g}" for rate in np.geomspace(1e-4, 1, runs // 45))
    each = ", ".join(f"{name}: {{lr: [{rates}]}}" for name in OPTIMIZERS)
    parts = [EXERCISE.format(number=number, optimizers=each) for number in range(5)]
    path = folder / f"{runs}.yaml"
    path.write_text(STUDY + "".join(parts))
    random = np.random.default_rng(0)
    for run in table.runs(reading.load(path)):
        text = metrics.text([*rows(run, random)])
        target = folder / run.folder / "metrics.tsv"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        record = {
            "command": "python workflow/scripts/train.py " + run.path.replace("/", " --"),
            "finished": "2026-01-01T00:00:00+0000",
            "hardware": {"cpu": "Synthetic 1", "cores": 2},
            "wall": {"total": 1.0},
            "seeds": [{"seed": seed, "seconds": 3.0, "cpu_seconds": 3.0} for seed in range(3)],
            "metrics_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }
        target.with_name("run.json").write_text(json.dumps(record, indent=1))
    return path


def rows(run, random):
    """The metrics of a run: losses that fall at a random pace, with noise."""
    pace = random.uniform(0.02, 0.3)
    for seed in range(3):
        for epoch in range(31):
            loss = 2.3 * np.exp(-pace * epoch) * random.lognormal(0, 0.05)
            accuracy = 1 - 0.9 * loss / (loss + 1)
            figures = {"train_loss": loss, "val_loss": 1.1 * loss, "train_accuracy": accuracy}
            figures["val_accuracy"] = 0.98 * accuracy
            if epoch == 30:
                figures |= {"test_loss": 1.1 * loss, "test_accuracy": 0.97 * accuracy}
            yield {
                **{"exercise": run.exercise, "dataset": run.dataset, "model": run.model},
                **{"optimizer": run.optimizer, "lr": run.knobs["lr"], "batch_size": run.batch_size},
                **{"gpus": 1, "device": "cpu", "seed": seed, "epoch": epoch, "step": 11 * epoch},
                **{name: float(f"{value:.6g}") for name, value in figures.items()},
                **{"seconds": 0.1 * epoch, "status": "ok"},
            }


def first_paint(page: Path) -> tuple[float, float]:
    """Milliseconds until the browser shows something, and until the page is ready to be used."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for name in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{name}")
    browser = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        browser.get(page.absolute().as_uri())
        ready = "return document.documentElement.dataset.ready && performance.now()"
        while not (now := browser.execute_script(ready)):
            time.sleep(0.02)
        return browser.execute_script(PAINT), now
    finally:
        browser.quit()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        for runs in (450, 4995):
            path = make(Path(name), runs)
            common = [sys.executable, "-W", "ignore"]
            tables = [f"{SCRIPTS}/tables.py", "--study", str(path), "--output-folder", "tables"]
            subprocess.run([*common, *tables], check=True)
            start = time.perf_counter()
            page = [f"{SCRIPTS}/page.py", "--study", str(path), "--tables", "tables"]
            subprocess.run([*common, *page, "--output", "index.html"], check=True)
            seconds = time.perf_counter() - start
            size = Path("index.html").stat().st_size / 1e6
            print(f"  {runs:5} runs: {size:4.1f} MB, written in {seconds:4.1f} s", flush=True)
            if shutil.which("chromium"):
                paint, ready = first_paint(Path("index.html"))
                print(f"        first paint after {paint:.0f} ms, usable after {ready:.0f} ms")
            shutil.rmtree("results/many")


if __name__ == "__main__":
    main()
