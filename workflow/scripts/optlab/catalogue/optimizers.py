"""Optimizers: all that is known of each, in one entry.

An optimizer of the user's own is named ``path/to/file.py:Class`` or ``package.module:Class`` and
takes the knobs that the study gives it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue import uses
from optlab.catalogue.knobs import SHOWN
from optlab.catalogue.uses import Use
from optlab.values import canonical

# Colour, line style and marker. The colours of Okabe and Ito ("Color Universal Design", 2008) and
# of P. Tol ("Colour Schemes", 2021) can be told apart with every common form of colour blindness.
Look = tuple[str, str | tuple[int, tuple[float, ...]], str]


@dataclass(frozen=True)
class Optimizer:
    """An optimizer of the catalogue.

    Attributes:
        cls: the class, as ``package.module:Class``.
        knobs: knob -> default: PyTorch's own, unless a comment says why not. ``lr`` has none.
        grid: the learning rates of a study that names none.
        label: its name in figures.
        look: how it is drawn.
        fixed: arguments of the class that no study can change.
        decayed: the class with weight decay, where ``cls`` has none. It is used if the knob is not
            at 0, and adds an L2 penalty: ``weight_decay`` times the weights to the gradients, as
            PyTorch's SGD and Adam do (`optlab.parts.optimizers.decayed`).
        grouped: whether it takes groups of parameters that differ in weight decay.
        fused: whether PyTorch has a fused step for it, on CPU and CUDA alike.
        elementwise: whether each weight's step depends on that weight's own gradients alone, so
            that the parameters of several replicates may be stacked in one tensor.
        capturable: whether its step can be recorded in a CUDA graph: it never waits for a value
            from the device, nor takes a branch by one.
        channels_last: whether it accepts weights in the channels-last layout.
        proportional: whether a step is proportional to the gradients; those of adaptive optimizers
            do not depend on their scale.
        cannot: why it makes no sense for a use; None where it does.
        contains: the optimizers that it becomes for some values of its knobs, or in their limit;
            what these contain is left out. Adam is Momentum if ``eps`` and ``lr`` are large (D.
            Choi et al., arXiv:1910.05446), RAdam if the second of its ``betas`` is small.
    """

    cls: str
    knobs: Mapping[str, Any]
    grid: tuple[float, ...]
    label: str
    look: Look
    fixed: Mapping[str, Any] = field(default_factory=dict)
    decayed: str = ""
    grouped: bool = True
    fused: bool = False
    elementwise: bool = True
    capturable: bool = True
    channels_last: bool = True
    proportional: bool = False
    cannot: Callable[[Use], str | None] = lambda use: None
    contains: tuple[str, ...] = ()


_MOMENTS = {"betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0}
_ADAM = {**_MOMENTS, "amsgrad": False}
_ADAM_GRID = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_MOMENTUM_GRID = (0.001, 0.01, 0.03, 0.1, 0.3)

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": Optimizer(
        "torch.optim:SGD",
        {"weight_decay": 0.0},
        (0.001, 0.01, 0.1, 0.5, 1.0),
        "SGD",
        ("#000000", "-", "o"),
        fused=True,
        proportional=True,
    ),
    # The default momentum is the field's 0.9: PyTorch's 0 would be plain SGD.
    "momentum": Optimizer(
        "torch.optim:SGD",
        {"momentum": 0.9, "weight_decay": 0.0, "dampening": 0.0},
        _MOMENTUM_GRID,
        "Momentum",
        ("#0072B2", "-", "s"),
        fused=True,
        proportional=True,
        contains=("sgd",),
    ),
    "nesterov": Optimizer(
        "torch.optim:SGD",
        {"momentum": 0.9, "weight_decay": 0.0},
        _MOMENTUM_GRID,
        "Nesterov",
        ("#56B4E9", "--", "^"),
        fixed={"nesterov": True},
        fused=True,
        proportional=True,
        contains=("sgd",),
    ),
    "adagrad": Optimizer(
        "torch.optim:Adagrad",
        {"lr_decay": 0.0, "weight_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10},
        (0.001, 0.003, 0.01, 0.03, 0.1),
        "AdaGrad",
        ("#E69F00", "-", "D"),
        fused=True,
    ),
    "adadelta": Optimizer(
        "torch.optim:Adadelta",
        {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
        (0.1, 0.3, 1.0, 3.0, 10.0),
        "AdaDelta",
        ("#CC6677", (0, (4.0, 1.0, 1.0, 1.0)), "8"),
    ),
    "rmsprop": Optimizer(
        "torch.optim:RMSprop",
        {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
        _ADAM_GRID,
        "RMSProp",
        ("#009E73", "-.", "v"),
        contains=("momentum",),
    ),
    "adam": Optimizer(
        "torch.optim:Adam",
        _ADAM,
        _ADAM_GRID,
        "Adam",
        ("#D55E00", "-", "P"),
        fused=True,
        contains=("momentum",),
    ),
    "adamw": Optimizer(
        "torch.optim:AdamW",
        {**_ADAM, "weight_decay": 0.01},
        _ADAM_GRID,
        "AdamW",
        ("#CC79A7", "--", "X"),
        fused=True,
        contains=("momentum",),
    ),
    "nadam": Optimizer(
        "torch.optim:NAdam",
        {**_MOMENTS, "momentum_decay": 0.004},
        _ADAM_GRID,
        "NAdam",
        ("#882255", "-.", "<"),
        contains=("nesterov",),
    ),
    "radam": Optimizer(
        "torch.optim:RAdam",
        _MOMENTS,
        _ADAM_GRID,
        "RAdam",
        ("#44AA99", ":", ">"),
        contains=("momentum",),
    ),
    "adamax": Optimizer(
        "torch.optim:Adamax", _MOMENTS, _ADAM_GRID, "Adamax", ("#999933", "--", "p")
    ),
    "adafactor": Optimizer(
        "torch.optim:Adafactor",
        {"beta2_decay": -0.8, "d": 1.0, "weight_decay": 0.0},
        (0.003, 0.01, 0.03, 0.1, 0.3),  # relative to the size of the weights
        "Adafactor",
        ("#A6761D", "-.", "d"),
        elementwise=False,
        capturable=False,
    ),
    # Muon trains the hidden matrices, AdamW everything else: see the class.
    "muon": Optimizer(
        "optlab.parts.optimizers.muon:MuonWithAdamW",
        {"momentum": 0.95, "nesterov": True, "ns_steps": 5, **_MOMENTS, "weight_decay": 0.1},
        _ADAM_GRID,
        "Muon",
        ("#332288", "-", "*"),
        elementwise=False,
        capturable=False,
        cannot=uses.muon,
    ),
    "rprop": Optimizer(
        "torch.optim:Rprop",
        {"etas": [0.5, 1.2], "step_sizes": [1e-6, 50], "weight_decay": 0.0},
        (1e-4, 1e-3, 1e-2),
        "Rprop",
        ("#7F7F7F", "-", "h"),
        decayed="optlab.parts.optimizers.decayed:RpropL2",
        cannot=uses.rprop,
    ),
    # One iteration a step in place of PyTorch's 20, so that an epoch is one iteration. Its line
    # search takes up to 25 evaluations; without it the result would depend on the rate alone.
    "lbfgs": Optimizer(
        "torch.optim:LBFGS",
        {"history_size": 100, "weight_decay": 0.0},
        (0.1, 0.3, 1.0, 3.0),
        "L-BFGS",
        ("#117733", "--", "H"),
        fixed={"max_iter": 1, "max_eval": 26, "line_search_fn": "strong_wolfe"},
        decayed="optlab.parts.optimizers.decayed:LBFGSL2",
        grouped=False,
        elementwise=False,
        capturable=False,
        channels_last=False,  # it concatenates the gradients with view(), which needs contiguity
        cannot=uses.lbfgs,
    ),
}


def of(name: str) -> Optimizer:
    """The optimizer of this name; of the user's own little is known, and figures give it a look."""
    label, look = name.rpartition(":")[2], ("", "", "")
    return OPTIMIZERS.get(name) or Optimizer(
        name, {}, (), label, look, elementwise=False, capturable=False, proportional=True
    )


# Keys of an optimizer that are no arguments of its class: the one that it wraps, with its knobs;
# and the weights that do not decay, `bias`, `norm`, or patterns of names.
BASE, UNDECAYED = "base", "no_weight_decay"


def knobs_of(optimizer: str) -> list[str]:
    """The knobs of an optimizer of the catalogue; none of another."""
    if optimizer not in OPTIMIZERS:
        return []
    entry = OPTIMIZERS[optimizer]
    grouped = entry.cls.startswith("torch.optim:") and entry.grouped
    return ["lr", *entry.knobs, *([UNDECAYED] if grouped else [])]


def as_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs with their values, where one value of a mapping or a list may be written plainly."""
    found = dict(given)
    if isinstance(base := given.get(BASE), str | Mapping):
        found[BASE] = [{"optimizer": base} if isinstance(base, str) else base]
    words = given.get(UNDECAYED)
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        found[UNDECAYED] = [words]
    return found


def grid(optimizer: str, given: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The values of every knob of an optimizer: those that are given, else its defaults."""
    entry, given = OPTIMIZERS.get(optimizer), as_values(given)
    if entry is None:
        return given
    defaults = {knob: [canonical(value)] for knob, value in entry.knobs.items()}
    return {"lr": canonical(entry.grid), **defaults, **given}


def complete(optimizer: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """Knobs with the optimizer's defaults filled in; without ``lr``, the middle one of its grid."""
    entry = OPTIMIZERS.get(optimizer)
    if entry is None:
        return dict(knobs)
    return {"lr": entry.grid[len(entry.grid) // 2], **entry.knobs, **knobs}


def shown(optimizer: str, knobs: Mapping[str, Any]) -> dict[str, Any]:
    """The knobs that paths and tables show."""
    defaults = of(optimizer).knobs
    return {
        knob: value
        for knob, value in knobs.items()
        if knob in SHOWN or knob not in defaults or value != defaults[knob]
    }
