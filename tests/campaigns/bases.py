"""The studies that the campaigns edit, and random ones that make sense."""

from pathlib import Path
from random import Random
from typing import Any

import edits
import yaml

ROOT = Path(__file__).resolve().parents[2]

FIT = """\
study: small
seeds: 1
device: cpu
exercises:
  fit:
    datasets: [line]
    models: [linear]
    epochs: [3]
    batch_sizes: [full]
    optimizers:
      sgd: {lr: [0.01, 0.1]}
      momentum: {lr: [0.01], momentum: [0.8]}
"""

CHOSEN = """\
study: chosen
seeds: 2
device: cpu
confirm: 4
margin: {accuracy: 1 point}
extend: 1
models:
  small: {network: mlp, hidden: [8], dropout: 0.1}
datasets:
  few: {source: digits, subset: 200}
exercises:
  digits:
    title: Few digits
    datasets: [few]
    models: [small]
    epochs: [2]
    batch_sizes: [50]
    schedules: [constant, cosine]
    target_accuracy: 0.5
    optimizers:
      sgd: {lr: [0.1, 1]}
      adam: {lr: [0.01], betas: [[0.9, 0.99]]}
    compare:
      - {optimizer: sgd, lr: 0.1, schedule: cosine}
    claims:
      - claim: Adam is better
        order: [{optimizer: adam}, {optimizer: sgd}]
      - claim: It reaches a test accuracy of 0.9
        value: {optimizer: adam}
        figure: test_accuracy
        published: 0.90
      - {claim: SGD at 1 diverges, diverges_from: {optimizer: sgd, lr: 1, schedule: cosine}}
      - {claim: So it is, unanswered: nobody knows}
"""

SEARCH = """\
study: searched
seeds: 1
device: cpu
exercises:
  look:
    kind: search
    datasets: [digits]
    network: mlp
    space:
      n_layers: {type: int, low: 1, high: 2}
      n_units: {type: int, low: 4, high: 16, per_layer: true}
      optimizer: {type: categorical, choices: [adam, sgd]}
      lr: {type: float, low: 1e-3, high: 1e-1, log: true}
    trials: 3
    epochs: 2
    batch_size: 64
    retrain_pruned: 1
    claims:
      - claim: Adam wins
        best: {optimizer: adam}
"""

SCALING = """\
study: scaled
seeds: 1
device: cpu
exercises:
  speed:
    kind: scaling
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    scaling: [strong, weak]
    batch_sizes: [64]
    gpus: [1]
    optimizers: {sgd: {lr: [0.1]}}
"""

OWN = """\
study: own
seeds: 1
device: cpu
datasets:
  mine: {source: npz, file: mine.npz, validation: 0.2}
models:
  net: {network: my/code.py:net, width: 4}
exercises:
  mine:
    datasets: [mine]
    models: [net]
    epochs: [2]
    batch_sizes: [20]
    optimizers:
      my/code.py:Step: {lr: [0.1], scale: [1, 2]}
      adamw: {lr: [0.01]}
"""

THEIRS = """\
study: theirs
seeds: 1
device: cpu
models:
  net: {network: my/code.py:net, width: 4}
exercises:
  theirs:
    datasets: [digits]
    models: [net, mlp]
    epochs: [2]
    batch_sizes: [200]
    optimizers:
      my/code.py:Wraps: {lr: [0.1], base: {optimizer: momentum, momentum: 0.5}}
      my/code.py:Twice: {lr: [0.01, 0.1]}
      torch.optim:ASGD: {}
      adamw: {lr: [0.01], weight_decay: [0.1], no_weight_decay: [bias]}
"""

SMALL = {"fit": FIT, "chosen": CHOSEN, "search": SEARCH, "scaling": SCALING}
SMALL |= {"own": OWN, "theirs": THEIRS}  # with code of the user's
LARGE = {
    name: (ROOT / f"config/{name}.yaml").read_text(encoding="utf-8") for name in ("config", "lab")
}
TEXTS = {**SMALL, **LARGE}
STUDIES = {name: yaml.safe_load(text) for name, text in TEXTS.items()}

CODE = """\
import torch


def net(shape, outputs, width=4):
    inputs = torch.Size(shape).numel()
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(inputs, width), torch.nn.Linear(width, outputs)
    )


class Step(torch.optim.SGD):
    def __init__(self, parameters, lr, scale=1):
        super().__init__(parameters, lr=lr * scale)


class Wraps(torch.optim.Optimizer):
    def __init__(self, optimizer):
        self.optimizer, self.state = optimizer, optimizer.state
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.param_groups = optimizer.param_groups

    def step(self, closure=None):
        self.optimizer.step()

    def state_dict(self):
        return self.optimizer.state_dict()

    def load_state_dict(self, state):
        self.optimizer.load_state_dict(state)


class Twice(torch.optim.SGD):
    def step(self, closure):
        closure()
        super().step()
        closure()
        super().step()
"""


def write_own(folder: Path) -> None:
    """The files that the study ``own`` names."""
    import numpy as np

    (folder / "my").mkdir()
    (folder / "my/code.py").write_text(CODE, encoding="utf-8")
    numbers = np.random.default_rng(0)
    x, y = numbers.normal(size=(120, 6)), np.arange(120) % 3
    arrays = {"x_train": x[:100], "y_train": y[:100], "x_test": x[100:], "y_test": y[100:]}
    np.savez(folder / "mine.npz", **arrays)


OPTIMIZERS = (
    *("sgd", "momentum", "nesterov", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam"),
    *("radam", "adamax", "adafactor", "muon", "rprop", "lbfgs"),
)
SCHEDULES = (
    *("constant", "cosine", "step", "one_cycle", "warmup", "warmup_cosine", "cosine,final=1"),
    *("step,drops=1,gamma=0.5", "step,drops=50", "one_cycle,warmup=0.01", "one_cycle,warmup=0.99"),
    *("warmup,warmup=1", "warmup_cosine,warmup=0.001", "warmup_cosine,warmup=1,final=0.5"),
)


def drawn(random: Random) -> dict[str, Any]:
    """A study that makes sense: every value of it is one that the documentation names."""
    exercises = {
        f"{random.choice(('fit', 'all', 'e-1', 'A_b'))}{n}": _sweep(random)
        for n in range(random.randint(1, 2))
    }
    study: dict[str, Any] = {"study": random.choice(("mine", "a-1", "S_2")), "device": "cpu"}
    some = {"seeds": random.randint(1, 3), "confirm": random.choice((0, 4)),
            "extend": random.randint(0, 2), "precision": random.choice(("float32", "float64")),
            "replicates": random.choice(("auto", "together", "separate")),
            "margin": {"accuracy": "1 point", "loss": "1%"}}  # fmt: skip
    study |= {key: value for key, value in some.items() if random.random() < 0.5}
    return {**study, "exercises": exercises}


def _sweep(random: Random) -> dict[str, Any]:
    line = random.random() < 0.3
    networks = ["linear"] if line else random.sample(["softmax", "mlp", "mlp"], 1)
    size = "full" if line else random.choice((1000, 50, 200, "full"))
    names = random.sample(OPTIMIZERS, random.randint(1, 3))
    exercise: dict[str, Any] = {
        "datasets": ["line"] if line else ["digits"],
        "models": networks,
        "epochs": [random.randint(1, 5)],
        "batch_sizes": [size],
        "optimizers": {name: _grid(name, random) for name in names},
    }
    some = {
        "schedules": random.sample(SCHEDULES, 1),
        "evaluate_every": random.randint(1, 3),
        "metric": "loss",
        "title": random.choice(("A title", "Größe & <b>", "$x_1$ of {run}", "100 %")),
        "train_loss_examples": random.choice((1, 100)),
    }
    if not line:
        some["target_accuracy"] = round(random.uniform(0, 1), 2)
        some["vary"] = random.choice((["weights", "order", "split"], ["order"], ["weights"]))
    return {**exercise, **{key: value for key, value in some.items() if random.random() < 0.35}}


def _grid(optimizer: str, random: Random) -> dict[str, Any]:
    from optlab.catalogue import optimizers

    grid: dict[str, Any] = {}
    if random.random() < 0.8:
        rates = {float(f"{10 ** random.uniform(-4, 1):.2g}") for _ in range(random.randint(1, 3))}
        grid["lr"] = sorted(rates)
    others = [name for name in optimizers.knobs_of(optimizer) if name in edits.KNOBS]
    for name in random.sample(others, min(len(others), random.choice((0, 0, 1, 2)))):
        grid[name] = random.sample(edits.KNOBS[name], 1)
    return grid
