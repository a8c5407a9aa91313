"""Optimizers of other packages train as a plain loop in the manner of their authors does."""

import math
import random

import pytest
import torch
from handmade import settings
from torch import nn
from torch.nn import functional

from optlab.data import prepare
from optlab.errors import UserError
from optlab.training import loop, networks, protocol, resumption
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import load

pytest.importorskip("pytorch_optimizer")
pytest.importorskip("torch_optimizer")
pytest.importorskip("schedulefree")

EPOCHS = 2


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    return load(path)


def run_of(spec, knobs, **more):
    options = {"hidden": [32], **more.pop("network_options", {})}
    return settings("mlp", spec, knobs, batch_size=200, epochs=EPOCHS, network_options=options,
                    **more)  # fmt: skip


def ours(run, data):
    """The losses of every step, and the training losses of every evaluation."""
    steps = []
    trainer = loop.Trainer(run, data, [1])
    take = trainer.take_step
    trainer.take_step = lambda *batch: steps.append(take(*batch)) or steps[-1]
    (outcome,) = trainer.run(lambda seed, row: None, Checkpoints(None, ""))
    return [*map(float, steps)], [row.train_loss for row in outcome.evaluations]


def plain(run, data, make, step, train=lambda o: None, evaluate=lambda o: None):
    """The same in the manner of a README: ``step(optimizer, model, loss)`` for each batch."""
    torch.set_num_threads(1)
    batches = loop.Trainer(run, data, [1]).batches
    model = networks.build(run, data, 1)
    optimizer = make(model)
    x, y = data.examples(data.train.x, data.train.y, torch.float32)

    def measured():
        model.eval()
        with torch.no_grad():
            found = functional.cross_entropy(model(x), y).item()
        model.train()
        return found

    losses, rows = [], [measured()]
    for epoch in range(1, EPOCHS + 1):
        train(optimizer)
        for inputs, targets in batches.epoch(epoch):
            loss = lambda i=inputs, t=targets: functional.cross_entropy(model(i), t)  # noqa: E731
            losses.append(step(optimizer, model, loss))
        evaluate(optimizer)
        rows.append(measured())
    return losses, rows


def usual(optimizer, model, loss):
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step()
    return value.item()


def with_graph(optimizer, model, loss):
    optimizer.zero_grad()
    value = loss()
    value.backward(create_graph=True)
    optimizer.step()
    return value.item()


def fused(optimizer, model, loss):
    value = loss()
    optimizer.fused_backward(value, lr=0.1)
    return value.item()


def closed(optimizer, model, loss, first=False):
    values = []

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        values.append(value.item())
        return value

    if first:  # "compute gradients at the current weights before calling step()"
        closure()
    optimizer.step(closure)
    return values[0]


def sharpness_aware(optimizer, model, loss):
    return closed(optimizer, model, loss, first=True)


def by_loss(optimizer, model, loss):
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step(lambda: float(value))
    return value.item()


def adamw(cls, **more):
    return lambda m: cls(m.parameters(), torch.optim.AdamW, lr=0.01, **more)


def muon(m):
    from pytorch_optimizer import Muon

    first, bias, last, other = m.parameters()
    groups = [
        {"params": [first], "use_muon": True},
        {"params": [bias, last, other], "use_muon": False},
    ]
    return Muon(groups, lr=0.02)


def undecayed(m):
    first, bias, last, other = m.parameters()
    groups = [{"params": [first, last]}, {"params": [bias, other], "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=0.01, weight_decay=0.5)


def lookahead(m):
    from pytorch_optimizer import Lookahead

    return Lookahead(torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9), k=3)


def po(name, *arguments, model=False, **more):
    import pytorch_optimizer

    cls = getattr(pytorch_optimizer, name)
    return lambda m: cls(m if model else m.parameters(), *arguments, **more)


def sf(name, **more):
    import schedulefree

    return lambda m: getattr(schedulefree, name)(m.parameters(), **more)


def second_order(m):
    import torch_optimizer

    return torch_optimizer.Adahessian(m.parameters(), lr=0.1)


BASE = {"optimizer": "adamw"}
MODES = {"train": lambda o: o.train(), "evaluate": lambda o: o.eval()}
STEPS = EPOCHS * math.ceil(1077 / 200)
# Spec, knobs in a study, and how its README builds it, steps, and changes its mode.
CASES = {
    "plain": ("pytorch_optimizer:AdaBelief", {"lr": 0.01}, po("AdaBelief", lr=0.01), usual, {}),
    "default rate": ("pytorch_optimizer:Yogi", {}, po("Yogi"), usual, {}),
    "modes": ("schedulefree:AdamWScheduleFree", {"lr": 0.02},
              sf("AdamWScheduleFree", lr=0.02), usual, MODES),
    "modes of SPlus": ("pytorch_optimizer:SPlus", {"lr": 0.1}, po("SPlus", lr=0.1), usual, MODES),
    "closure": ("schedulefree:SGDScheduleFreeClosure", {"lr": 0.5},
                sf("SGDScheduleFreeClosure", lr=0.5), closed, {}),
    "closure that says nothing": ("pytorch_optimizer:SAM", {"lr": 0.01, "base": BASE},
                                  lambda m: adamw(sam())(m), sharpness_aware, {}),
    "closure, own first gradient": ("pytorch_optimizer:WSAM", {"lr": 0.01, "base": BASE},
                                    lambda m: wsam()(m, m.parameters(), torch.optim.AdamW, lr=0.01),
                                    closed, {}),
    "closure for the loss": ("pytorch_optimizer:AliG", {"max_lr": 0.1},
                             po("AliG", max_lr=0.1), by_loss, {}),
    "examples of the run": ("pytorch_optimizer:BSAM", {"lr": 0.1},
                            po("BSAM", 1077, lr=0.1), sharpness_aware, {}),
    "create_graph": ("pytorch_optimizer:SophiaH", {"lr": 0.01},
                     po("SophiaH", lr=0.01), with_graph, {}),
    "second order of another": ("torch_optimizer:Adahessian", {"lr": 0.1},
                                second_order, with_graph, {}),
    "own backward": ("pytorch_optimizer:LOMO", {"lr": 0.1}, po("LOMO", model=True, lr=0.1), fused,
                     {}),
    "the module": ("pytorch_optimizer:AdamMini", {"lr": 0.01},
                   po("AdamMini", model=True, lr=0.01), usual, {}),
    "steps of the run": ("pytorch_optimizer:Ranger21", {"lr": 0.01},
                         po("Ranger21", num_iterations=STEPS, lr=0.01), usual, {}),
    "base": ("pytorch_optimizer:Lookahead", {"k": 3, "lr": 0.1, "base": {"optimizer": "momentum"}},
             lookahead, usual, {}),
    "use_muon": ("pytorch_optimizer:Muon", {"lr": 0.02}, muon, usual, {}),
    "no_weight_decay": ("adamw", {"lr": 0.01, "weight_decay": 0.5, "no_weight_decay": ["bias"]},
                        undecayed, usual, {}),
}  # fmt: skip


def sam():
    from pytorch_optimizer import SAM

    return SAM


def wsam():
    from pytorch_optimizer import WSAM

    return WSAM


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_each_protocol_gives_the_losses_of_a_plain_loop(name, digits):
    spec, knobs, make, step, modes = CASES[name]
    run = run_of(spec, knobs)
    expected = plain(run, digits, make, step, **modes)
    found = ours(run, digits)
    assert found[0] == pytest.approx(expected[0], rel=1e-6, abs=1e-9)
    assert found[1] == pytest.approx(expected[1], rel=1e-6, abs=1e-9)
    assert len(found[0]) == STEPS and len(set(found[0])) == STEPS


REFUSALS = {
    "unknown knob": ("pytorch_optimizer:AdaBelief", {"lrr": 1}, "no argument 'lrr'; did you mean"),
    "no such rate": ("pytorch_optimizer:AliG", {"lr": 1}, "has no argument 'lr'"),
    "no base": ("pytorch_optimizer:SAM", {"lr": 0.1}, "name it, as in base: {optimizer: adam}"),
    "misspelt knob of a base": (
        *(
            "pytorch_optimizer:Lookahead",
            {"base": {"optimizer": "pytorch_optimizer:Lion", "lrr": 1}},
        ),
        "pytorch_optimizer:Lion has no argument 'lrr'; did you mean 'lr'?",
    ),
    "needless base": ("torch.optim:Adam", {"base": BASE}, "wraps no other optimizer"),
    "several losses": ("pytorch_optimizer:PCGrad", {"base": BASE}, "and a run has one"),
    "unknown argument": ("pytorch_optimizer:GSAM", {"base": BASE}, "needs 'rho_scheduler'"),
    "no such weight": ("adamw", {"lr": 1, "no_weight_decay": ["head*"]}, "'head*' fits no param"),
    "no decay": ("pytorch_optimizer:Fromage", {"no_weight_decay": ["bias"]}, "no weight_decay"),
    "a vector": ("torch.optim:Muon", {}, "Muon only supports 2D parameters"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_cannot_work_is_refused_in_one_line(name, digits):
    spec, knobs, words = REFUSALS[name]
    with pytest.raises(UserError) as found:
        loop.Trainer(run_of(spec, knobs), digits, [0])
    assert words in str(found.value) and "\n" not in str(found.value)


def test_gradients_of_several_processes_need_a_plain_backward(digits):
    from optlab.training import optimizers

    trainer = loop.Trainer(run_of("pytorch_optimizer:SophiaH", {}), digits, [0])
    optimizers.check_processes(trainer.optimizer, 1)
    with pytest.raises(UserError, match="needs gpus: 1"):
        optimizers.check_processes(trainer.optimizer, 2)


EXACT = {
    "pytorch_optimizer:AdaBelief": True,
    "schedulefree:AdamWScheduleFree": True,
    "pytorch_optimizer:SAM": True,
    "pytorch_optimizer:Lookahead": True,
    "pytorch_optimizer:AdaLOMO": False,
    "pytorch_optimizer:TRAC": False,
    "torch_optimizer:Lookahead": False,
}


@pytest.mark.parametrize("spec", EXACT)
def test_an_optimizer_is_saved_only_if_it_can_go_on_exactly(spec, digits, here, capsys):
    knobs = {"base": {"optimizer": "torch.optim:Adam", "lr": 0.01}}
    run = run_of(spec, knobs if "base" in _needs(spec) else {}, network_options={"dropout": 0.2})
    torch.set_num_threads(1)
    whole = loop.train(run, digits, [1])
    with pytest.raises(KeyboardInterrupt):
        loop.train(run, digits, [1], checkpoints=Interrupted(here / "run.pt", 5))
    assert ("no checkpoint" in capsys.readouterr().out) == (not EXACT[spec])
    torch.manual_seed(0)
    random.seed(0)
    rest = Checkpoints(here / "run.pt", "mark")
    rest.load()
    assert (rest.resume([1]) is not None) == EXACT[spec]
    again = loop.train(run, digits, [1], checkpoints=rest)
    losses = [[row.train_loss for row in outcome[0].evaluations] for outcome in (whole, again)]
    assert losses[0] == losses[1]


def _needs(spec):
    return "base" if spec.rpartition(":")[2] in ("SAM", "Lookahead", "TRAC") else ""


class Interrupted(Checkpoints):
    """Asks the run to end before a step."""

    def __init__(self, file, step):
        super().__init__(file, "mark")
        self.calls, self.step = 0, step

    def due(self):
        self.calls += 1
        return self.calls == self.step

    def _asked_to_end(self):
        return self.calls >= self.step


def test_a_forgotten_attribute_is_noticed(digits):
    class Counts(torch.optim.SGD):
        calls = 0

        def step(self, closure=None):
            self.calls += 1
            for group in self.param_groups:
                group["lr"] = 0.1 / self.calls
            super().step()

    model = nn.Linear(64, 10)
    optimizer = Counts(model.parameters(), 0.1)
    optimizer.step()
    assert protocol.of(Counts) == protocol.Protocol()
    run = run_of("torch.optim:SGD", {"lr": 0.1})
    assert resumption.is_known(run)
    from optlab.training import optimizers

    context = optimizers.Context(model, dict(model.named_parameters()))
    x, y = digits.examples(digits.train.x[:9].flatten(1), digits.train.y[:9], torch.float32)
    assert not resumption.is_exact(run, context, optimizer, digits, (x, y))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", ["pytorch_optimizer", "torch_optimizer", "schedulefree"])
def test_every_optimizer_that_runs_equals_a_plain_loop(package, digits):
    """Those that take the parameters alone, used plainly, or with a change of mode."""
    compared, other = 0, []
    for cls in _classes(package):
        wanted = protocol.Protocol(modes=hasattr(cls, "train"))
        try:
            if protocol.of(cls) != wanted:
                continue
            run = run_of(f"{package}:{cls.__name__}", {})
            found = ours(run, digits)
        except (UserError, RuntimeError, ImportError, ValueError):
            continue  # refused, which docs/optimizers.md lists
        try:
            modes = MODES if wanted.modes else {}
            expected = plain(run, digits, lambda m, c=cls: c(m.parameters()), usual, **modes)
        except Exception:
            continue  # takes more than the parameters; one of each kind is in CASES
        compared += 1
        if found[0] != pytest.approx(expected[0], rel=1e-6, abs=1e-9, nan_ok=True):
            other.append(cls.__name__)
    assert not other
    assert compared > {"pytorch_optimizer": 95, "torch_optimizer": 25, "schedulefree": 5}[package]


def _classes(package):
    import importlib
    import inspect

    found = vars(importlib.import_module(package)).values()
    own = [
        c for c in found if inspect.isclass(c) and hasattr(c, "step") and hasattr(c, "zero_grad")
    ]
    return [c for c in dict.fromkeys(own) if not c.__module__.startswith("torch.optim")]


CLOSURES = {
    "assert closure is not None, 'needs closure'\n        loss = closure()": True,
    "if not closure:\n            raise RuntimeError('closure please')\n        closure()": True,
    "if closure is None:  # SAM\n            # needs it\n            raise RuntimeError": True,
    "loss = closure()": True,
    "loss = closure() if closure is not None else None": False,
    "loss = None if closure is None else closure()": False,
    "if closure is not None:\n            loss = closure()": False,
    "if closure:\n            raise NotImplementedError('no closures here')": False,
    "return super().step(closure)": False,
    "fetch = closure or self.other": False,
    "super().step()": False,
}


@pytest.mark.parametrize("body", CLOSURES)
def test_whether_a_closure_is_needed_is_read_from_the_step(body, here):
    from optlab import custom

    head = "import torch\nclass Own(torch.optim.SGD):\n    def step(self, closure=None):\n"
    (here / "own.py").write_text(f"{head}        {body}")
    assert protocol.of(custom.load("own.py:Own")).closure == CLOSURES[body]


def test_other_names_of_the_closure_and_other_needs(here):
    from optlab import custom

    (here / "own.py").write_text(
        "import torch\n"
        "class Named(torch.optim.SGD):\n    def step(self, closure_fn): closure_fn()\n"
        "class Loss(torch.optim.SGD):\n    def step(self, loss): pass\n"
    )
    assert protocol.of(custom.load("own.py:Named")).closure
    with pytest.raises(UserError, match="the step of Loss needs 'loss'"):
        protocol.of(custom.load("own.py:Loss"))


OWN = """\
import torch

class Periodic(torch.optim.SGD):
    "What it counts matters at every tenth step only."
    seen = 0

    def step(self, closure=None):
        self.seen += 1
        if self.seen % 10 == 0:
            self.param_groups[0]["lr"] *= 0.5
        super().step()

def factory(params, lr=0.1):
    return torch.optim.SGD(params, lr)
"""


def test_a_counter_that_matters_now_and_then_is_noticed(digits, here):
    (here / "own.py").write_text(OWN)
    trainer = loop.Trainer(run_of("own.py:Periodic", {"lr": 0.1}), digits, [0])
    batch = next(trainer.batches.epoch(1))
    trainer.take(batch)
    parts = (trainer.settings, trainer.context, trainer.optimizer, digits, batch)
    assert not resumption.is_exact(*parts)


def test_a_function_may_make_the_optimizer(digits, here):
    (here / "own.py").write_text(OWN)
    made, usual = (
        ours(run_of(spec, {"lr": 0.05}), digits) for spec in ("own.py:factory", "torch.optim:SGD")
    )
    assert made == usual
