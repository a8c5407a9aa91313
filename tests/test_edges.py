"""What the check of a study accepts can be trained: every knob and every number at its edges.

The check imports no PyTorch, so it repeats the rules of PyTorch's constructors. Here the two are
held against each other: what is accepted trains three steps, what is refused is refused in one
line, and what makes sense is not refused. Fast tests take a sample.
"""

import copy
import math
import random
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import settings

from optlab.catalogue import datasets as catalogue
from optlab.catalogue.optimizers import OPTIMIZERS, UNDECAYED, knobs_of
from optlab.data import builtin, known, prepare
from optlab.errors import UserError
from optlab.search.trials import worker
from optlab.study import names, reading, table
from optlab.study.kinds import search as searches
from optlab.training import datasets, loop
from optlab.training.datasets import Dataset, Split

LIKE = 1 - 2**-53  # the largest number below 1
NUMBERS = [
    *(0, -1, 1, 2, 100, 0.5, LIKE, -0.5, 5e-324, 1e-320, 1e-45, 1e-38, 1e-7, 1e15, 1e16, 3.5e38),
    *(1e154, 1e308, math.inf, -math.inf, math.nan, 2**31, 2**63, 10**400, 10**9, 10**9 + 1),
]
OTHERS = [True, False, None, "a", "", "0.5", "full", "auto", [], [1], [0], [[1]], {}]
PAIRS = [
    *([0.9], [0.9, 0.999], [0, 0], [0, 0.999], [0.5, 0], [LIKE, LIKE], [1e-320, 1e-320], [1, 1]),
    *([0.5, 1.2], [0.5, 1], [1, 2], [1.2, 0.5], [2, 3], [1.5, 1.5], [-0.5, 1.2], [0.9, 0.9, 0.9]),
    *([1e-6, 50], [0, 50], [1, 50], [5e-324, 1e15], [0.5, 1e15], [0.5, 1e16], [0.5, 1e308]),
    *([math.nan, 1], [0.5, math.inf], ["a", "b"], [True, False], [10**400, 1]),
]
KNOBS = [
    (optimizer, knob, value)
    for optimizer in OPTIMIZERS
    for knob in knobs_of(optimizer)
    if knob != UNDECAYED  # the names of weights are the network's: `tests/test_protocols.py`
    for value in [*NUMBERS, *OTHERS, *PAIRS]
]


def some(cases, number):
    """The same sample in every test run."""
    return random.Random(0).sample(cases, number)


@pytest.fixture(scope="module")
def points():
    """Six points of two classes."""
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    part = Split(x, torch.tensor([0, 1] * 3))
    return Dataset("points", "Points", "classification", 2, (3,), 1.0, part, part, part)


def check_knob(points, optimizer, knob, value):
    given = reading._plain({knob: [value]})
    mistakes = list(names.optimizer(optimizer, given))
    if mistakes:
        assert len(mistakes) == 1 and "\n" not in mistakes[0][1]
        return False
    full = optimizer == "lbfgs"
    plan = {"batch_size": "full" if full else 2, "epochs": 3 if full else 1}
    run = settings("mlp", optimizer, {knob: given[knob][0]}, {"hidden": [4]}, **plan)
    (outcome,) = loop.train(run, points, [0])
    assert outcome.evaluations[-1].status in ("ok", "diverged")
    return True


def test_a_knob_that_the_check_accepts_trains(points):
    found = [check_knob(points, *case) for case in some(KNOBS, 100)]
    assert 10 < sum(found) < 90


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_knob_that_the_check_accepts_trains(points, optimizer):
    cases = [case for case in KNOBS if case[0] == optimizer]
    assert sum(check_knob(points, *case) for case in cases) > 10


@pytest.mark.parametrize(
    ("optimizer", "knob", "values"),
    [
        *((name, "betas", [[0, 0.999], [0.9, 0], [0, 0]]) for name in ("adam", "radam", "muon")),
        *((name, "lr", [0, 1e-320, 1e15]) for name in OPTIMIZERS if name != "lbfgs"),
        ("lbfgs", "lr", [1e-7, 1e15]),
        *((name, "momentum", [0, LIKE]) for name in ("momentum", "rmsprop", "muon")),
        ("momentum", "dampening", [0, 1]),
        ("adam", "weight_decay", [0, 100]),
        ("rprop", "etas", [[0.001, 1.001], [LIKE, 100]]),
        ("rprop", "step_sizes", [[0, 50], [0.1, 0.1]]),
        ("adafactor", "beta2_decay", [-1, 0]),
        ("lbfgs", "history_size", [1, 1000]),
        ("torch.optim:ASGD", "alpha", [2]),
    ],
)
def test_what_makes_sense_is_not_refused(points, optimizer, knob, values):
    for value in values:
        assert list(names.optimizer(optimizer, {"lr": [0.1], knob: [value]})) == []
        if optimizer in OPTIMIZERS:
            assert check_knob(points, optimizer, knob, value)


@pytest.mark.parametrize(
    ("optimizer", "knob", "value", "why"),
    [
        ("lbfgs", "lr", 0, "0 is not allowed; a number of at least 1e-30: a line search needs"),
        ("nesterov", "momentum", 0, "0 is not allowed; a number above 0 and below 1"),
        ("rprop", "etas", [1.1, 1.2], "[1.1, 1.2] is not allowed; two factors as [0.5, 1.2], one"),
        ("rprop", "step_sizes", [50, 1e-6], "[50, 1e-06] is not allowed; two step sizes as"),
        ("adamax", "lr", 1e38, "1e+38 is not allowed; at most 1e+15"),
        ("rmsprop", "weight_decay", 1e308, "1e+308 is not allowed; at most 1e+15"),
    ],
)
def test_what_only_pytorch_refused_is_refused_before(optimizer, knob, value, why):
    ((_, message),) = names.optimizer(optimizer, {knob: [value]})
    assert message.startswith(why)


# Numbers of a study

SWEEP = {
    "datasets": ["d"],
    "models": ["m"],
    "epochs": [1],
    "batch_sizes": [50],
    "gpus": [1],
    "schedules": [{"name": "one_cycle", "warmup": 0.3, "start": 0.1, "final": 0.01}],
    "evaluate_every": 1,
    "train_loss_examples": 100,
    "target_accuracy": 0.5,
    "threads": 1,
    "confirm": 0,
    "margin": {"accuracy": 0.1},
    "extend": 0,
    "optimizers": {"sgd": {"lr": [0.1]}},
}
OF_CNN = {
    "datasets": ["d"],
    "models": ["c", "l"],
    "batch_sizes": [100],
    "epochs": [2],
    "schedules": [{"name": "step", "drops": 2, "gamma": 0.1}],
    "optimizers": {"adam": {"lr": [0.01]}},
}
SEARCH = {
    "kind": "search",
    "datasets": ["d"],
    "space": {
        "optimizer": {"type": "categorical", "choices": ["nesterov"]},
        "lr": {"type": "float", "low": 0.01, "high": 0.1, "log": True},
        "momentum": {"type": "float", "low": 0.1, "high": 0.9},
        "n_layers": {"type": "int", "low": 1, "high": 2},
        "n_units": {"type": "int", "low": 2, "high": 4},
        "dropout": {"type": "float", "low": 0.1, "high": 0.5},
        "batch_size": {"type": "categorical", "choices": [50, 100]},
    },
    "sampler": {"name": "tpe", "n_startup_trials": 1, "n_ei_candidates": 4},
    "pruner": {"name": "median", "n_startup_trials": 1, "interval_steps": 1},
    "seed": 0,
    "epochs": 1,
    "epoch_examples": 100,
    "validation_examples": 20,
    "trials": 2,
    "workers": 1,
    "retrain_pruned": 1,
}
STUDY = {
    "study": "edges",
    "seeds": 1,
    "device": "cpu",
    "datasets": {"d": {"source": "digits", "validation": 0.2, "split_seed": 0, "subset": 200}},
    "models": {
        "m": {"network": "mlp", "hidden": [4], "dropout": 0.1},
        "c": {"network": "cnn", "channels": [2], "units": 3, "dropout": 0.2},
        "l": {"network": "linear", "weight": 0.1, "bias": 0.2},
    },
    "exercises": {"sweep": SWEEP, "cnn": OF_CNN, "search": SEARCH},
}


def numbers_of(value, key=()):
    """The keys of all numbers, and of the lists that hold them."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for name, one in inner:
        if isinstance(one, dict | list):
            yield from numbers_of(one, (*key, name))
        if isinstance(one, int | float) or (isinstance(one, list) and one and one[0] != "d"):
            yield (*key, name)


CHANGES = [(key, value) for key in numbers_of(STUDY) for value in [*NUMBERS, *OTHERS]]


def changed(key, value):
    study = copy.deepcopy(STUDY)
    place = study
    for name in key[:-1]:
        place = place[name]
    place[key[-1]] = value
    return study


def check_change(key, value):
    """Whether the check accepts a study with this value; one that it does is trained a little."""
    try:
        study = reading.resolve(changed(key, value))
    except UserError as error:
        assert all(len(line) < 1000 and line.isprintable() for line in str(error).splitlines())
        return False
    runs = [] if key[1:2] == ("search",) else table.runs(study)
    found = searches.every(study)
    for path in {one.data for one in [*runs, *found]}:
        if not Path(path).exists():
            prepare.prepare("d", study["datasets"]["d"], Path(path), None)
    for run in runs if key[1:2] != ("search",) else ():
        short = replace(run, epochs=min(run.epochs, 2), seeds=1)
        (outcome,) = loop.train(short, datasets.load(short.data), [short.first_seed])
        assert outcome.evaluations
    for one in found if key[1:2] == ("search",) else ():
        short = replace(one, epochs=min(one.epochs, 2), trials=min(one.trials, 2))
        short = replace(short, study=f"edges-{uuid.uuid4()}")
        assert sum(worker.work(short, 0)["states"].values()) >= short.trials
    return True


def test_a_number_of_a_study_that_the_check_accepts_trains(here):
    found = [check_change(*case) for case in some(CHANGES, 50)]
    assert 1 < sum(found) < 49


@pytest.mark.slow
@pytest.mark.parametrize("section", ["sweep", "cnn", "search", ""])
def test_every_number_of_a_study_that_the_check_accepts_trains(here, section):
    cases = [(key, v) for key, v in CHANGES if (key[1] if key[0] == "exercises" else "") == section]
    assert sum(check_change(*case) for case in cases) > 10


# What a study puts together


def array_file(**more):
    x, y = np.zeros((20, 4), np.float32), np.zeros(20, np.float32)
    np.savez("mine.npz", **{"x_train": x, "y_train": y, "x_test": x, "y_test": y, **more})


MINE = {"datasets": {"mine": {"source": "npz", "file": "mine.npz"}}}
ON_MINE = {"datasets": ["mine"], "models": ["mlp"], "batch_sizes": ["full"]}
LBFGS = {"type": "categorical", "choices": ["sgd", "lbfgs"]}
FLOAT = {"type": "float", "low": 1, "high": 3}
LINE = {"datasets": ["line"], "models": ["linear"], "batch_sizes": ["full"]}
LONG = {"torch.optim:Adam": {"lr": [0.1], **{f"knob{n}": [1 / 3] for n in range(12)}}}
MISFITS = {
    "target of two axes": (
        (MINE, {**ON_MINE}),
        "datasets.mine: mine.npz: array y_train has the shape [20, 2, 3]; targets must be [N] or",
    ),
    "subset with too few of a class": (
        ({"datasets": {"few": {"source": "digits", "subset": 12}}}, {"datasets": ["few"]}),
        "datasets.few: the subset of 12 examples has 1 examples of class 0; a stratified split",
    ),
    "subset of more than all": (
        ({"datasets": {"d": {"source": "mnist", "subset": 60001}}}, {"datasets": ["d"]}),
        "datasets.d.subset: 60001 examples asked for, but there are 60000",
    ),
    "validation of all": (
        ({"datasets": {"d": {"source": "digits", "validation": 1430}}}, {"datasets": ["d"]}),
        "datasets.d.validation: 1430 of 1437 examples leave no example of some classes",
    ),
    "batch beyond a subset": (
        ({"datasets": {"d": {"source": "digits", "subset": 100}}}, {"datasets": ["d"]}),
        "exercises.one.batch_sizes: a batch of 100 is more than the 75 training examples of d",
    ),
    "images that are none": (
        ({}, {"datasets": ["line"], "models": ["cnn"], "batch_sizes": ["full"]}),
        "exercises.one.models: cnn on line: the network cnn needs images of at least 4x4 pixels",
    ),
    "more weights than fit": (
        ({"models": {"m": {"network": "mlp", "hidden": [10**6] * 3}}}, {"models": ["m"]}),
        "exercises.one.models: m on digits: the network mlp has about 2e+12 weights; at most",
    ),
    "accuracy of a regression": (
        ({}, {**LINE, "metric": "accuracy"}),
        "exercises.one.metric: the data set line has no classes, so no accuracy",
    ),
    "target of a regression": (
        ({}, {**LINE, "target_accuracy": 0.5}),
        "exercises.one.target_accuracy: the data set line has no classes, so no accuracy",
    ),
    "folder that no file system has": (
        ({}, {"optimizers": LONG}),
        "exercises.one: the folder lr=0.1+knob0=0.3333333333333333+knob1=0.… of a run would",
    ),
    "more runs than fit": (
        ({}, {"epochs": list(range(1, 400)), "batch_sizes": list(range(1, 400))}),
        "exercises.one: its grid has 159201 runs; at most 100000 are allowed",
    ),
    "batch sizes of a search": (
        ({}, {"search": {"batch_size": {"type": "int", "low": 10, "high": 2000}}}),
        "exercises.one.space.batch_size: 'digits' has 1077 training examples, and 2000 are asked",
    ),
    "fractions for whole numbers": (
        ({}, {"search": {"n_layers": FLOAT, "n_units": {**FLOAT, "type": "int"}}}),
        "exercises.one.space.n_layers.type: a float is not allowed; a whole number from 1 up: use",
    ),
    "optimizer that a batch size does not suit": (
        ({}, {"search": {"optimizer": LBFGS}, "batch_size": 100}),
        "exercises.one.space.optimizer.choices.1: 'lbfgs' makes no sense here: L-BFGS compares",
    ),
}


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_together_is_one_line(here, name):
    (study, exercise), message = MISFITS[name]
    array_file(y_train=np.zeros((20, 2, 3), np.float32), y_test=np.zeros((20, 2, 3), np.float32))
    if space := exercise.pop("search", None):
        rate = {"type": "float", "low": 0.1, "high": 1}
        chosen = {"type": "categorical", "choices": ["sgd"]}
        own = {"kind": "search", "space": {"optimizer": chosen, "lr": rate, **space}}
    else:
        own = {"models": ["softmax"], "optimizers": {"sgd": {"lr": [0.1]}}}
    one = {"datasets": ["digits"], **own, **exercise}
    with pytest.raises(UserError) as caught:
        reading.resolve({"study": "edges", **study, "exercises": {"one": one}})
    (line,) = str(caught.value).splitlines()
    assert line.startswith(message), line


def test_muon_has_nothing_to_do_without_hidden_layers():
    study = {"study": "edges", "models": {"flat": {"network": "mlp", "hidden": []}}}
    one = {"datasets": ["digits"], "models": ["flat"], "optimizers": {"muon": {}}}
    with pytest.raises(UserError, match="nothing is left to train: the network mlp has no hidden"):
        reading.resolve({**study, "exercises": {"one": one}})


def test_the_catalogue_knows_how_many_examples_each_class_has():
    labels = builtin.digits().y_train
    assert catalogue.SOURCES["digits"].per_class == tuple(np.bincount(labels).tolist())
    for source in catalogue.SOURCES.values():
        assert sum(source.per_class) in (0, source.examples)


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"x_train": np.zeros((20, 5, 6), np.uint8), "x_test": np.zeros((20, 5, 6), np.uint8)},
        {"x_train": np.zeros((20, 5, 6, 3), "u1"), "x_test": np.zeros((20, 5, 6, 3), "u1")},
        {"y_train": np.arange(20) % 2, "y_test": np.arange(20) % 2},
        {"x_train": np.zeros(20, ">f8"), "x_test": np.zeros(20, ">f8")},
    ],
)
def test_a_file_is_known_before_it_is_read(here, arrays):
    array_file(**arrays)
    definition = {**catalogue.built_in("npz"), "file": "mine.npz", "validation": 4}
    prepare.prepare("mine", definition, Path("out.json"), None)
    found, read = known.source(definition), datasets.load("out.json")
    assert (found.shape, found.task) == (read.shape, read.task)
    assert known.sizes(definition) == (len(read.train.x), len(read.validation.x)) == (16, 4)
