"""Names in any capitals and common spellings are understood where that leaves one; no others."""

import pytest
from handmade import CLASSES, resolved

from optlab.catalogue import optimizers, schedules, spelling
from optlab.catalogue.datasets import BUILT_IN
from optlab.catalogue.networks import NETWORKS
from optlab.errors import UserError, allowed
from optlab.study import reading, table
from optlab.values import known

SPELLED = {
    **{"Adam": "adam", "SGD": "sgd", "AdamW": "adamw", "rms_prop": "rmsprop"},
    **{"RMSProp": "rmsprop", "L-BFGS": "lbfgs", "NAdam": "nadam", "Ada Grad": "adagrad"},
    **{"torch.optim.Adam": "adam", "torch.optim.SGD": "sgd", "torch.optim.LBFGS": "lbfgs"},
    **{"Torch.Optim.rms_prop": "rmsprop", "torch.optim.ASGD": "torch.optim:ASGD"},
    **{"torch.optim:SGD": "torch.optim:SGD", "my/opt.py:Adam": "my/opt.py:Adam"},
    **{
        "adma": "adma",
        "torch.Adam": "torch.Adam",
        "": "",
        "-": "-",
        "torch.optim.": "torch.optim.",
    },
}


@pytest.mark.parametrize("written", SPELLED)
def test_an_optimizer_is_understood_or_left_as_it_is_written(written):
    assert spelling.optimizer(written) == SPELLED[written]


def test_every_name_and_label_of_the_catalogue_is_understood():
    for name, entry in optimizers.OPTIMIZERS.items():
        for written in (name, name.upper(), entry.label):
            assert spelling.optimizer(written) == name
    for names in (BUILT_IN, NETWORKS, schedules.SCHEDULES):
        assert [known(name.title().replace("_", "-"), names) for name in names] == list(names)


def test_a_name_with_two_meanings_is_not_understood():
    assert known("Cnn", ["CNN", "cnn"]) == "Cnn"
    assert [known(name, ["CNN", "cnn"]) for name in ("CNN", "cnn")] == ["CNN", "cnn"]


@pytest.mark.parametrize(
    ("wrong", "names", "meant"),
    [
        ("mnsit", BUILT_IN, "mnist"),
        ("FASHON-MNIST", BUILT_IN, "fashion_mnist"),
        ("ADMA", optimizers.OPTIMIZERS, "adam"),
        ("Res-Nett", ["cnn", "resnet"], "resnet"),
        ("Res-Net", ["Resnet", "resnet"], "Resnet"),
    ],
)
def test_a_misprint_is_suggested_whatever_its_capitals(wrong, names, meant):
    assert allowed(wrong, names).startswith(f"did you mean '{meant}'? allowed: ")


# What people write, and the catalogue's own names: settings of a sweep and of a search.
SWEEP = """
study: same
datasets: {{small: {{source: {mnist}, subset: 900}}}}
models: {{wide: {{network: {mlp}, hidden: [9]}}}}
exercises:
  one:
    datasets: [{cifar}, small]
    models: [{cnn}, wide]
    schedules: [{cosine}, {{name: {warm}, warmup: 0.2}}]
    optimizers:
      {rmsprop}: {{lr: [0.1]}}
      {sgd}: {{lr: [0.1, 1]}}
      {asgd}: {{lr: [0.1]}}
      my.own:Look: {{lr: [0.1], base: {{optimizer: {rmsprop}}}}}
    compare: [{{optimizer: {rmsprop}, dataset: {cifar}}}]
    claims:
      - claim: It is better
        order:
          - {{optimizer: {sgd}, lr: 1, dataset: {cifar}, model: {cnn}, schedule: {cosine}}}
          - {{optimizer: {asgd}, dataset: {cifar}, model: {cnn}, schedule: {cosine}}}
  two:
    kind: search
    datasets: [{mnist}]
    network: {mlp}
    space:
      optimizer: {{type: categorical, choices: [{rmsprop}, {sgd}]}}
      lr: {{type: float, low: 0.1, high: 1}}
    claims: [{{claim: So, best: {{dataset: {mnist}, optimizer: {sgd}}}}}]
  three:
    kind: scaling
    datasets: [{mnist}]
    models: [{cnn}]
    optimizers: {{{sgd}: {{lr: [0.1]}}}}
    claims: [{{claim: So, value: {{dataset: {mnist}, model: {cnn}, scaling: weak, gpus: 2}},
               figure: speedup, published: 2}}]
"""
KNOWN = {
    **{"mnist": "mnist", "cifar": "cifar10", "mlp": "mlp", "cnn": "cnn", "cosine": "cosine"},
    **{"warm": "warmup_cosine", "rmsprop": "rmsprop", "sgd": "sgd", "asgd": "torch.optim:ASGD"},
}
WRITTEN = {
    **{"mnist": "MNIST", "cifar": "CIFAR-10", "mlp": "MLP", "cnn": "CNN", "cosine": "Cosine"},
    **{"warm": "Warmup-Cosine", "rmsprop": "RMSProp", "sgd": "torch.optim.SGD"},
    "asgd": "torch.optim.ASGD",
}


def test_spellings_plan_the_very_same_runs(here):
    texts = {}
    for names in (KNOWN, WRITTEN):
        (here / "study.yaml").write_text(SWEEP.format(**names))
        study = reading.load("study.yaml")
        texts[reading.dump(study)] = [run.text() for run in table.runs(study)]
    ((text, runs),) = texts.items()
    assert len(runs) == 5 * 8 + 3 and not any(name in text for name in WRITTEN.values())


def test_a_name_of_the_users_own_wins_as_it_is_written():
    own = {"datasets": {"MNIST": {"source": "digits"}}, "models": {"CNN": {"network": "mlp"}}}
    exercise = {**CLASSES, "optimizers": {"sgd": {"lr": [1]}}}
    names = {"datasets": ["MNIST", "mnist"], "models": ["CNN", "cnn"]}
    study = resolved({"one": {**exercise, **names}}, **own)
    assert study["exercises"]["one"]["datasets"] == ["MNIST", "mnist"]
    assert {run.network for run in table.runs(study) if run.model == "CNN"} == {"mlp"}
    with pytest.raises(UserError, match="unknown network 'Cnn'; did you mean 'cnn'"):
        resolved({"one": {**exercise, **names, "models": ["Cnn"]}}, **own)
    wide = {"My-Net": {"network": "mlp", "hidden": [9]}}
    (run,) = table.runs(resolved({"one": {**exercise, "models": ["my_net"]}}, models=wide))
    assert (run.model, run.network) == ("My-Net", "mlp")


SEARCH = {"kind": "search", "datasets": ["digits"], "space": {}}
TWICE = {
    "optimizers": ({"optimizers": {"SGD": None, "sgd": None}}, "sgd: 'SGD' and 'sgd'"),
    "models": ({"models": ["mlp", "MLP"]}, "1: 'mlp' and 'MLP'"),
    "datasets": ({"datasets": ["digits", "cnn", "Digits"]}, "2: 'digits' and 'Digits'"),
    "schedules": (
        {"schedules": ["One-Cycle", {"name": "one_cycle", "warmup": 0.3}]},
        "1: 'One-Cycle' and {\"name\": \"one_cycle\", \"warmup\": 0.3}",
    ),
    "space": (
        {**SEARCH, "space": {"optimizer": {"type": "categorical", "choices": ["Adam", "adam"]}}},
        "optimizer.choices.1: 'Adam' and 'adam'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("key", TWICE)
def test_two_spellings_of_one_name_are_a_mistake(key):
    changes, words = TWICE[key]
    usual = {**CLASSES, "optimizers": {"sgd": {"lr": [1]}}}
    exercise = changes if "kind" in changes else {**usual, **changes}
    with pytest.raises(UserError) as caught:
        resolved({"one": exercise})
    words = f"exercises.one.{key}.{words} are the same; keep one of the two"
    assert str(caught.value) == words
