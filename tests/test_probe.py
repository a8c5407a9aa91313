"""The probe: what a study names is tried before its runs train."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from optlab.errors import DataError, UserError
from optlab.probe import answers, questions, trial
from optlab.study import reading

ROOT = Path(__file__).parents[1]

OWN = """\
import torch
from torch import nn
from pieces import Block

class Good(nn.Module):
    def __init__(self, shape, outputs, width=8):
        super().__init__()
        self.body, self.head = Block(64, width), nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(torch.relu(self.body(x.flatten(1))))

class Five(Good):
    def __init__(self, shape, outputs):
        super().__init__(shape, 5)

class Pair(Good):
    def forward(self, x):
        return super().forward(x), x

class Crash(Good):
    def forward(self, x):
        return x @ torch.zeros(3, 3)

class Nan(Good):
    def forward(self, x):
        return super().forward(x) * float("nan")

class Norm(nn.Sequential):
    def __init__(self, shape, outputs):
        super().__init__(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, outputs))

def Lazy(shape, outputs):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(outputs))

def Leaves(shape, outputs):
    raise SystemExit("bye")

def Number(shape, outputs):
    return 3

def Odd(size):
    return nn.Linear(size, 1)

def Flat(shape, outputs):
    return nn.Flatten()

class Column(nn.Linear):  # broadcasts against the targets
    def __init__(self, shape, outputs):
        super().__init__(shape[0], outputs)

    def forward(self, x):
        return super().forward(x).flatten()
"""

STEPS = """\
import torch

class Fine(torch.optim.SGD):
    pass

class Bad(torch.optim.SGD):
    def step(self, closure=None):
        return self.nothing

class Needs(torch.optim.SGD):
    def __init__(self, params, magic, lr=0.1):
        super().__init__(params, lr)

class Picky(torch.optim.SGD):
    def __init__(self, params, lr=0.1, scale=1.0):
        if scale > 2:
            raise ValueError("a scale above 2 is silly")
        super().__init__(params, lr)
"""


@pytest.fixture
def own(here):
    (here / "my").mkdir()
    (here / "my/own.py").write_text(OWN)
    (here / "my/pieces.py").write_text(
        "from torch import nn\n\nclass Block(nn.Linear):\n    pass\n"
    )
    (here / "my/steps.py").write_text(STEPS)
    return here


def study(models=("mlp",), optimizers=None, dataset="digits", **more):
    exercise = {"datasets": [dataset], "models": list(models), "epochs": [2],
                "optimizers": optimizers or {"sgd": {"lr": [0.01]}}, **more}  # fmt: skip
    named = {"wide": {"network": "my/own.py:Good", "widht": 3},
             "resnet": {"network": "torchvision.models:resnet18"}}  # fmt: skip
    return {"study": "tried", "seeds": 1, "device": "cpu", "models": named,
            "exercises": {"fit": exercise}}  # fmt: skip


def reasons(content):
    """Why things of a study are refused, by the key in the study; tried in this process."""
    resolved, found = reading.resolve(content), {}
    asked = questions.of_study(resolved)
    for question in asked:
        if answers.is_open(question, found):
            try:
                data = trial.data_of(resolved, question.run)
                found[question.mark] = trial.answer(question, data)
            except DataError as error:
                found[question.mark] = str(error)
    return {
        ".".join(map(str, question.key)): found[question.mark]
        for question in asked
        if found.get(question.mark)
    }


MODEL, OPTIMIZER = "exercises.fit.models.0", "exercises.fit.optimizers."
NETWORKS = {
    "my/own.py:Five": "returns the shape [256, 5] for 256 examples, where [256, 10] is needed",
    "my/own.py:Pair": "my/own.py:Pair returns tuple, not a tensor",
    "my/own.py:Crash": "my/own.py:23: RuntimeError: mat1 and mat2 shapes cannot be multiplied",
    "my/own.py:Nan": "the loss before the first step is nan on digits",
    "my/own.py:Leaves": "my/own.py:37: SystemExit: bye",
    "my/own.py:Number": "my/own.py:Number returns int, not a torch.nn.Module",
    "my/own.py:Odd": "needs 'size', but it takes neither (shape, outputs) nor num_classes",
    "my/own.py:Flat": "my/own.py:Flat has no parameters to train",
    "my/own.py:Gone": "my/own.py: there is no 'Gone' in my/own.py".replace(".py: ", ".py:Gone: "),
    "wide": "refuses {'widht': 3}: Good.__init__() got an unexpected keyword argument 'widht'",
    "resnet": "expected input[256, 1, 8, 8] to have 3 channels, but got 1 channels instead",
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_cannot_be_trained_is_told_with_its_key(name, own):
    found = reasons(study([name]))
    key = f"models.{name}" if ":" not in name else MODEL
    assert list(found) == [key] and NETWORKS[name] in found[key]
    assert "\n" not in found[key]


def test_a_wrong_metric_of_one_exercise_is_told_and_harms_no_other(own):
    content = study(metrics=["top_99_accuracy"])
    content["exercises"]["sound"] = study()["exercises"]["fit"]
    (key, reason), *others = reasons(content).items()
    assert (key, others) == ("exercises.fit.metrics", []) and "10 classes" in reason
    outcome = answers.of_study(reading.resolve(content), [])
    assert len(outcome.lines) == 1 and not outcome.nothing_left
    content["exercises"]["fit"]["metrics"] = ["top_3_accuracy"]
    assert answers.of_study(reading.resolve(content), []).lines == []
    alone = answers.of_study(reading.resolve(study(metrics=["top_99_accuracy"])), [])
    assert alone.nothing_left


def test_data_that_cannot_be_read_are_told_and_the_rest_is_tried(own):
    x, y = np.zeros((40, 3)), np.arange(40) % 2
    np.savez("bad.npz", x_train=x, y_train=np.where(y, 1, -1), x_test=x, y_test=y)
    content = study(["mlp", "my/own.py:Five"], batch_sizes=[20])
    content["datasets"] = {"bad": {"source": "npz", "file": "bad.npz"}}
    content["exercises"]["fit"]["datasets"] = ["bad", "digits"]
    found = reasons(content)
    assert list(found) == ["datasets.bad", "exercises.fit.models.1"]
    assert found["datasets.bad"].startswith("bad.npz: array y_train holds the label -1")
    outcome = answers.of_study(reading.resolve(content), [])
    assert len(outcome.lines) == 2 and outcome.note == ""


LOSSES = """\
from torch.nn.functional import cross_entropy

def fine(output, y):
    return cross_entropy(output, y)

def each(output, y):
    return cross_entropy(output, y, reduction="none")

def crash_score(output, y):
    return (output @ y).mean()
"""


@pytest.mark.parametrize(
    ("more", "key", "words"),
    [
        (
            {"loss": "my/judge.py:each"},
            "loss",
            "my/judge.py:each returns [256], not a single number",
        ),
        ({"loss": "my/judge.py:gone"}, "loss", "there is no 'gone' in my/judge.py"),
        ({"metric": "my/judge.py:crash_score"}, "metric", "my/judge.py:10: RuntimeError"),
        ({"loss": "my/judge.py:fine"}, None, ""),
    ],
)
def test_a_loss_or_a_metric_that_fails_is_told_with_its_key(more, key, words, own):
    (own / "my/judge.py").write_text(LOSSES)
    found = reasons(study(batch_sizes=[64], **more))
    assert list(found) == ([f"exercises.fit.{key}"] if key else [])
    assert all(words in reason for reason in found.values())


@pytest.mark.parametrize("name", ["my/own.py:Good", "my/own.py:Lazy", "cnn"])
def test_a_network_that_can_be_trained_is_not(name, own):
    assert reasons(study([name])) == {}


def test_a_shape_that_would_broadcast_is_told(own):
    found = reasons(study(["my/own.py:Column"], dataset="line", batch_sizes=["full"]))
    assert "returns the shape [4] for 4 examples, where [4, 1] is needed" in found[MODEL]


@pytest.mark.parametrize(("batch", "told"), [(1076, True), (269, True), (100, False)])
def test_a_last_batch_of_one_is_told_before_the_first_step(batch, told, own):
    found = reasons(study(["my/own.py:Norm"], batch_sizes=[batch]))
    assert bool(found) == told
    if told:
        assert f"the last batch has 1 of 1077 in batches of {batch}" in found[MODEL]


def test_shares_of_one_are_told_where_they_are_not_synchronised(own):
    share = {"models": ["my/own.py:Norm"], "batch_sizes": [215], "gpus": [2]}
    assert "sync_batch_norm: true" in reasons(study(**share))[MODEL]
    assert reasons(study(**share, sync_batch_norm=True)) == {}


OPTIMIZERS = {
    "my/steps.py:Bad": ({"lr": [0.1]}, "my/steps.py:8: AttributeError: 'Bad' object has no attr"),
    "my/steps.py:Needs": ({"lr": [0.1]}, "needs 'magic', which is no knob of the study"),
    "my/steps.py:Gone": ({"lr": [0.1]}, "there is no 'Gone' in my/steps.py"),
    "my/steps.py:Picky": ({"scale": [1, 2, 3]}, "refuses {'scale': 3.0}: a scale above 2 is silly"),
    "my/steps.py:Fine": ({"lr": [0.1, -1]}, "refuses {'lr': -1.0}: Invalid learning rate: -1.0"),
    "torch.optim:SGD": ({"lr": [0.1], "nestrov": [True]}, "did you mean 'nesterov'?"),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_that_refuses_is_told_with_its_key(name, own):
    knobs, words = OPTIMIZERS[name]
    found = reasons(study(optimizers={name: knobs, "adam": {"lr": [0.01]}}))
    assert list(found) == [OPTIMIZER + name] and words in found[OPTIMIZER + name]


def test_what_the_data_make_infinite_is_told(own):
    x, y = np.ones((20, 4), np.float32), np.full((20, 1), 3e30, np.float32)  # squared: infinite
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez("huge.npz", **arrays)
    content = study(["linear"], dataset="huge", batch_sizes=[5])
    content["datasets"] = {"huge": {"source": "npz", "file": "huge.npz"}}
    assert "the loss before the first step is" in reasons(content)[MODEL]


def test_memory_that_is_too_small_is_told_and_not_raised(own, monkeypatch):
    (_, question, *_) = questions.of_study(reading.resolve(study()))

    def full(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(trial, "_try", full)
    data = trial.data_of(reading.resolve(study()), question.run)
    assert trial.answer(question, data) == "not enough memory: no room"


def test_searches_are_asked_about_too(own):
    space = {"optimizer": {"type": "categorical", "choices": ["adam", "sgd"]},
             "lr": {"type": "float", "low": 0.001, "high": 0.1}}  # fmt: skip
    exercise = {"kind": "search", "datasets": ["digits"], "network": "mlp", "space": space}
    content = {"study": "tried", "exercises": {"find": exercise}}
    asked = questions.of_study(reading.resolve(content))
    assert [(q.stage, q.run.optimizer) for q in asked] == [
        ("data", "adam"), ("network", "sgd"), ("optimizer", "adam"), ("optimizer", "sgd"),
    ]  # fmt: skip
    assert [q.key[2] for q in asked[:2]] == ["datasets", "network"]


RUDE = """\
import os, sys, threading, torch
from torch import nn

def Moves(shape, outputs):
    os.chdir("/")
    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    sys.path.insert(0, "elsewhere")
    import hidden_away
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs, dtype=torch.float32))

def Waits(shape, outputs):
    threading.Thread(target=threading.Event().wait).start()
    return nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
"""


def test_code_that_changes_its_process_harms_no_other_answer(own):
    (own / "my/rude.py").write_text(RUDE.replace('"elsewhere"', repr(str(own / "elsewhere"))))
    (own / "elsewhere").mkdir()
    (own / "elsewhere/hidden_away.py").write_text("")
    models = ["my/rude.py:Moves", "my/own.py:Good", "my/rude.py:Waits", "my/own.py:Crash"]
    outcome = answers.of_study(reading.resolve(study(models)), [])
    (line,) = outcome.lines
    assert line.startswith("exercises.fit.models.3: my/own.py:23: RuntimeError")
    (note,) = outcome.notes
    assert note.startswith("exercises.fit.models.0: imports elsewhere/hidden_away.py in a way that")
    assert not outcome.note and not outcome.nothing_left


# What is asked again


def test_only_what_changed_is_asked_again(own):
    content = study(["my/own.py:Good", "mlp"], {"my/steps.py:Fine": {"lr": [0.1]}})

    def marks(content=content):
        return {q.mark for q in questions.of_study(reading.resolve(content))}

    first = marks()
    assert len(first) == 5
    (own / "my/other.py").write_text("x = 1\n")
    assert marks() == first
    (own / "my/pieces.py").write_text("from torch import nn\n\nclass Block(nn.Linear): ...\n")
    assert len(marks() - first) == 2  # the network, and the optimizer with it
    rates = study(["my/own.py:Good", "mlp"], {"my/steps.py:Fine": {"lr": [0.1, 0.2]}})
    assert len(marks(rates) - marks()) == 2  # the new rate with each network is only built
    seeds = {**content, "seeds": 5}
    assert marks(seeds) == marks()


def test_answers_are_kept_for_what_the_study_still_names(own):
    asked = questions.of_study(reading.resolve(study()))
    answers.write(Path("a.json"), asked, {asked[0].mark: "no", "gone": "old"})
    assert answers.read(Path("a.json")) == {asked[0].mark: "no"}
    Path("a.json").write_text("{damaged")
    assert answers.read(Path("a.json")) == {}


# As people see it


def test_mistakes_in_own_code_are_a_line_each_before_anything_trains(own):
    content = study(list(NETWORKS), {"adam": {"lr": [0.01]}})
    for number, (name, (knobs, _)) in enumerate(OPTIMIZERS.items()):
        other = study(optimizers={name: knobs})["exercises"]["fit"]
        content["exercises"][f"by{number}"] = other
    for number, batch in enumerate((1076, 269, 538)):
        other = study(["my/own.py:Norm"], batch_sizes=[batch])["exercises"]["fit"]
        content["exercises"][f"norm{number}"] = other
    (own / "study.yaml").write_text(json.dumps(content, indent=1))
    check = [sys.executable, str(ROOT / "workflow/scripts/check.py"), "--study", "study.yaml"]
    assert subprocess.run(check, capture_output=True, check=False).returncode == 0
    done = subprocess.run([*check, "--probe"], capture_output=True, text=True, check=False)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and len(lines) == 20, done.stderr
    assert all(line.startswith("error: study.yaml:") for line in lines)
    assert not (own / "results/tried/runs").exists()


@pytest.mark.slow
def test_the_rest_of_a_study_goes_on_and_nothing_else_begins(own):
    some = study(["mlp", "my/own.py:Five"])
    none = study(["my/own.py:Crash", "my/own.py:Five"])
    for content, status, runs in ((some, 0, 2), (none, 1, 0)):
        content["study"] = f"with-{runs}"
        Path("study.yaml").write_text(json.dumps(content))
        command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2",
                   "--configfile", "study.yaml"]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = [line for line in done.stderr.splitlines() if line.startswith("error: study.yaml")]
        assert done.returncode == status, done.stderr
        assert len(told) == len(content["exercises"]["fit"]["models"]) - (status == 0)
        assert len(list(Path("results", content["study"]).glob("runs/**/run.json"))) == runs


def test_code_that_kills_its_process_is_a_note(own):
    (own / "my/own.py").write_text(
        "import os\n\ndef Dies(shape, outputs):\n    os.kill(os.getpid(), 9)\n"
    )
    outcome = answers.of_study(reading.resolve(study(["my/own.py:Dies"])), [])
    assert outcome.lines == [] and not outcome.nothing_left
    assert "mlp" not in outcome.note
    assert outcome.note.startswith("it ended with status") and "probe.log" in outcome.note


def test_a_run_is_refused_as_it_was_told(own):
    from optlab.runs import failures
    from optlab.study import table
    from optlab.training import loop

    (run,) = table.runs(reading.resolve(study(["my/own.py:Five"])))
    data = trial.data_of(reading.resolve(study()), run)
    with pytest.raises(failures.RunFailed, match=r"where \[1077, 10\] is needed"), \
            failures.recognised(run):  # fmt: skip
        loop.train(replace(run, train_loss_examples=2000), data, [0])
    assert issubclass(failures.RunFailed, UserError)
