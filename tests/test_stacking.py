"""Replicates that are trained at once against replicates that are trained one by one."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cutting import cut_before
from handmade import CLASSES, resolved, settings, train_one

import train
from optlab.catalogue.networks import NETWORKS
from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.data import prepare
from optlab.study import table
from optlab.study.carried import carried
from optlab.study.run import Run
from optlab.training import graphs, loop
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import load

PROGRAM = Path(train.__file__)
SEEDS = [0, 3, 4]
STACKABLE = [name for name, entry in NETWORKS.items() if entry.stackable and not entry.text]
ELEMENTWISE = [name for name, entry in OPTIMIZERS.items() if entry.elementwise]
KNOBS = {
    "nesterov": {"lr": 0.01, "momentum": 0.9},
    "adadelta": {"lr": 1.0},
    "rprop": {"lr": 0.001},
}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    torch.set_num_threads(1)
    return load(path)


@pytest.fixture(scope="module")
def line(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "line.json"
    prepare.prepare("line", {"source": "line"}, path, None)
    return load(path)


def settings_of(optimizer="adam", precision="float64", network="mlp", **changes):
    options = {"hidden": [8]} if network == "mlp" else {}
    options = {"dropout": 0.0, "channels": [2], "units": 8} if network == "cnn" else options
    usual = {"batch_size": 400, "epochs": 3, "network_options": options, "precision": precision}
    knobs = KNOBS.get(optimizer, {"lr": 0.01})
    return settings(network, optimizer, knobs, **{**usual, **changes})


def rows(outcome):
    """All figures of all evaluations but the times, None as not a number."""
    found = [
        {**row.cells(), "seconds": 0, "status": row.status == "ok"} for row in outcome.evaluations
    ]
    return torch.tensor([[math.nan if v is None else v for v in row.values()] for row in found])


def assert_equal(together, run, data, relative, absolute, seeds=SEEDS):
    for seed, outcome in zip(seeds, together, strict=True):
        alone = train_one(run, data, seed)
        close = {"rtol": relative, "atol": absolute, "equal_nan": True}
        torch.testing.assert_close(rows(outcome), rows(alone), **close)
        parts = zip(outcome.model.parameters(), alone.model.parameters(), strict=True)
        for mine, same in parts:
            torch.testing.assert_close(mine, same, rtol=relative, atol=absolute)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_replicates_together_give_what_each_gives_alone(digits, name):
    schedule = "constant" if name == "rprop" else "cosine"
    for precision, relative, absolute in (("float64", 1e-10, 1e-12), ("float32", 1e-3, 1e-5)):
        if precision == "float64" and name == "nadam":
            relative = 1e-6  # PyTorch keeps the product of its momenta in float32
        if precision == "float32" and name == "rprop":
            continue  # goes by the sign of a gradient, which rounding may turn
        run = settings_of(name, precision, schedule=schedule)
        together = loop.train(run, digits, SEEDS)
        assert_equal(together, run, digits, relative, absolute)
        assert not torch.allclose(rows(together[0])[-1], rows(together[1])[-1], rtol=1e-4)


@pytest.mark.parametrize(
    ("network", "batch_size"),
    [*((network, 100) for network in STACKABLE), ("mlp", 1077), ("softmax", "full")],
)
def test_every_network_can_be_stacked(digits, network, batch_size):
    run = settings_of("sgd", network=network, batch_size=batch_size)
    assert_equal(loop.train(run, digits, SEEDS), run, digits, 1e-10, 1e-12)


def test_what_seeds_do_not_vary_is_the_same_in_a_stack(digits):
    wet = {"network_options": {"hidden": [8], "dropout": 0.5}}
    run = settings_of(vary=["weights"], **wet)
    assert_equal(loop.train(run, digits, SEEDS), run, digits, 1e-9, 1e-12)
    run = settings_of(vary=["order"])
    assert_equal(loop.train(run, digits, SEEDS), run, digits, 1e-9, 1e-12)


def test_stacked_lines_have_the_published_loss(line):
    run = settings_of("sgd", "float32", "linear", batch_size="full", epochs=1000)
    first, second = loop.train(run, line, [0, 1])
    assert_equal([first, second], run, line, 1e-5, 1e-7, [0, 1])
    assert first.evaluations[-1].train_loss == pytest.approx(5.6999738e-11, rel=0.05)


def test_batches_smaller_than_a_block_and_rare_evaluation(digits, monkeypatch):
    from optlab.training import batches

    monkeypatch.setitem(batches.BLOCK, "cpu", 64 * 700)  # two stacked batches of 100 and a bit
    run = settings_of("momentum", batch_size=100, epochs=5, evaluate_every=2)
    assert_equal(loop.train(run, digits, SEEDS), run, digits, 1e-10, 1e-12)


def test_bfloat16_can_be_stacked(digits):
    run = settings_of("adam", "bfloat16", "mlp")
    for seed, outcome in zip(SEEDS, loop.train(run, digits, SEEDS), strict=True):
        alone = train_one(run, digits, seed).evaluations[-1]
        assert outcome.evaluations[-1].val_loss == pytest.approx(alone.val_loss, rel=0.02)


def test_a_replicate_that_diverges_ends_and_touches_no_other(digits):
    run = settings_of(epochs=4)
    clean = loop.train(run, digits, SEEDS)
    trainer = loop.Trainer(run, digits, SEEDS)
    told = []

    def report(seed, row):
        told.append((seed, row.epoch, row.status))
        if (seed, row.epoch) == (4, 1):  # the last of the evaluations after the first epoch
            with torch.no_grad():
                next(trainer.replicates[1].model.parameters()).fill_(math.nan)

    spoilt = trainer.run(report, Checkpoints(None, ""))
    assert [len(outcome.evaluations) for outcome in spoilt] == [5, 3, 5]
    last = spoilt[1].evaluations[-1]
    assert (last.status, last.step) == ("diverged", trainer.batches.per_epoch)
    assert [status for seed, _, status in told if seed == 3] == ["ok", "ok", "diverged"]
    for number in (0, 2):
        assert torch.equal(rows(spoilt[number]).nan_to_num(), rows(clean[number]).nan_to_num())


def test_all_replicates_diverged_end_the_run(digits):
    run = settings_of("sgd", network="softmax", epochs=50)
    outcomes = loop.train(replace(run, arguments={"lr": 1e40}), digits, SEEDS)
    assert all(outcome.evaluations[-1].status == "diverged" for outcome in outcomes)
    assert all(outcome.evaluations[-1].epoch < 5 for outcome in outcomes)


def test_each_replicate_drops_out_by_itself(digits):
    options = {"hidden": [64], "dropout": 0.5}
    run = settings_of("sgd", "float32", network_options=options)
    trainer = loop.Trainer(run, digits, [0, 1])
    with torch.no_grad():
        for weights in trainer.parameters:
            weights[1] = weights[0]
    x, y = next(trainer.batches.epoch(1))
    losses = trainer.gradient(x[[0, 0]], y[[0, 0]])
    assert losses[0] != losses[1]


def test_stacked_replicates_go_on_from_a_checkpoint_to_the_last_digit(digits, tmp_path):
    options = {"hidden": [8], "dropout": 0.3}
    run = settings_of(batch_size=200, schedule="cosine", network_options=options)
    whole = loop.train(run, digits, SEEDS)
    with pytest.raises(KeyboardInterrupt):
        loop.train(run, digits, SEEDS, checkpoints=cut_before(5)(tmp_path / "run.pt", "mark"))
    torch.manual_seed(0)
    rest = Checkpoints(tmp_path / "run.pt", "mark")
    rest.load()
    assert rest.under_way == SEEDS and rest.resume([0]) is None
    state = rest.resume(SEEDS)
    assert state["step"] == 4
    weights = [one["best"]["weights"]["1.weight"] for one in state["replicates"]]
    sizes = [len(one.untyped_storage()) for one in weights]
    assert sizes == [8 * 8 * 64] * 3  # of its own weights, not of all
    again = loop.train(run, digits, SEEDS, checkpoints=rest)
    for one, same in zip(again, whole, strict=True):
        assert torch.equal(rows(one).nan_to_num(), rows(same).nan_to_num())


@pytest.mark.parametrize("seeds", [[0], SEEDS])
def test_a_stacked_step_is_recorded_as_any_other(digits, monkeypatch, seeds):
    class Repeater:
        replays = 0

        def warm(self, work):
            return work()

        def record(self, work):
            def replay():
                Repeater.replays += 1
                return work()

            return replay

    run = settings_of(batch_size=100)
    plain = loop.train(run, digits, seeds)
    monkeypatch.setattr(loop, "recordable", lambda settings, world: True)
    monkeypatch.setattr(graphs, "Cuda", Repeater)
    recorded = loop.train(run, digits, seeds)
    assert Repeater.replays == 3 * 10 - graphs.WARM_UP  # but for the last batch of each epoch
    for one, same in zip(recorded, plain, strict=True):
        assert torch.equal(rows(one).nan_to_num(), rows(same).nan_to_num())


# -- which runs are stacked ------------------------------------------------------------------


def run_of(network="mlp", optimizer="adam", **changes):
    names = dict.fromkeys(("study", "exercise", "dataset", "data", "model"), "a")
    names |= {"network": network, "optimizer": optimizer}
    return Run(**names, knobs={}, **carried(network, optimizer, {}), **changes)


@pytest.mark.parametrize(
    ("device", "changes", "expected"),
    [
        ("cuda", {}, True),
        ("cuda", {"network": "cnn"}, False),  # nobody knows yet whether that is faster
        ("cuda", {"network": "cnn", "replicates": "together"}, True),
        ("cpu", {"network": "resnet", "replicates": "together"}, False),
        ("cuda", {"replicates": "separate"}, False),
        ("cuda", {"gpus": 2}, False),
        ("cuda", {"timed": True}, False),
        ("cuda", {"optimizer": "muon"}, False),
        ("cuda", {"vary": ["weights", "split"]}, False),
        ("cuda", {"vary": ["weights"]}, True),
        ("cuda", {"optimizer": "my/optimizer.py:Own"}, False),
        ("cuda", {"network": "my/net.py:Net", "replicates": "together"}, False),
        ("cpu", {}, False),
        ("cpu", {"replicates": "together"}, True),
        ("cpu", {"replicates": "together", "optimizer": "lbfgs"}, False),
    ],
)
def test_what_can_be_stacked_is_where_it_is_faster_or_wished(device, changes, expected):
    assert train.at_once(run_of(**changes), device) is expected


@pytest.mark.parametrize(("norm", "words"), [("batch", "running_mean"), ("group", "vmap")])
def test_a_network_that_is_not_stacked_could_not_be(norm, words, digits):
    assert "PyTorch does not stack the layers of resnet" in (run_of("resnet").unstackable or "")
    options = {"depth": 8, "width": 2, "norm": norm}
    run = settings_of("sgd", network="resnet", network_options=options)
    with pytest.raises(RuntimeError, match=words):
        loop.train(run, digits, SEEDS)


@pytest.mark.parametrize(
    ("device", "changes", "wish", "told"),
    [
        ("auto", {}, "auto", False),
        ("auto", {"target_accuracy": 0.9}, "separate", True),  # times are compared
        ("cuda", {"target_accuracy": 0.9}, "separate", True),
        ("cuda", {"target_accuracy": 0.9, "replicates": "together"}, "together", True),
        ("cpu", {"target_accuracy": 0.9}, "auto", False),  # which is separate on a CPU
        ("cpu", {"replicates": "together"}, "together", True),
    ],
)
def test_where_times_are_compared_each_replicate_has_the_device_to_itself(
    device, changes, wish, told
):
    exercise = {**CLASSES, "optimizers": {"sgd": {"lr": [0.1]}}, **changes}
    found = resolved({"fit": exercise}, device=device)
    (run,) = table.runs(found)
    assert run.replicates == wish
    assert ("--replicates" in run.options()) is told


def test_seeds_that_were_begun_together_go_on_together():
    assert train.groups({0, 1, 2}, True, []) == [[0, 1, 2]]
    assert train.groups({0, 1, 2}, False, []) == [[0], [1], [2]]
    assert train.groups({0, 1, 2, 3}, True, [1, 2]) == [[1, 2], [0, 3]]
    assert train.groups({0, 1}, True, [0, 1]) == [[0, 1]]
    assert train.groups({0, 1}, True, [0, 1, 2]) == [[0, 1]]
    assert train.groups({0, 1, 2}, False, [1]) == [[1], [0], [2]]
    assert train.groups(set(), True, []) == []


def call(folder, *options):
    command = [sys.executable, str(PROGRAM), "--epochs", "3", "--lr", "0.1", "--device", "cpu"]
    command += ["--output", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, json.loads((folder / "run.json").read_text())


@pytest.mark.slow
def test_the_program_trains_replicates_together_and_adds_seeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    together = ("--replicates", "together")
    out, record = call(tmp_path / "run", "--seeds", "3", *together)
    assert out.count("epoch 3/3") == 3
    assert [entry["trained_at_once"] for entry in record["seeds"]] == [3, 3, 3]
    first = (tmp_path / "run/metrics.tsv").read_text()
    total = sum(entry["seconds"] for entry in record["seeds"])
    assert total == pytest.approx(record["wall"]["training"], abs=2e-3)
    assert "--replicates together" in record["command"]
    _, record = call(tmp_path / "run", "--seeds", "5", *together)
    assert [entry["trained_at_once"] for entry in record["seeds"]] == [3, 3, 3, 2, 2]
    assert (tmp_path / "run/metrics.tsv").read_text().startswith(first)
    # Another way of training is another run, to the last digit; the same figures else.
    _, record = call(tmp_path / "run", "--seeds", "3", "--replicates", "separate")
    assert not any("trained_at_once" in entry for entry in record["seeds"])
    out, record = call(tmp_path / "muon", "--seeds", "2", "--optimizer", "muon", *together)
    assert "one after the other: a step of muon looks at more than one weight" in out
    assert not any("trained_at_once" in entry for entry in record["seeds"])
