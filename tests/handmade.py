"""Studies and metrics made by hand, for the tests of tables and figures."""

import hashlib
import json
import math
from pathlib import Path

from optlab import files
from optlab.runs import metrics
from optlab.study import table
from optlab.study.carried import carried
from optlab.study.confirmation import Confirmed
from optlab.training.settings import Settings
from optlab.values import text

# The smallest study that has every level; its lines are numbered in the messages of a mistake.
STUDY = """\
study: tiny
seeds: 2
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [10]
    batch_sizes: [full]
    optimizers:
      sgd:
        lr: [0.01]
"""

SCALING = {
    "kind": "scaling",
    "datasets": ["digits"],
    "models": ["cnn"],
    "epochs": [2],
    "optimizers": {"sgd": {"lr": [0.1]}},
}
CLASSES = {"datasets": ["digits"], "models": ["softmax"], "epochs": [2]}
LINE = {"datasets": ["line"], "models": ["linear"], "epochs": [200], "batch_sizes": ["full"]}


def resolved(exercises, seeds=3, **more):
    """A study of these exercises, defaults filled in."""
    from optlab.study import reading  # needs PyYAML, which the tests of CUDA do without

    return reading.resolve({"study": "hand", "seeds": seeds, "exercises": exercises, **more})


# A sweep that claims are about, and some of its settings.
SWEEP = {
    **CLASSES,
    "optimizers": {"sgd": {"lr": [0.01, 0.1, 1]}, "adam": {"lr": [0.01]}},
}
SGD = {"optimizer": "sgd", "lr": 0.1}
ADAM = {"optimizer": "adam"}
TEST = {"figure": "test_accuracy"}


def claimed(claim, exercise=SWEEP, seeds=3):
    """A study with one claim, and its runs."""
    made = resolved({"fit": {**exercise, "claims": [{"claim": "It is so", **claim}]}}, seeds)
    return made, table.runs(made)


def settings(network, optimizer, knobs, network_options=None, schedule="constant", **more):
    """Settings of these names of the catalogue, as the training loop takes them."""
    return Settings(**carried(network, optimizer, knobs, network_options, schedule), **more)


def train_one(settings, data, seed, **more):
    """The outcome of training one seed."""
    from optlab.training import loop

    (outcome,) = loop.train(settings, data, [seed], **more)
    return outcome


def save(resolved):
    """Write the study where the programs look for it."""
    from optlab.study import reading

    path = Path("results", resolved["study"], "study.yaml")
    files.write(path, reading.dump(resolved))
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
        **{name: text(value) for name, value in run.shown_knobs.items()},
        **more,
    }


def write(run, rows):
    """Write the metrics of a run."""
    files.write(Path(run.folder, "metrics.tsv"), metrics.text(rows))


def describe(run, record):
    """Write the record of a run whose metrics are there."""
    digest = hashlib.sha256(Path(run.folder, "metrics.tsv").read_bytes()).hexdigest()
    content = json.dumps({**record, "metrics_sha256": digest})
    files.write(Path(run.folder, "run.json"), content)


def fail(run, reason):
    """The files of a run that failed."""
    write(run, [{**row(run, seed, 0, ""), "status": "failed"} for seed in run.seed_numbers])
    describe(run, {"failure": reason, "seeds": []})


def finish(run, losses, **more):
    """Metrics of a run whose seeds start at a loss of 2.3 and end at ``losses``; None diverges.

    Each further figure is a list with one value a seed.
    """
    rows = []
    for number, loss in enumerate(losses):
        seed = run.first_seed + number
        rows.append(row(run, seed, 0, 2.3, **{name: 2.3 for name in more}))
        figures = {name: values[number] for name, values in more.items()}
        if loss is None:
            rows.append(row(run, seed, 1, math.inf, step=27, status="diverged"))
        else:
            rows.append(row(run, seed, run.epochs, loss, **figures))
    write(run, rows)


def confirm(study, chosen, tested, seconds=1.0, edge="", figure="test_accuracy"):
    """The files of a unit whose ``chosen`` run was confirmed, with one tested figure a seed."""
    (unit,) = (one for one in table.units(study) if chosen in one.runs)
    found = Confirmed(chosen, edge, (), len(tested))
    files.write(Path(unit.file), found.text())
    losses = [None if value is None else 0.5 for value in tested]
    finish(found.run, losses, val_accuracy=tested, **{figure: tested})
    times = {"seconds": 0.8 * seconds, "evaluation_seconds": 0.2 * seconds}
    seeds = [{"seed": seed, **times} for seed in found.run.seed_numbers]
    describe(found.run, {"seeds": seeds, "wall": {"total": seconds * len(seeds)}})
    return found.run


def crowd(number):
    """A study of ever worse optimizers of one's own, confirmed on four seeds, and its files."""
    classes = [f"Own{n:03}" for n in range(number)]
    Path("mine.py").write_text("".join(f"class {name}: pass\n" for name in classes))
    sweep = {**CLASSES, "optimizers": {f"mine.py:{name}": {"lr": [0.1]} for name in classes}}
    study = resolved({"fit": {**sweep, "extend": 0}}, confirm=4)
    for at, run in enumerate(table.runs(study)):
        figures = {"val_accuracy": [0.9 - at / 1000] * 3, "val_loss": [1.0] * 3}
        finish(run, [0.5] * 3, test_accuracy=[0.9] * 3, **figures)
        confirm(study, run, [0.9 - at / 1000 + seed / 10_000 for seed in range(4)])
    return study


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


def timed(run, seconds, accuracies=None, examples=1000, steps=None, evaluation=0.01, **hardware):
    """The files of a timed run; ``seconds`` has one training time a seed, None diverges.

    A seed's accuracies rise evenly from 0.1 to the one given, an evaluation an epoch, each of which
    takes ``evaluation`` seconds.
    """
    rows, seeds, accuracies = [], [], accuracies or [0.9] * len(seconds)
    for seed, (whole, accuracy) in enumerate(zip(seconds, accuracies, strict=True)):
        own = [row(run, seed, 0, 2.3, seconds=0.0, val_accuracy=0.1)]
        if whole is None:
            own.append(row(run, seed, 1, math.inf, step=27, seconds=0.1, status="diverged"))
        for epoch in range(1, run.epochs + 1) if whole else ():
            share = epoch / run.epochs
            reached = 0.1 + share * (accuracy - 0.1)
            more = {"test_accuracy": accuracy - 0.01} if epoch == run.epochs else {}
            figures = {"seconds": whole * share, "val_accuracy": reached, "val_loss": 1 - reached}
            own.append(row(run, seed, epoch, 0.3, **figures, **more))
        took = {"seconds": own[-1]["seconds"], "evaluation_seconds": evaluation * len(own),
                "hardware": hardware.get("gpu", hardware.get("cpu", "Handmade 1"))}  # fmt: skip
        seeds.append({"seed": seed, **took})
        rows += own
    device = {"device": "cuda" if "gpu" in hardware else "cpu"}
    write(run, [{**one, **device} for one in rows])
    wall = {"start_up": 2.0, "training": sum(one["seconds"] for one in seeds),
            "evaluation": evaluation * len(rows)}  # fmt: skip
    record = {
        "seeds": seeds,
        "sizes": {"train": examples},
        "wall": {**wall, "total": 1.0 + sum(wall.values())},
        "usage": {"cpu_seconds": 9.0, "peak_memory_mb": 512.5},
        "hardware": {"host": "here", "cpu": "Handmade 1", "cores": 2, **hardware},
        **({"steps": steps} if steps else {}),
    }
    describe(run, record)


def step_parts(step=0.010, data=0.001, forward_backward=0.006, communication=0.0, optimizer=0.002):
    """What a timed run says of its steps, in seconds; quartiles 10 % beside each median."""
    parts = {"step": step, "data": data, "forward_backward": forward_backward,
             "communication": communication, "optimizer": optimizer}  # fmt: skip
    spreads = {n: {"median": v, "low": 0.9 * v, "high": 1.1 * v} for n, v in parts.items()}
    return {"measured": 40, "warm_up": 10, "examples_per_step": 100, **spreads}
