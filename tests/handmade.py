"""Studies and metrics made by hand, for the tests of tables and figures."""

import math
from pathlib import Path

from optlab import grid, metrics, study

CLASSES = {"datasets": ["digits"], "models": ["softmax"], "epochs": [2]}
LINE = {"datasets": ["line"], "models": ["linear"], "epochs": [200], "batch_sizes": ["full"]}


def resolved(exercises, seeds=3, **more):
    """A study of these exercises, defaults filled in."""
    return study.resolve({"study": "hand", "seeds": seeds, "exercises": exercises, **more})


def save(resolved):
    """Write the study where the programs look for it."""
    path = Path("results", resolved["study"], "study.yaml")
    metrics.write_atomically(path, study.dump(resolved))
    return path


def row(run, seed, epoch, train_loss, step=None, **more):
    """One row of metrics; figures that are not given are empty."""
    return {
        "exercise": run.exercise,
        "dataset": run.dataset,
        "model": run.model,
        "optimizer": run.optimizer,
        "batch_size": run.batch_size,
        "gpus": run.gpus,
        "device": "cpu",
        "seed": seed,
        "epoch": epoch,
        "step": epoch if step is None else step,
        "train_loss": train_loss,
        "seconds": 0.5 * epoch,
        "status": "ok",
        **{name: grid.text(value) for name, value in run.shown_knobs.items()},
        **more,
    }


def write(run, rows):
    """Write the metrics of a run."""
    metrics.write_atomically(Path(run.folder, "metrics.tsv"), metrics.text(rows))


def finish(run, losses, **more):
    """Metrics of a run whose seeds start at a loss of 2.3 and end at ``losses``; None diverges.

    Each further figure is a list with one value a seed.
    """
    rows = []
    for seed, loss in enumerate(losses):
        rows.append(row(run, seed, 0, 2.3, **{name: 2.3 for name in more}))
        figures = {name: values[seed] for name, values in more.items()}
        if loss is None:
            rows.append(row(run, seed, 1, math.inf, step=27, status="diverged"))
        else:
            rows.append(row(run, seed, run.epochs, loss, **figures))
    write(run, rows)


def descend(run, rate, top=1e3, start=23.66):
    """Metrics of a run whose loss is multiplied by ``rate`` an epoch, until it is over ``top``."""
    rows = []
    for seed in range(run.seeds):
        for epoch in range(run.epochs + 1):
            loss = start * rate**epoch * (1 + 0.1 * seed)
            status = "diverged" if loss > top * start else "ok"
            rows.append(row(run, seed, epoch, loss, status=status))
            if status == "diverged":
                break
    write(run, rows)
