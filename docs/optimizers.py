"""Which optimizers of other packages run here as they were published: writes docs/optimizers.md.

Each one trains the network mlp on digits for two epochs with the defaults of its class, as a study
would name it. Call it from anywhere; it needs the packages of `PACKAGES`, as many as are installed.

Example:
  python docs/optimizers.py
"""

import importlib
import inspect
import sys
import tempfile
import warnings
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "workflow/scripts"))

import torch  # noqa: E402

from optlab.catalogue.datasets import built_in  # noqa: E402
from optlab.data.prepare import prepare  # noqa: E402
from optlab.errors import UserError  # noqa: E402
from optlab.study.carried import carried  # noqa: E402
from optlab.training import datasets, loop, protocol, resumption  # noqa: E402
from optlab.training.settings import Settings  # noqa: E402

PACKAGES = ("pytorch_optimizer", "torch_optimizer", "schedulefree", "torch.optim")
EPOCHS = 2
# What a class needs besides its defaults: the optimizer that it wraps, or an argument without one.
GIVEN: dict[str, dict[str, Any]] = {
    "pytorch_optimizer:A2Grad": {"lr": 0.01},
    "pytorch_optimizer:SaRA": {"lr": 0.001},
    "pytorch_optimizer:AliG": {"max_lr": 0.1},
}
BASE = {"optimizer": "torch.optim:Adam", "lr": 0.001}
# The wrapper of schedulefree keeps its own state in that of the other, which Adam does not bear.
STATELESS = {"base": {"optimizer": "torch.optim:SGD", "lr": 0.1}}


def main() -> int:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "digits.json")
        prepare("digits", built_in("digits"), file, None)
        data = datasets.load(file)
    print("this takes a few minutes")
    found = {name: [row(data, name, cls) for cls in classes(name)] for name in PACKAGES}
    (HERE / "optimizers.md").write_text(page(found), encoding="utf-8")
    for name, rows in found.items():
        print(f"{name}: {sum(not reason for *_, reason in rows)} of {len(rows)} as published")
    return 0


def classes(package: str) -> list[type]:
    """The optimizers of a package, without those that it only passes on from PyTorch."""
    try:
        found = vars(importlib.import_module(package)).values()
    except ImportError:
        return []
    own = [c for c in found if inspect.isclass(c) and callable(getattr(c, "step", None))]
    own = [c for c in own if c is not torch.optim.Optimizer and hasattr(c, "zero_grad")]
    if package != "torch.optim":
        own = [c for c in own if not c.__module__.startswith("torch.optim")]
    return sorted(dict.fromkeys(own), key=lambda c: c.__name__.lower())


def row(data: datasets.Dataset, package: str, cls: type) -> tuple[str, ...]:
    """Name, what was given, how it is used, the losses, notes, and why it does not run."""
    spec = f"{package}:{cls.__name__}"
    knobs = dict(GIVEN.get(spec, {}))
    losses = reason = use = note = ""
    try:
        use = how(cls)
        first, last = losses_of(data, spec, knobs)
        losses = f"{first:.4g} → {last:.4g}"
        note = "" if continues(data, spec, knobs) else "no checkpoints"
    except UserError as error:
        if "wraps another optimizer" in str(error):
            GIVEN[spec] = STATELESS if package == "schedulefree" else {"base": BASE}
            return row(data, package, cls)
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    given = ", ".join(f"{key}: {shown(value)}" for key, value in knobs.items())
    return cls.__name__, given, use, losses, note, reason


def losses_of(data: datasets.Dataset, spec: str, knobs: dict[str, Any]) -> tuple[float, float]:
    settings = Settings(**carried("mlp", spec, knobs), epochs=EPOCHS, batch_size=64)
    (outcome,) = loop.train(settings, data, [0])
    rows = outcome.evaluations
    return rows[0].train_loss, rows[-1].train_loss


def continues(data: datasets.Dataset, spec: str, knobs: dict[str, Any]) -> bool:
    """Whether a run with it could be continued exactly from its state."""
    settings = Settings(**carried("mlp", spec, knobs), epochs=EPOCHS, batch_size=64)
    trainer = loop.Trainer(settings, data, [0])
    protocol.set_mode(trainer.optimizer, training=True)
    for batch in islice(trainer.batches.epoch(1), 3):
        trainer.take(batch)
    parts = (settings, trainer.context, trainer.optimizer, data, batch)
    return resumption.is_known(settings) or resumption.is_exact(*parts)


def how(cls: type) -> str:
    """In words, what its protocol asks for beyond a gradient and a step."""
    found = protocol.of(cls)
    words = {
        "train() and eval()": found.modes,
        "a closure": found.closure,
        "gradients before its first step": found.first_step,
        "create_graph": found.create_graph,
        found.backward: bool(found.backward),
    }
    return ", ".join(word for word, wanted in words.items() if wanted)


def shown(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(item)}" for key, item in value.items()) + "}"
    return f"{value}"


def page(found: dict[str, list[tuple[str, ...]]]) -> str:
    lines = [
        "# Optimizers of other packages",
        "",
        "Made by `python docs/optimizers.py`: each optimizer trains `mlp` on `digits` for "
        f"{EPOCHS} epochs (batch size 64, seed 0, one CPU thread) with the defaults of its class, "
        "named in a study as `package:Class`. The losses are those of the training data before and "
        "after. How each is used is read from its class; tests compare one of each kind with a "
        "plain loop as its authors write it. *No checkpoints*: its `state_dict` does not hold all "
        "of its state, so that an interrupted run starts again.",
    ]
    for package, rows in found.items():
        if not rows:
            lines += ["", f"## {package}", "", "Not installed when this page was made."]
            continue
        runs = sum(not reason for *_, reason in rows)
        version = metadata.version(package.partition(".")[0])
        lines += ["", f"## {package} {version}: {runs} of {len(rows)}", ""]
        lines += ["| optimizer | given | used with | training loss | note | else why not |"]
        lines += ["| --- | --- | --- | --- | --- | --- |"]
        lines += [f"| {' | '.join(map(escaped, one))} |" for one in rows]
    return "\n".join(lines) + "\n"


def escaped(cell: str) -> str:
    return cell.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
