"""Losses and metrics of each task, against plain PyTorch loops and scikit-learn."""

import math
from pathlib import Path

import pytest
import torch
from handmade import settings
from sklearn import metrics as published
from torch.nn import functional

from optlab.catalogue import tasks
from optlab.errors import UserError
from optlab.training import batches, losses, measures, networks
from optlab.training.datasets import Dataset, Split
from optlab.training.evaluation import Judge
from optlab.training.loop import train
from optlab.training.world import ALONE

REGRESSION = {"mse": functional.mse_loss, "mae": functional.l1_loss,
              "huber": functional.huber_loss}  # fmt: skip


def split(count, targets):
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, 6, generator=generator)
    return Split(x, x[:, :targets] * 2 + torch.randn(count, targets, generator=generator))


def regression(targets=2):
    parts = (split(40, targets), split(16, targets), split(17, targets))
    return Dataset("floats", "floats", "regression", None, (6,), 1.0, *parts)


def classes(count=7):
    def part(size):
        x = torch.randn(size, 6, generator=torch.Generator().manual_seed(size))
        return Split(x, torch.arange(size) % count)

    return Dataset("few", "few", "classification", count, (6,), 1.0, part(42), part(21), part(28))


def run_of(**more):
    return settings("mlp", "sgd", {"lr": 0.05}, {"hidden": [8]}, batch_size=8, epochs=2, **more)


def plain(run, data, loss):
    """The validation losses of a loop without anything of ours but weights and order."""
    model = networks.build(run, data, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    own, found = batches.Batches(run, data, 0), []
    for epoch in (0, 1, 2):
        for rows in own.order(epoch).split(8) if epoch else ():
            optimizer.zero_grad()
            loss(model(data.train.x[rows]), data.train.y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            found.append(loss(model(data.validation.x), data.validation.y).item())
    return found


@pytest.mark.parametrize("name", REGRESSION)
def test_a_regression_is_trained_by_its_loss(name):
    data, run = regression(), run_of(loss=name)
    (outcome,) = train(run, data, [0])
    measured = [row.val_loss for row in outcome.evaluations]
    assert measured == pytest.approx(plain(run, data, REGRESSION[name]), rel=1e-6)


def test_the_mean_is_usual_and_exercise_1_keeps_its_sum():
    data = regression()
    assert losses.named(run_of(), data) == "mse"
    line = Dataset(
        "line", "Line", "regression", None, (6,), 1.0, data.train, loss="squared_error_sum"
    )
    assert losses.named(run_of(), line) == "squared_error_sum"
    assert measures.others(run_of(), line) == []
    loss = losses.of(run_of(), line)
    output = torch.zeros_like(data.train.y)
    expected = data.train.y.pow(2).sum()
    assert loss.mean(output, data.train.y) == pytest.approx(float(expected))
    assert loss.divisor(40) == 1


@pytest.mark.parametrize(
    "name", ["mse", "mae", "huber", "squared_error_sum", "cross_entropy", None]
)
def test_sums_over_parts_are_the_mean_over_all(name):
    """So ranks can share a batch, and evaluations can take blocks."""
    generator = torch.Generator().manual_seed(0)
    if name == "cross_entropy":
        data, output = classes(), torch.randn(42, 7, generator=generator)
    elif name is None:
        y = torch.randint(0, 5, (42, 4), generator=generator)
        data = Dataset("text", "text", "next_token", 5, (4,), 1.0, Split(y, y))
        output = torch.randn(42, 4, 5, generator=generator)
    else:
        data, output = regression(), torch.randn(40, 2, generator=generator)
    loss, y = losses.of(run_of(loss=name), data), data.train.y
    parts = [loss.total(output[rows], y[rows]) for rows in (slice(0, 9), slice(9, None))]
    assert float(sum(parts)) / loss.divisor(len(y)) == pytest.approx(float(loss.mean(output, y)))


def test_metrics_of_a_regression_are_those_of_scikit_learn():
    data = regression()
    (outcome,) = train(run_of(metrics=["r2", "rmse"]), data, [0])
    last = outcome.evaluations[-1]
    with torch.no_grad():
        output = outcome.model.eval()(data.test.x)
    assert last.more["test_r2"] == pytest.approx(published.r2_score(data.test.y, output))
    rmse = math.sqrt(published.mean_squared_error(data.test.y, output))
    assert last.more["test_rmse"] == pytest.approx(rmse)
    assert last.more.keys() >= {"train_r2", "val_rmse", "best_test_r2"}
    assert last.cells()["val_r2"] == last.more["val_r2"] and "more" not in last.cells()


def test_top_k_is_that_of_scikit_learn():
    data = classes()
    (outcome,) = train(run_of(metrics=["accuracy", "top_3_accuracy"]), data, [0])
    with torch.no_grad():
        output = outcome.model.eval()(data.test.x)
    expected = published.top_k_accuracy_score(data.test.y, output, k=3)
    assert outcome.evaluations[-1].more["test_top_3_accuracy"] == pytest.approx(expected)


def test_label_smoothing_is_of_steps_alone():
    data, run = classes(), run_of(label_smoothing=0.2)
    (outcome,) = train(run, data, [0])
    model, own = networks.build(run, data, 0), batches.Batches(run, data, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in (1, 2):
        for rows in own.order(epoch).split(8):
            optimizer.zero_grad()
            output = model(data.train.x[rows])
            functional.cross_entropy(output, data.train.y[rows], label_smoothing=0.2).backward()
            optimizer.step()
    with torch.no_grad():
        expected = functional.cross_entropy(model(data.test.x), data.test.y)
    assert outcome.evaluations[-1].test_loss == pytest.approx(float(expected), rel=1e-6)


def test_symbols_have_bits_and_perplexity():
    x = torch.randint(0, 5, (6, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = Dataset("text", "text", "next_token", 5, (4,), 1.0, Split(x[:, :], x.roll(-1, 1)))
    run = run_of(metrics=["bits_per_character", "perplexity"])
    table = torch.randn(5, 5, generator=torch.Generator().manual_seed(1))

    class Bigrams(torch.nn.Module):
        def forward(self, symbols):
            assert symbols.dtype == torch.int64
            return table[symbols]

    found = Judge(run, data, ALONE).measure(Bigrams(), data.train)
    y = data.train.y.long().flatten()
    nats = float(functional.cross_entropy(table[x.long()].flatten(0, 1), y))
    assert found.loss == pytest.approx(nats) and found.accuracy is None
    assert found.more["bits_per_character"] == pytest.approx(nats / math.log(2))
    assert found.more["perplexity"] == pytest.approx(math.exp(nats))


def test_ones_own_loss_and_metric_are_used(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "def loss(output, y):\n    return (output - y).abs().pow(1.5).mean()\n"
        "def worst_error(output, y):\n    return (output - y).abs().max()\n"
        "def matrix_score(output, y):\n    return output - y\n"
        "def several(output, y):\n    return output - y\n"
    )
    data, run = regression(), run_of(loss="mine.py:loss", metrics=["mine.py:worst_error"])
    (outcome,) = train(run, data, [0])
    expected = plain(run, data, lambda output, y: (output - y).abs().pow(1.5).mean())
    assert [row.val_loss for row in outcome.evaluations] == pytest.approx(expected, rel=1e-6)
    with torch.no_grad():
        output = outcome.model.eval()(data.test.x)
    worst = float((output - data.test.y).abs().max())
    assert outcome.evaluations[-1].more["test_worst_error"] == pytest.approx(worst)
    for wrong, words in (({"loss": "mine.py:several"}, "not a single number"),
                         ({"metrics": ["mine.py:matrix_score"]}, "not a number")):  # fmt: skip
        with pytest.raises(UserError, match=words):
            train(run_of(**wrong), data, [0])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"loss": "mse"}, "use cross_entropy"), ({"metrics": ["r2"]}, "none of a classification"),
     ({"metrics": ["top_7_accuracy"]}, "use fewer")],
)  # fmt: skip
def test_what_does_not_fit_the_task_is_refused(wrong, words):
    with pytest.raises(UserError, match=words):
        train(run_of(**wrong), classes(), [0])


def test_names_say_which_values_are_better():
    assert [
        tasks.sign(name)
        for name in (
            "val_loss",
            "test_accuracy",
            "best_test_r2",
            "val_rmse",
            "val_f1_score",
            "test_worst_error",
            "val_top_5_accuracy",
        )
    ] == [1, -1, -1, 1, -1, 1, -1]
    assert tasks.refuses_metric("m.py:f1_score") is None
    assert "_score" in tasks.refuses_metric("m.py:f1")
    assert "did you mean" in tasks.refuses_metric("acuracy")
