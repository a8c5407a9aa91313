"""What needs a GPU: graphs, stacked replicates, checkpoints, devices. Not run on one yet.

`make gpu` runs this file on machines where only PyTorch, NumPy and pytest are installed, so the
data are made here. With OPTLAB_CUDA_TESTS=cpu the same tests run on a CPU, where a recording is the
work done again: a rehearsal, which shows that the tests themselves are in order.
"""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from cutting import cut_before
from handmade import settings, train_one
from torch import nn

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.machine import devices, hardware
from optlab.training import graphs, loop, optimizers
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import Dataset, Split

REHEARSED = os.environ.get("OPTLAB_CUDA_TESTS") == "cpu"
DEVICE = "cpu" if REHEARSED else "cuda"
NO_GPU = not REHEARSED and not torch.cuda.is_available()
pytestmark = [pytest.mark.cuda, pytest.mark.skipif(NO_GPU, reason="needs a GPU")]
on_a_gpu_alone = pytest.mark.skipif(REHEARSED, reason="cannot be rehearsed without a GPU")

CAPTURABLE = [name for name, entry in OPTIMIZERS.items() if entry.capturable]
SEEDS = [0, 3, 4]
SMALL = {
    "cnn": {"channels": [4, 8], "units": 16},
    "resnet": {"depth": 8, "width": 4},
    "lstm": {"units": 16},
    "gpt": {"layers": 1, "heads": 2, "units": 16},
}
AXES = [
    {"clip_norm": 0.5},
    {"accumulation": 2},
    {"ema": 0.9},
    {"label_smoothing": 0.1},
    {"augment": "flip+crop=1"},
    {"augment": "cutout=3+mixup"},
]


class Repeated:
    """In the place of CUDA's recorder in a rehearsal: does the work again."""

    def warm(self, work):
        return work()

    def record(self, work):
        return work


@pytest.fixture(autouse=True)
def rehearsed(monkeypatch):
    if not REHEARSED:
        return
    built = optimizers.build
    monkeypatch.setattr(graphs, "Cuda", Repeated)
    monkeypatch.setattr(optimizers, "build", lambda run, context, capturable: built(run, context))


def images(device=DEVICE):
    """Noisy images of ten patterns; the last batch of an epoch is a smaller one."""
    generator = torch.Generator().manual_seed(0)
    patterns = torch.rand((10, 1, 8, 8), generator=generator)

    def split(count):
        y = torch.randint(0, 10, (count,), generator=generator)
        noise = torch.rand((count, 1, 8, 8), generator=generator)
        x = (patterns[y] + noise).mul(127).to(torch.uint8)
        return Split(x.to(device), y.to(device))

    parts = split(530), split(100), split(100)
    return Dataset("patterns", "patterns", "classification", 10, (1, 8, 8), 1 / 255, *parts)


def text(device=DEVICE):
    """Windows of a text in which a symbol follows from the one before it, but for some noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 5, (630, 17), generator=generator).clamp(max=1)
    symbols = noise.cumsum(1).remainder(12).to(torch.uint8).to(device)
    parts = [Split(part[:, :-1], part[:, 1:]) for part in symbols.split([530, 50, 50])]
    return Dataset("text", "text", "next_token", 12, (16,), 1.0, *parts)


def run_of(network="mlp", optimizer="adam", device=DEVICE, **changes):
    usual = {"knobs": {"lr": 0.01}, "epochs": 2, "batch_size": 50, "schedule": "constant"}
    options = SMALL.get(network, {})
    changes = {**usual, "network_options": options, **changes}
    return settings(network, optimizer, device=device, **changes)


def trained(monkeypatch, graph, run):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "recordable", lambda settings, world: graph)
        return train_one(run, images(), 0)


def assert_same(ours, theirs, relative, absolute):
    """The weights are the same; `assert_close` takes no two that are not numbers."""
    for mine, same in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, same, rtol=relative, atol=absolute)


# -- graphs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["constant", "warmup_cosine"])
@pytest.mark.parametrize(
    ("name", "precision"),
    [*((name, "float64") for name in CAPTURABLE), ("adam", "float32"), ("momentum", "float32")],
)
def test_a_graph_gives_the_steps_that_kernels_one_by_one_give(
    monkeypatch, capsys, name, precision, schedule
):
    knobs = {"lr": 0.01, "momentum": 0.9} if name == "nesterov" else {"lr": 0.01}
    run = run_of(optimizer=name, knobs=knobs, precision=precision, schedule=schedule)
    ours, theirs = (trained(monkeypatch, graph, run) for graph in (True, False))
    assert "no CUDA graph" not in capsys.readouterr().out
    # A recorded step reads a rate of a schedule as float32.
    relative = 1e-3 if precision == "float32" else 1e-5
    assert_same(ours.model, theirs.model, relative, relative / 100)


@pytest.mark.parametrize(
    ("network", "precision"), [("cnn", "float32"), ("cnn", "bfloat16"), ("resnet", "float32")]
)
def test_a_graph_drops_out_what_kernels_one_by_one_drop_out(
    monkeypatch, capsys, network, precision
):
    run = run_of(network, precision=precision, knobs={"lr": 1e-3})
    ours, theirs = (trained(monkeypatch, graph, run) for graph in (True, False))
    assert "no CUDA graph" not in capsys.readouterr().out
    losses = [outcome.evaluations[-1].train_loss for outcome in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_a_graph_of_the_whole_training_set_reads_it_where_it_is(monkeypatch, capsys):
    run = run_of(optimizer="sgd", batch_size="full", epochs=10, precision="float64")
    ours, theirs = (trained(monkeypatch, graph, run) for graph in (True, False))
    assert "no CUDA graph" not in capsys.readouterr().out
    assert_same(ours.model, theirs.model, 1e-9, 1e-11)


@on_a_gpu_alone
def test_a_step_that_waits_for_a_value_cannot_be_recorded_and_is_taken_all_the_same(capsys):
    def steps(graph):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 3), nn.Dropout(0.1)).to(DEVICE)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

        def take(x, y):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            loss.item()
            optimizer.step()
            optimizer.zero_grad()
            return loss.detach()

        step = graphs.Graphed(take, optimizer, varying=False) if graph else take
        for number in range(8):
            generator = torch.Generator().manual_seed(number)
            x = torch.rand((8, 16), generator=generator)
            y = torch.randint(0, 3, (8,), generator=generator)
            step(x.to(DEVICE), y.to(DEVICE))
        return list(model.parameters())

    assert all(map(torch.equal, steps(True), steps(False)))
    assert "capturing" in capsys.readouterr().out
    assert torch.cuda.current_stream() == torch.cuda.default_stream()


# -- stacked replicates ------------------------------------------------------------------------


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("network", ["softmax", "mlp", "cnn"])
def test_replicates_together_on_a_gpu_give_what_each_gives_alone(
    monkeypatch, capsys, network, graph
):
    options = {**SMALL["cnn"], "dropout": 0.0} if network == "cnn" else {}
    run = run_of(network, "sgd", precision="float64", network_options=options)
    monkeypatch.setattr(loop, "recordable", lambda settings, world: graph)
    data = images()
    for seed, outcome in zip(SEEDS, loop.train(run, data, SEEDS), strict=True):
        alone = train_one(run, data, seed)
        assert_same(outcome.model, alone.model, 1e-9, 1e-11)
        pairs = zip(outcome.evaluations, alone.evaluations, strict=True)
        assert all(a.val_loss == pytest.approx(b.val_loss, rel=1e-9) for a, b in pairs)
    assert "no CUDA graph" not in capsys.readouterr().out


def test_a_replicate_that_diverges_leaves_the_others_as_they_are():
    """Weights of one replicate that are not numbers stay its own, in a graph too."""
    run, data = run_of(optimizer="sgd", precision="float64"), images()
    trainer = loop.Trainer(run, data, [0, 1])
    with torch.no_grad():
        trainer.parameters[0][0].fill_(math.inf)
    spoilt, good = trainer.run(lambda seed, row: None, Checkpoints(None, ""))
    assert spoilt.evaluations[-1].status == "diverged"
    assert_same(good.model, train_one(run, data, 1).model, 1e-9, 1e-11)


# -- checkpoints -------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [[0], [0, 1]])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("step", [2, 14, 22])
def test_an_interrupted_run_goes_on_with_the_same_numbers(tmp_path, schedule, seeds, step):
    """With dropout. It is cut in the warm-up of the graph, in the second epoch, and at its end."""
    wet = {"hidden": [16], "dropout": 0.5}
    run, data = run_of(network_options=wet, schedule=schedule, epochs=3), images()
    whole = loop.train(run, data, seeds)
    with pytest.raises(KeyboardInterrupt):
        loop.train(run, data, seeds, checkpoints=cut_before(step)(tmp_path / "state", "mark"))
    second = Checkpoints(tmp_path / "state", "mark")
    second.load()
    assert second.under_way == seeds
    rest = loop.train(run, data, seeds, checkpoints=second)
    for mine, same in zip(rest, whole, strict=True):
        rows = [[(r.train_loss, r.val_loss) for r in o.evaluations] for o in (mine, same)]
        assert rows[0] == rows[1]
        assert all(map(torch.equal, mine.model.parameters(), same.model.parameters()))


# -- devices -----------------------------------------------------------------------------------


def both(monkeypatch, data=images, **changes):
    """The same run on the device, as a graph, and on the CPU."""
    run = run_of(precision="float64", **changes)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "recordable", lambda settings, world: True)
        device = train_one(run, data(DEVICE), 0)
    return device, train_one(replace(run, device="cpu"), data("cpu"), 0)


def assert_trained_alike(device, cpu):
    pairs = zip(device.evaluations, cpu.evaluations, strict=True)
    assert all(a.val_loss == pytest.approx(b.val_loss, rel=1e-6) for a, b in pairs)
    assert_same(device.model.cpu(), cpu.model, 1e-5, 1e-7)


@pytest.mark.parametrize("network", ["softmax", "mlp", "resnet", "lstm", "gpt"])
def test_a_gpu_trains_what_a_cpu_trains(monkeypatch, capsys, network):
    """The weights at the beginning, the order and the split are drawn on the CPU in any case."""
    data = text if network in ("lstm", "gpt") else images
    assert_trained_alike(*both(monkeypatch, data, network=network))
    assert "no CUDA graph" not in capsys.readouterr().out


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: "-".join(map(str, *axis.items())))
def test_every_axis_of_the_training_is_on_a_gpu_what_it_is_on_a_cpu(monkeypatch, capsys, axis):
    device, cpu = both(monkeypatch, **axis)
    assert_trained_alike(device, cpu)
    assert "no CUDA graph" not in capsys.readouterr().out
    plain = train_one(run_of(device="cpu", precision="float64"), images("cpu"), 0)
    if "accumulation" not in axis:  # which changes roundings alone
        last = [outcome.evaluations[-1].val_loss for outcome in (cpu, plain)]
        assert last[0] != pytest.approx(last[1], rel=1e-4)


def test_the_device_is_found_and_described():
    assert devices.resolve("auto") == devices.resolve(DEVICE) == DEVICE
    about = hardware.hardware(DEVICE)
    assert about["cpu"] and about["cores"] > 0
    if DEVICE == "cuda":
        assert about["gpu"] == torch.cuda.get_device_name()
        train_one(run_of(epochs=1), images(), 0)
        assert hardware.hardware("cuda")["gpu_peak_memory_mb"] > 0


def test_the_program_trains_on_the_device(tmp_path):
    """Through `train.py`, which takes a GPU for itself and stacks the replicates of an MLP."""
    for package in ("psutil", "sklearn"):
        pytest.importorskip(package)
    program = Path(__file__).parents[1] / "workflow/scripts/train.py"
    words = ["--dataset", "digits", "--model", "mlp", "--optimizer", "adam", "--epochs", "2",
             "--seeds", "2", "--device", DEVICE, "--output", "run"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, program, *words], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "OPTLAB_WARM": "0"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no CUDA graph" not in done.stdout
    lines = (tmp_path / "run/metrics.tsv").read_text().splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    assert {row["device"] for row in rows} == {DEVICE} and {r["status"] for r in rows} == {"ok"}
