"""Metrics other than the accuracy: what is chosen and judged by them, claimed, and drawn."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from handmade import resolved, row, save, write

import tables as program
from optlab.errors import UserError
from optlab.figures import plan, scaling_axes, words
from optlab.page import wording
from optlab.results import comparison, scaling, summary, tables
from optlab.study import table

# seed: validation and test R² of two rates of SGD and one of Adam.
R2 = {("sgd", 0.01): [0.30, 0.32, 0.31], ("sgd", 0.1): [0.40, 0.41, 0.42],
      ("adam", 0.01): [0.50, 0.52, 0.54]}  # fmt: skip


def regression(**more):
    grid = {"sgd": {"lr": [0.01, 0.1]}, "adam": {"lr": [0.01]}}
    fixed = {"datasets": ["diabetes"], "models": ["mlp"], "epochs": [2], "extend": 0}
    exercise = {**fixed, "optimizers": grid, **more}
    return resolved({"fit": exercise}, margin={"r2": 0.01, "loss": "1%"})


def finished(**more):
    """A study whose lowest loss and highest R² are of different settings."""
    study = regression(**more)
    for run in table.runs(study):
        shares = R2[run.optimizer, run.knobs["lr"]]
        losses = [1 / share for share in reversed(shares)] if run.optimizer == "adam" else shares
        rows = []
        for seed, (share, loss) in enumerate(zip(shares, losses, strict=True)):
            known = {"train_r2": 0, "val_r2": 0, "val_loss": 9}
            rows.append(row(run, seed, 0, 9, **known))
            known = dict.fromkeys(("train_r2", "val_r2", "test_r2"), share)
            rows.append(row(run, seed, 2, loss, val_loss=loss, test_loss=loss, **known))
        write(run, rows)
    return study


def test_high_values_of_r2_are_better_and_low_ones_of_the_loss(here):
    for metric, optimizer, rate in (("r2", "adam", 0.01), ("auto", "sgd", 0.01)):
        study = finished(metric=metric)
        every = summary.summarise(table.every(study))
        best = summary.best(every, summary.metrics(study))
        (contest,) = comparison.contests(study, best)
        first = contest.contestants[0]
        assert (first.run.optimizer, first.run.knobs["lr"]) == (optimizer, rate)
        assert contest.figure == ("test_r2" if metric == "r2" else "test_loss")
    assert every.loc[first.run.path, "val_r2"] == pytest.approx(0.31)
    assert list(tables.runs(every).filter(like="test_r2")) == [
        f"{name}{end}" for name in ("test_r2",) for end in ("", "_low", "_high")
    ]


def test_the_margin_of_a_metric_is_its_own(here):
    study = finished(metric="r2")
    best = summary.best(summary.summarise(table.every(study)), summary.metrics(study))
    (contest,) = comparison.contests(study, best)
    assert [pair.margin for pair in contest.pairs] == [0.01]


CLAIMS = [
    {"claim": "Adam explains more", "figure": "test_r2",
     "order": [{"optimizer": "adam"}, {"optimizer": "sgd", "lr": 0.1}]},
    {"claim": "0.52", "value": {"optimizer": "adam"}, "figure": "test_r2", "published": 0.52},
    {"claim": "All reach 0.4", "reaches": [{"optimizer": "adam"}], "target": {"val_r2": 0.4}},
    {"claim": "SGD reaches it, too", "reaches": [{"optimizer": "sgd", "lr": 0.01}],
     "target": {"val_r2": 0.4}},
    {"claim": "What is not measured", "value": {"optimizer": "adam"}, "figure": "test_rmse",
     "published": 1},
]  # fmt: skip


def test_claims_are_judged_by_any_metric(here):
    study = finished(metric="r2", claims=CLAIMS)
    assert program.main(["--study", str(save(study)), "--output-folder", "tables"]) == 0
    verdicts = pd.read_csv("tables/claims.tsv", sep="\t")["verdict"].fillna("")
    assert [verdict.split(":")[0].split(";")[0] for verdict in verdicts[:4]] == [
        "holds", "agrees", "holds", "does not hold",
    ]  # fmt: skip
    assert "no" in verdicts[4]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"metric": "accuracy"}, "metric: the data set diabetes has no classes, so no accuracy"),
        ({"metric": "r_2"}, "metric: unknown metric r_2; did you mean 'r2'?"),
        ({"metrics": ["mine.py:f1"]}, "name the function *_score or *_error"),
        ({"metrics": ["perplexity"]}, "has no classes, so no perplexity"),
        ({"loss": "cross_entropy"}, "loss: 'cross_entropy' is no loss of it"),
        ({"loss": "msee"}, "did you mean 'mse'?"),
        ({"claims": [{**CLAIMS[1], "figure": "test_r3"}]}, "'test_r3' is not known"),
        ({"margin": {"r3": 1}}, "margin.r3: unknown key"),
    ],
)
def test_a_mistake_is_a_line(more, message, here):
    Path("mine.py").write_text("")
    with pytest.raises(UserError) as caught:
        regression(**more)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_and_words_are_of_the_metric(here):
    study = finished()
    names = [picture.name for picture in plan.pictures(study, "fit")]
    assert "r2" in names and "curves-mlp" in names and "accuracy" not in names
    assert words.figure("best_test_r2") == "best test R²"
    assert wording.figure("test_r2", 0.5) == "0.5"
    assert wording.figure("test_top_5_accuracy", 0.5) == "50.00 %"


def test_a_line_through_points_has_no_metric():
    line = {"datasets": ["line"], "models": ["linear"], "batch_sizes": ["full"],
            "optimizers": {"sgd": {"lr": [0.01, 0.1]}}}  # fmt: skip
    study = resolved({"fit": line})
    assert not [p for p in plan.pictures(study, "fit") if p.kind in ("accuracy", "curves")]


def test_scaling_without_classes_shows_the_loss(monkeypatch):
    columns = [f"{part}_{what}{end}" for part in ("test", "val") for what in ("accuracy", "loss")
               for end in ("", "_low", "_high")]  # fmt: skip
    rows = pd.DataFrame(np.nan, index=range(3), columns=columns)
    rows = rows.assign(dataset=["digits", "docs", "docs"], model="mlp", oversubscribed=False)
    rows.loc[0, ["test_accuracy", "test_loss"]] = 0.9, 0.3
    rows.loc[1, ["test_loss", "val_loss"]] = 2.5, 2.4
    rows.loc[2, "val_loss"] = 2.6  # without a test set
    monkeypatch.setattr(scaling, "rows", lambda study, exercise: rows)
    shown = scaling_axes.source({}, "scaling")
    assert list(shown["learnt"]) == [0.9, 2.5, 2.6]
    assert scaling_axes.learnt_label(shown[:1]) == "test accuracy (fraction correct)"
    assert scaling_axes.learnt_label(shown[1:]) == "test loss"
