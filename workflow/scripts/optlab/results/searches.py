"""The tables of searches: a row a trial, and a row a search."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from optlab.errors import DamagedError
from optlab.results.statistics import cells, estimate
from optlab.runs import metrics, record
from optlab.study.kinds.search import Search, finished

Found = dict[str, Any]  # a search's trials.json


def trials(searches: list[Search]) -> pd.DataFrame:
    """A row a trial; a parameter that a trial does not have is missing."""
    frame = pd.DataFrame([row for one in searches for row in _trials(one, finished(one))])
    parameters = sorted(name for name in frame.columns if name.startswith("param_"))
    rest = [name for name in frame.columns if name not in parameters]
    at = rest.index("value") + 1
    return frame[[*rest[:at], *parameters, *rest[at:]]]


def _trials(search: Search, found: Found) -> list[dict[str, Any]]:
    again = {entry["number"]: entry["value"] for entry in found["retrained_pruned"]}
    return [
        {
            "exercise": search.exercise,
            "dataset": search.dataset,
            "number": trial["number"],
            "state": trial["state"],
            "metric": search.metric,
            "value": trial["value"],
            **{f"param_{name}": value for name, value in trial["parameters"].items()},
            **{name: trial[name] for name in ("val_loss", "val_accuracy", "epochs", "seconds")},
            **{name: trial[name] for name in ("status", "worker", "host")},
            "value_to_the_end": again.get(trial["number"]),
        }
        for trial in found["trials"]
    ]


def best_trial(found: Found) -> dict[str, Any] | None:
    """The trial with the best value; None where none came to its end."""
    every = (trial for trial in found["trials"] if trial["number"] == found["best"])
    return next(every, None)


def summaries(searches: list[Search]) -> pd.DataFrame:
    """A row a search: its trials, the best one, that setting retrained, and what pruning did."""
    return pd.DataFrame([_summary(search, finished(search)) for search in searches])


def _summary(search: Search, found: Found) -> dict[str, Any]:
    table, again = pd.DataFrame(found["trials"]), found["retrained_pruned"]
    best = best_trial(found) or {"number": None, "parameters": {}, "value": None}
    stopped = table[(table["state"] == "pruned") & (table["status"] == "ok")]
    run, saved = int(table["epochs"].sum()), int((search.epochs - stopped["epochs"]).sum())
    return {
        "exercise": search.exercise,
        "dataset": search.dataset,
        "network": search.network,
        "sampler": search.sampler["name"],
        "pruner": search.pruner["name"],
        "metric": search.metric,
        "finished": int((table["state"] != "failed").sum()),
        "complete": int((table["state"] == "complete").sum()),
        "pruned": len(stopped),
        "diverged": int((table["status"] == "diverged").sum()),
        "failed": int((table["state"] == "failed").sum()),
        "best_trial": best["number"],
        "best_parameters": ", ".join(f"{k}={v}" for k, v in best["parameters"].items()),
        "best_value": best["value"],
        **_retrained(search),
        "epochs_run": run,
        "epochs_saved": saved,
        "share_saved": saved / (run + saved) if run + saved else None,
        "pruned_retrained": len(again),
        "pruned_would_have_won": sum(entry["would_have_won"] for entry in again),
        "seconds": float(table["seconds"].astype(float).sum()),
    }


def retrained(search: Search) -> dict[int, metrics.Row]:
    """The last row of each seed with which the best setting was trained again.

    Raises:
        DamagedError: the file is not what was written.
    """
    file = Path(search.folder, "best/metrics.tsv")
    if not record.describes(str(file.parent), file.read_bytes()):
        raise DamagedError(f"{file}: damaged: not the metrics that run.json describes", [file])
    rows = metrics.read(file)
    return {seed: row for row in rows if (seed := int(row["seed"])) in range(search.seeds)}


def _retrained(search: Search) -> dict[str, Any]:
    """The best setting retrained: each figure's mean over the seeds, with its interval."""
    try:
        return _means(search, retrained(search))
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        file = Path(search.folder, "best/metrics.tsv")
        raise DamagedError(f"{file}: damaged", [file]) from error


def _means(search: Search, rows: Mapping[int, metrics.Row]) -> dict[str, Any]:
    last = rows.values()
    good = [row for row in last if row["status"] == "ok"]
    row: dict[str, Any] = {
        "retrained_on": search.retrain,
        "seeds": len(last),
        "retrained_diverged": len(last) - len(good),
    }
    for name in (search.metric, "test_accuracy", "test_loss"):
        row |= cells(f"retrained_{name}", estimate([float(r[name]) for r in good if r[name]]))
    return row
