"""Axes of the grid beside knobs: each against a plain loop of PyTorch, and where it is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cutting import cut_before
from handmade import resolved, settings, train_one
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import status
import train
from optlab import command_line
from optlab.catalogue import axes
from optlab.data import prepare
from optlab.errors import UserError
from optlab.figures.reader import Reader, _line
from optlab.results import clocks, tables
from optlab.results.reading import Curve
from optlab.runs import metrics, record
from optlab.runs.standing import standing
from optlab.search.trials import trial
from optlab.study import space, table
from optlab.study.kinds import search
from optlab.training import loop, networks
from optlab.training.batches import Batches
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import load

EPOCHS = 2
BN = {"depth": 8, "width": 4}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    return load(path)


def mlp(optimizer="momentum", knobs=None, network="mlp", options=None, **more):
    options = options or {"hidden": [16]}
    more = {"batch_size": 200, "epochs": EPOCHS, **more}
    return settings(network, optimizer, knobs or {"lr": 0.1}, options, **more)


class Plain:
    """A loop as a person would write it, with the same weights and batches as seed 0."""

    def __init__(self, run, data):
        self.data, self.epochs = data, run.epochs
        self.model = networks.build(run, data, 0)
        self.batches = Batches(run, data, 0)

    def train(self, step, evaluated=None):
        """The validation loss before the first step and after each epoch."""
        losses = [self.loss(evaluated)]
        for epoch in range(1, self.epochs + 1):
            for x, y in self.batches.epoch(epoch):
                step(x, y)
            losses.append(self.loss(evaluated))
        return losses

    @torch.no_grad()
    def loss(self, model=None):
        model = (model or self.model).eval()
        split = self.data.validation
        x, y = self.data.examples(split.x, split.y, torch.float32)
        value = functional.cross_entropy(model(x), y).item()
        model.train()
        return value


def val_losses(run, data):
    return [row.val_loss for row in train_one(run, data, 0).evaluations]


def same(found, wanted):
    assert found == pytest.approx(wanted, rel=1e-6)


# -- each against a plain loop -----------------------------------------------------------------


def test_clip_norm_scales_gradients_that_are_longer(digits):
    run = mlp(clip_norm=0.5)
    plain = Plain(run, digits)
    optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.1, momentum=0.9)
    lengths = []

    def step(x, y):
        optimizer.zero_grad()
        functional.cross_entropy(plain.model(x), y).backward()
        length = math.sqrt(sum(p.grad.double().square().sum() for p in plain.model.parameters()))
        lengths.append(length)
        for p in plain.model.parameters():
            p.grad *= min(1, 0.5 / (length + 1e-6))
        optimizer.step()

    wanted = plain.train(step)
    assert min(lengths) < 0.5 < max(lengths)  # some are clipped, others not
    same(val_losses(run, digits), wanted)
    assert val_losses(run, digits) != val_losses(mlp(), digits)


@pytest.mark.parametrize("parts", [3, 250])
def test_accumulation_gives_the_step_of_the_whole_batch(digits, parts):
    """Also with batches of fewer examples than parts, and of parts that are not equal."""
    found, whole = (val_losses(mlp(accumulation=n), digits) for n in (parts, 1))
    same(found, whole)


def test_accumulation_takes_the_parts_one_after_the_other(digits, monkeypatch):
    seen = []
    network = networks.build(mlp(), digits, 0)
    forward = type(network).forward
    monkeypatch.setattr(
        type(network), "forward", lambda self, x: seen.append(len(x)) or forward(self, x)
    )
    trainer = loop.Trainer(mlp(accumulation=3), digits, [0])
    trainer.take(next(trainer.batches.epoch(1)))
    assert seen == [67, 67, 66]


@pytest.mark.parametrize(("network", "options"), [("mlp", {"hidden": [16]}), ("resnet", BN)])
def test_ema_evaluates_averaged_weights(digits, network, options):
    run = mlp(network=network, options=options, ema=0.9)
    plain = Plain(run, digits)
    optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.1, momentum=0.9)
    averaged = AveragedModel(plain.model, multi_avg_fn=get_ema_multi_avg_fn(0.9), use_buffers=True)

    def step(x, y):
        optimizer.zero_grad()
        functional.cross_entropy(plain.model(x), y).backward()
        optimizer.step()
        averaged.update_parameters(plain.model)

    wanted = plain.train(step, averaged)
    outcome = train_one(run, digits, 0)
    found = [row.val_loss for row in outcome.evaluations]
    assert found == pytest.approx(wanted, rel=1e-6 if network == "mlp" else 1e-4)
    assert abs(plain.loss() - wanted[-1]) > 1e-3  # the weights that are trained are others
    weights = averaged.module.state_dict()
    for name, value in outcome.model.state_dict().items():  # the outcome is what was evaluated
        if value.is_floating_point():  # not the number of batches
            torch.testing.assert_close(value, weights[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["rprop", "lbfgs"])
def test_optimizers_without_weight_decay_get_an_l2_penalty(digits, name):
    decay, full = 0.01, {"batch_size": "full", "epochs": 4}
    run = mlp(name, {"lr": 0.01 if name == "rprop" else 1, "weight_decay": decay}, **full)
    plain = Plain(run, digits)
    weights = list(plain.model.parameters())
    if name == "rprop":
        optimizer = torch.optim.Rprop(weights, lr=0.01)
    else:
        optimizer = torch.optim.LBFGS(
            weights, lr=1, max_iter=1, max_eval=26, line_search_fn="strong_wolfe"
        )

    def step(x, y):
        def closure():
            optimizer.zero_grad()
            penalty = decay / 2 * sum(p.square().sum() for p in weights)
            value = functional.cross_entropy(plain.model(x), y) + penalty
            value.backward()
            return value

        optimizer.step(closure)

    found = val_losses(run, digits)
    assert found == pytest.approx(plain.train(step), rel=1e-5)
    off = mlp(name, {"lr": run.arguments["lr"], "weight_decay": 0}, **full)
    assert off.optimizer_class.startswith("torch.optim:") and found != val_losses(off, digits)


@pytest.mark.parametrize("parts", [1, 3])
def test_label_smoothing_is_in_steps_and_not_in_evaluations(digits, parts):
    run = mlp(label_smoothing=0.2, accumulation=parts)
    plain = Plain(run, digits)
    optimizer = torch.optim.SGD(plain.model.parameters(), lr=0.1, momentum=0.9)

    def step(x, y):
        optimizer.zero_grad()
        logs = functional.log_softmax(plain.model(x), 1)
        targets = 0.8 * functional.one_hot(y, 10) + 0.2 / 10
        (-(targets * logs).sum(1).mean()).backward()
        optimizer.step()

    same(val_losses(run, digits), plain.train(step))


# -- runs that end by themselves ---------------------------------------------------------------


def test_patience_ends_a_seed_after_so_many_evaluations_without_a_better_loss(digits):
    fast = {"lr": 2.0}  # its validation loss goes up and down
    every = train_one(mlp(knobs=fast, epochs=30), digits, 0).evaluations
    outcome = train_one(mlp(knobs=fast, epochs=30, patience=2), digits, 0)
    best, worse, end = math.inf, 0, None
    for row in every:
        worse = 0 if row.val_loss < best else worse + 1
        best = min(best, row.val_loss)
        if worse == 2:
            end = row.epoch
            break
    assert end is not None and end < 30
    last = outcome.evaluations[-1]
    assert outcome.stopped_early and last.epoch == end and last.status == "ok"
    assert last.best_epoch == end - 2
    assert [row.val_loss for row in outcome.evaluations] == [row.val_loss for row in every][
        : end + 1
    ]
    # The test set is measured at the stop, as at the end of a run of so many epochs.
    whole = train_one(mlp(knobs=fast, epochs=end), digits, 0).evaluations[-1]
    measured = ("test_loss", "test_accuracy", "best_test_loss", "best_test_accuracy")
    assert [getattr(last, name) for name in measured] == [getattr(whole, name) for name in measured]
    assert not train_one(mlp(patience=1, epochs=1), digits, 0).stopped_early


def test_minutes_end_a_seed_by_the_training_clock(digits):
    outcome = train_one(mlp(minutes=0.15 / 60, epochs=10**9), digits, 0)
    last = outcome.evaluations[-1]
    assert 0.15 <= last.seconds < 1 and last.test_loss is not None and not outcome.stopped_early
    per_epoch = loop.Trainer(mlp(), digits, [0]).batches.per_epoch
    assert last.epoch == last.step / per_epoch > 0
    whole = train_one(mlp(epochs=math.ceil(last.epoch)), digits, 0).evaluations
    assert [row.val_loss for row in outcome.evaluations[:-1]] == [
        row.val_loss for row in whole[: len(outcome.evaluations) - 1]
    ]
    one = train_one(mlp(minutes=1e-9, epochs=10**9), digits, 0).evaluations[-1]
    assert one.step == 1 and one.test_loss is not None  # at least a step


# -- taken up again ----------------------------------------------------------------------------


RUNS = {
    "clip_norm": mlp(clip_norm=0.5),
    "accumulation": mlp(accumulation=3),
    "ema": mlp(network="resnet", options=BN, ema=0.9, batch_size=400),
    "augment": mlp(augment="flip+crop=1+cutout=3+mixup=0.4"),
    "augment full": mlp(augment="flip+mixup", batch_size="full", epochs=4),
    "label_smoothing": mlp(label_smoothing=0.1),
    "patience": mlp(knobs={"lr": 2.0}, epochs=30, patience=2),
    "all": mlp("adam", {"lr": 0.01}, clip_norm=1, accumulation=2, ema=0.5, augment="flip+mixup"),
    "rprop": mlp("rprop", {"lr": 0.01, "weight_decay": 0.1}, batch_size="full", epochs=4),
    "lbfgs": mlp("lbfgs", {"lr": 1, "weight_decay": 0.1}, batch_size="full", epochs=4),
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_taken_up_again_gives_every_digit(name, digits, here):
    run = RUNS[name]

    def figures(outcome):
        rows = [{**vars(row), "seconds": None} for row in outcome.evaluations]
        weights = {key: value.tolist() for key, value in outcome.model.state_dict().items()}
        return json.dumps([rows, weights, outcome.stopped_early])

    outcome = train_one(run, digits, 1)
    whole, last = figures(outcome), outcome.evaluations[-1].step
    per_epoch = loop.Trainer(run, digits, [1]).batches.per_epoch
    for step in (2, per_epoch + 2 if per_epoch > 1 else 3, last):
        with pytest.raises(KeyboardInterrupt):
            train_one(run, digits, 1, checkpoints=cut_before(step)(Path("run.pt"), "mark"))
        rest = Checkpoints(Path("run.pt"), "mark")
        rest.load()
        assert rest.resume([1])["step"] == step - 1
        assert figures(train_one(run, digits, 1, checkpoints=rest)) == whole


def test_a_run_that_ends_by_the_clock_goes_on_with_the_time_that_it_had_left(digits, here):
    run = mlp(minutes=0.2 / 60, epochs=10**9)
    with pytest.raises(KeyboardInterrupt):
        train_one(run, digits, 0, checkpoints=cut_before(20)(Path("run.pt"), "mark"))
    rest = Checkpoints(Path("run.pt"), "mark")
    rest.load()
    spent = rest.resume([0])["seconds"][0]
    rows = train_one(run, digits, 0, checkpoints=rest).evaluations
    assert 0 < spent < 0.2 <= rows[-1].seconds < 1
    assert rows[-1].step > 19


# -- in a study --------------------------------------------------------------------------------


EXERCISE = {"datasets": ["digits"], "models": ["softmax"], "optimizers": {"sgd": {"lr": [0.1]}}}


def runs_of(**keys):
    return table.runs(resolved({"fit": {**EXERCISE, **keys}}))


PLAIN = "fit/sgd/digits+softmax/lr=0.1/batch_size=100+epochs=10+gpus=1"


def test_axes_multiply_the_grid_and_are_in_a_path_where_they_are_not_at_their_default():
    found = runs_of(clip_norm=[0, 1.0], augment=["none", "Crop=2.0 + flip"])
    assert [run.path.removeprefix(PLAIN) for run in found] == [
        "",
        "+augment=flip-crop=2",
        "+clip_norm=1",
        "+clip_norm=1+augment=flip-crop=2",
    ]
    (plain,) = runs_of()
    assert found[0].text() == plain.text()
    defaults = {axes.key(name): [axis.default] for name, axis in axes.AXES.items()}
    del defaults["minutes"]
    (spelled,) = runs_of(**defaults)
    assert spelled.text() == plain.text() and spelled.path == PLAIN
    assert resolved({"fit": {**EXERCISE, **defaults}}) == resolved({"fit": EXERCISE})


def test_every_axis_is_a_field_an_option_and_a_key():
    parser = command_line.train_parser("")
    values = {"schedule": "cosine", "augment": "flip+crop=2", "accumulation": 2, "patience": 3}
    for name, axis in axes.AXES.items():
        value = values.get(name, 0.5)
        key = axes.key(name)
        (run,) = runs_of(**{key: [value]})
        assert getattr(run, name) == value and run.changed == {name: value}
        words = run.options()
        at = words.index(f"--{name.replace('_', '-')}")
        given = vars(parser.parse_args([word for word in words[at : at + 2]]))
        assert given[name] == value and axis.form(value) == value
        assert run.matches({"optimizer": "sgd", name: value})
        assert not run.matches({"optimizer": "sgd", name: axis.default})


def test_minutes_are_in_place_of_epochs():
    (run,) = runs_of(minutes=[0.5])
    assert run.path == "fit/sgd/digits+softmax/lr=0.1/batch_size=100+gpus=1+minutes=0.5"
    assert run.length == "0.5 minutes" and "--epochs" not in run.options()
    with pytest.raises(SystemExit):
        command_line.train_parser("").parse_args(["--epochs", "3", "--minutes", "1"])


WRONG = [
    ({"clip_norm": 1}, "clip_norm: 1 is not a list; write [1]"),
    ({"clip_norm": [-1]}, "clip_norm.0: -1 is not allowed; a finite number of at least 0"),
    ({"ema": [1]}, "ema.0: 1 is not allowed; a number of at least 0 and below 1"),
    ({"label_smoothing": [2]}, "label_smoothing.0: 2 is not allowed; a number of at least 0"),
    ({"accumulation": [0]}, "accumulation.0: 0 is not allowed; a whole number from 1"),
    ({"accumulation": [1.5]}, "accumulation.0: 1.5 is not allowed; a whole number from 1"),
    ({"patience": [-1]}, "patience.0: -1 is not allowed; a whole number from 0"),
    ({"minutes": [0, 1]}, "minutes.0: 0 is not allowed; a number above 0"),
    ({"minutes": [1], "epochs": [5]}, "epochs: minutes are in place of epochs; leave out one"),
    ({"minutes": [1], "schedules": ["cosine"]}, "nothing is left to train: a schedule needs the"),
    ({"augment": ["flop"]}, "augment.0: unknown augmentation 'flop'; did you mean 'flip'?"),
    ({"augment": ["flip=2"]}, "augment.0: flip takes no number; write flip"),
    ({"augment": ["crop=a"]}, "augment.0: crop=a is not allowed; a whole number from 1 to 1000"),
    ({"augment": ["flip+flip"]}, "augment.0: 'flip+flip' has flip twice"),
    ({"augment": ["mixup", "Mixup"]}, "augment.1: 'mixup' and 'Mixup' are the same; keep one"),
    ({"augment": ["cutout=9"]}, "augment: digits: cutout=9 is larger than images of 8x8 pixels"),
    ({"datasets": ["wine"], "augment": ["flip"]}, "wine: flip is for images, and an example is a"),
    ({"clip_nrm": [1]}, "clip_nrm: unknown key; did you mean 'clip_norm'?"),
    ({"compare": [{"optimizer": "sgd", "ema": 0.5}]}, "is not in the exercise's grid"),
]
LINE = {"datasets": ["line"], "models": ["linear"], "batch_sizes": ["full"]}
WRONG += [
    ({**LINE, "patience": [2]}, "patience: line has no validation examples, whose loss would"),
    ({**LINE, "augment": ["mixup"]}, "augment: line: mixup mixes classes, and the targets are"),
    ({**LINE, "label_smoothing": [0.1]}, "label_smoothing: is of the cross entropy, and the loss"),
]


@pytest.mark.parametrize(("keys", "words"), WRONG)
def test_what_is_wrong_is_told_in_one_line(keys, words):
    with pytest.raises(UserError) as caught:
        runs_of(**keys)
    (line,) = str(caught.value).splitlines()
    assert words in line


def test_combinations_without_a_meaning_are_left_out():
    full = {"batch_sizes": ["full"], "optimizers": {"lbfgs": {"lr": [1]}}}
    for key, value, words in (("clip_norm", 1, "clip_norm"), ("augment", "flip", "augment")):
        study = resolved({"fit": {**EXERCISE, **full, key: [axes.AXES[key].default, value]}})
        ((_, reason),) = table.skipped(study)
        assert words in reason and len(table.runs(study)) == 1


def test_only_label_smoothing_can_be_stacked():
    values = {"accumulation": 2, "patience": 3, "augment": "flip", "schedule": "cosine"}
    for name in axes.AXES:
        (run,) = runs_of(**{axes.key(name): [values.get(name, 0.5)]}, replicates="together")
        assert (run.unstackable is None) == (name in ("label_smoothing", "schedule"))


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("schedule-free", {"ema": 0.5}, "Averaging has weights of its own for evaluations"),
        ("fused", {"clip_norm": 1}, "Fused steps while it computes gradients"),
        ("fused", {"accumulation": 2}, "Fused computes gradients in its own way"),
    ],
)
def test_optimizers_that_an_axis_does_not_go_with_are_told(digits, here, name, keys, words):
    Path("own.py").write_text(OWN)
    spec = f"own.py:{'Averaging' if name == 'schedule-free' else 'Fused'}"
    with pytest.raises(UserError, match=words):
        loop.Trainer(mlp(spec, **keys), digits, [0])


OWN = """
import torch

class Averaging(torch.optim.SGD):
    def train(self): pass
    def eval(self): pass

class Fused(torch.optim.SGD):
    def fused_backward(self, loss, lr):
        loss.backward()
        self.step()
"""


SEARCH = {
    "kind": "search",
    "datasets": ["digits"],
    "epochs": 1,
    "trials": 2,
    "space": {
        "optimizer": {"type": "categorical", "choices": ["sgd"]},
        "lr": {"type": "float", "low": 0.1, "high": 0.2},
    },
}


def searched(**space):
    study = resolved({"find": {**SEARCH, "space": {**SEARCH["space"], **space}}})
    return next(iter(search.every(study)))


def test_a_search_may_draw_them():
    found = searched(
        ema={"type": "float", "low": 0.5, "high": 0.9},
        augment={"type": "categorical", "choices": ["mixup + flip"]},
        accumulation={"type": "int", "low": 2, "high": 2},
    )
    drawn = {"ema": 0.7, "augment": "mixup + flip", "accumulation": 2, "lr": 0.1}
    setting = space.setting(
        found.space, found.network, 100, lambda name, spec: drawn.get(name, "sgd")
    )
    run = trial.run_of(found, setting, None)
    assert run.changed == {"ema": 0.7, "augment": "flip+mixup", "accumulation": 2}
    assert run.knobs["lr"] == 0.1


CHOICES = {"type": "categorical", "choices": ["flip", "cutout=9"]}


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ({"ema": {"type": "float", "low": 0.5, "high": 1}}, "space.ema.high: 1 is not allowed; a"),
        ({"augment": CHOICES}, "augment.choices.1: 'digits' does not fit: cutout=9 is larger"),
        ({"patience": {"type": "int", "low": 1, "high": 2}}, "unknown name in the search space"),
        (
            {
                "clip_norm": {"type": "float", "low": 1, "high": 2},
                "optimizer": {"type": "categorical", "choices": ["sgd", "lbfgs"]},
                "batch_size": {"type": "categorical", "choices": ["full"]},
            },
            "'lbfgs' makes no sense here: L-BFGS needs the gradients of the loss: clip_norm",
        ),
    ],
)
def test_what_a_search_cannot_draw_is_told_in_one_line(drawn, words):
    with pytest.raises(UserError) as caught:
        searched(**drawn)
    (line,) = str(caught.value).splitlines()
    assert words in line


# -- its results -------------------------------------------------------------------------------


def test_rows_records_and_tables_say_when_seeds_ended(here, capsys):
    lr = {"sgd": {"lr": [5.0]}}
    study = resolved(
        {
            "waits": {**EXERCISE, "optimizers": lr, "patience": [0, 1], "epochs": [6]},
            "timed": {**EXERCISE, "minutes": [0.05 / 60]},
        },
        seeds=2,
    )
    for run in table.runs(study):
        if not Path(run.data).is_file():
            prepare.prepare("digits", study["datasets"]["digits"], Path(run.data), None)
        assert train.main(["--settings", run.text(), "--output", run.folder]) == 0
    assert "stopped early" in capsys.readouterr().out
    never, waits, timed = table.runs(study)
    rows = metrics.read(Path(waits.folder, "metrics.tsv"))
    last = {row["seed"]: row for row in rows}
    assert {row["patience"] for row in rows} == {"1"}
    assert [row["stopped_early"] for row in rows if row is last[row["seed"]]] == ["true", "true"]
    assert {row["stopped_early"] for row in rows if row is not last[row["seed"]]} == {""}
    assert "stopped_early" not in metrics.read(Path(never.folder, "metrics.tsv"))[0]
    told = record.read(waits.folder)["seeds"]
    assert all(entry["stopped_early"] and entry["epochs"] < 6 for entry in told)
    told = record.read(timed.folder)["seeds"]
    frame = tables.tables(study)["runs"].set_index("path")
    assert list(frame["patience"]) == [0, 1, 0] and list(frame["minutes"])[2] == timed.minutes
    assert list(frame["epochs"]) == [6, 6, None]
    assert frame["stopped_early"].tolist()[1] == 2 and frame["stopped_early"].isna().tolist()[2]
    mean = sum(entry["epochs"] for entry in told) / 2
    assert frame["epochs_trained"].tolist()[2] == pytest.approx(mean) and mean > 0
    lines = status.report("hand", [standing(run) for run in table.runs(study)], 1)
    assert "  2 of 2 seeds with patience stopped early" in lines
    assert clocks.warnings(waits, "cpu")[-1] == "2 of 2 seeds stopped early"
    assert "trained by the clock: another machine" in clocks.warnings(timed, "cpu")[-1]
    # A line has the evaluations that all seeds have: the last ones are at other epochs.
    reader = Reader(study, [timed])
    curves, (line,) = reader.curves(timed), reader.lines([timed], "val_loss")
    known = [set(curve.epoch) for curve in curves]
    assert set(line.epoch) <= known[0] & known[1] and 0 in line.epoch


def curve(*epochs):
    numbers = np.array(epochs, dtype=float)
    return Curve(0, "ok", numbers, numbers, numbers, {"val_loss": numbers})


def test_a_line_ends_where_a_seed_stopped_or_was_between_epochs():
    def ends(*curves):
        return _line(curves, "val_loss", 1.0).epoch.tolist()

    assert ends(curve(0, 1, 2), curve(0, 1, 2)) == [0, 1, 2]
    assert ends(curve(0, 1, 2), curve(0, 1)) == [0, 1]  # stopped early
    assert ends(curve(0, 1, 2, 2.5), curve(0, 1, 1.5)) == [0, 1]  # both by the clock
    assert ends(curve(0, 1, 2.5)) == [0, 1, 2.5]
