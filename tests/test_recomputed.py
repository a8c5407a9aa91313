"""Every figure of the tables of a finished study, computed again from its metrics.

With pandas, SciPy and statsmodels alone, on results/default of this checkout, or on the study whose
folder OPTLAB_RECOMPUTE names. Without one, these tests are skipped.
"""

import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path(os.environ.get("OPTLAB_RECOMPUTE", ROOT / "results/default"))
FIGURES = [
    *(f"{part}_{metric}" for part in ("train", "val", "test") for metric in ("loss", "accuracy")),
    *("best_epoch", "best_test_loss", "best_test_accuracy", "seconds"),
]
PRIOR, ALPHA = 8, 0.05

pytestmark = pytest.mark.skipif(
    not (RESULTS / "tables/pairs.tsv").is_file(), reason="there is no finished study"
)


def table(name):
    return pd.read_csv(RESULTS / f"tables/{name}.tsv", sep="\t", keep_default_na=True)


def finals(path, folder="runs"):
    """The last row of each seed."""
    rows = pd.read_csv(RESULTS / folder / path / "metrics.tsv", sep="\t")
    return rows.groupby("seed").tail(1).set_index("seed")


def interval(values, name):
    """The mean and the t interval, cut to what is possible."""
    values = values.dropna().astype(float)
    if values.empty:
        return math.nan, math.nan, math.nan
    mean = values.mean()
    if len(values) == 1:
        return mean, math.nan, math.nan
    with np.errstate(invalid="ignore"):
        low, high = stats.t.interval(0.95, len(values) - 1, mean, stats.sem(values))
    low, high = (mean, mean) if math.isnan(low) else (low, high)
    return mean, max(low, 0), min(high, 1 if name.endswith("accuracy") else math.inf)


def same(found, expected):
    """To the six digits that a table has."""
    return found == pytest.approx(expected, rel=1e-5, abs=1e-12, nan_ok=True)


def check_figures(row, last):
    good = last[last["status"] == "ok"]
    for name in FIGURES:
        if name in row.index:
            cells = [row[name + end] for end in ("", "_low", "_high")]
            assert same(cells, interval(good[name], name)), (row["path"], name)
    assert (row["seeds"], row["diverged"]) == (len(last), len(last) - len(good))


def test_runs():
    for _, row in table("runs").iterrows():
        check_figures(row, finals(row["path"]))


def test_best():
    runs, best = table("runs"), table("best")
    assert len(best)
    for _, row in best.iterrows():
        keys = ["exercise", "dataset", "model", "optimizer"]
        tried = runs[(runs[keys] == row[keys]).all(axis=1)]
        figure = row["chosen_on"]
        sign = -1 if figure.endswith("accuracy") else 1
        loss = "val_loss" if tried["val_loss"].notna().any() else "train_loss"
        # From the metrics: cells have six digits, in which more runs may be equal.
        means = [finals(path) for path in tried["path"]]
        exact = [
            (
                (one["status"] != "ok").sum(),
                *(
                    s * one.loc[one["status"] == "ok", f].mean()
                    for s, f in ((sign, figure), (1, loss))
                ),
            )
            for one in means
        ]
        exact = [tuple(math.inf if value != value else value for value in key) for key in exact]
        assert tried["path"].iloc[exact.index(min(exact))] == row["path"]
        assert (row["settings"], row["diverged_settings"]) == (
            len(tried),
            sum(key[0] > 0 for key in exact),
        )
        rates = sorted(tried["lr"].unique())
        edge = {rates[0]: "lowest", rates[-1]: "highest"}.get(row["lr"], "")
        assert (row["lr_at_edge"] if row["lr_at_edge"] == row["lr_at_edge"] else "") == (
            edge if len(rates) > 1 else "only"
        )


def judged(row):
    unit = "/".join(row["path"].split("/")[:3])
    there = (RESULTS / "confirm" / row["path"] / "metrics.tsv").is_file()
    confirmed = RESULTS / "confirm" / unit / "confirmed.json"
    fresh = there and json.loads(confirmed.read_text())["seeds"] > 0
    return finals(row["path"], "confirm" if fresh else "runs")


def evidence(differences, shift, grain):
    """log E after each seed, by the formula, value by value."""
    found = []
    for n in range(1, len(differences) + 1):
        d, k = differences[:n] - shift, 1 + n * PRIOR
        within = ((d - d.mean()) ** 2).sum() + (n - 1) * grain**2 / 6
        if n == 1 or within == 0 == d.mean():
            found.append((0.0, d.mean()))
            continue
        y = n * d.mean() ** 2 / within if within else math.inf
        ratio = k if y == math.inf else (1 + y) / (1 + y / k)
        found.append((-0.5 * math.log(k) + n / 2 * math.log(ratio), d.mean()))
    return found


def p_of(found):
    return min(1.0, math.exp(-max(e for e, _ in found)))


def grain_of(row, figure):
    if not figure.endswith("accuracy"):
        return 0.0
    path = next((RESULTS / "runs" / row["path"]).glob("run.json"))
    data = json.loads(path.read_text())["settings"]["data"]
    return 1 / json.loads((RESULTS.parents[1] / data).read_text())["sizes"]["test"]


def check_problem(rows):
    """The ranks of a problem, and every pair."""
    figure, pairs = rows["judged_by"].iloc[0], table("pairs")
    sign = -1 if figure.endswith("accuracy") else 1
    last = {row["optimizer"]: judged(row) for _, row in rows.iterrows()}
    grain = grain_of(rows.iloc[0], figure)
    margin = rows["margin"].dropna()
    margin = margin.iloc[0] if len(margin) else 0.0
    names = list(rows["optimizer"])
    p, equivalent, kept = [], [], []
    keys = ["exercise", "dataset", "model"]
    own = pairs[(pairs[keys] == rows.iloc[0][keys]).all(axis=1)]
    for _, pair in own.iterrows():
        one, other = (last[pair[key]] for key in ("optimizer", "other"))
        good = [frame.loc[frame["status"] == "ok", figure] for frame in (one, other)]
        d = (good[0] - good[1]).dropna().sort_index().to_numpy()
        assert same(pair["difference"], d.mean())
        p.append(p_of(evidence(d, 0, grain)))
        above = [(e if mean < 0 else 0, mean) for e, mean in evidence(d, margin, grain)]
        below = [(e if mean > 0 else 0, mean) for e, mean in evidence(d, -margin, grain)]
        equivalent.append(max(p_of(above), p_of(below)) if margin else 1.0)
        kept.append((pair, sign * d.mean(), any((f["status"] != "ok").any() for f in (one, other))))
    assert own["p"].tolist() == pytest.approx(p, rel=0.01)
    holm = [multipletests(values, method="holm")[1] for values in (p, equivalent)]
    assert own["p_holm"].tolist() == pytest.approx(list(holm[0]), rel=0.01)
    assert own["p_equivalent"].tolist() == pytest.approx(list(holm[1]), rel=0.01)
    for (pair, worse_by, lost), different, close in zip(kept, *holm, strict=True):
        assert names.index(pair["optimizer"]) < names.index(pair["other"])
        if not lost:
            shown = "worse" if worse_by > 0 else "better"
            verdict = "equivalent" if close <= ALPHA else shown if different <= ALPHA else "open"
            assert pair["verdict"] == verdict, pair
    means = [sign * last[name].loc[last[name]["status"] == "ok", figure].mean() for name in names]
    lengths = {len(frame) for frame in last.values()}
    if len(lengths) == 1 and not any(lost for *_, lost in kept):
        assert means == sorted(means)


def test_optimizers_and_pairs():
    rows = table("optimizers")
    assert len(rows)
    for _, row in rows.iterrows():
        check_figures(row, judged(row))
    for _, group in rows.groupby(["exercise", "dataset", "model"], sort=False):
        assert group["rank"].tolist() == list(range(1, len(group) + 1))
        check_problem(group)


def test_time_to_target():
    for _, row in table("optimizers").iterrows():
        target = row["target_accuracy"]
        if target != target:
            continue
        unit = judged(row)
        folder = "confirm" if unit.index.min() >= 100_000 else "runs"
        every = pd.read_csv(RESULTS / folder / row["path"] / "metrics.tsv", sep="\t")
        hits = every[every["val_accuracy"] >= target].groupby("seed").head(1)
        assert row["reached_target"] == len(hits)
        for name, column in (("epochs", "epoch"), ("seconds", "seconds")):
            expected = stats.gmean(hits[column]) if len(hits) else math.inf
            assert same(row[f"{name}_to_target"], expected)
