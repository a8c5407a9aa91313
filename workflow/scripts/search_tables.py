"""Tables over the searches of a study.

In:  the resolved study (--study) and what its searches left, below results/<study>/search.
Out: trials.tsv (a row a trial) and search.tsv (a row a search), in --output-folder.

Example:
  search_tables.py --study results/default/study.yaml --output-folder results/default/tables
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, metrics, search_plan, study
from optlab.errors import UserError, in_one_line
from optlab.search_plan import Search
from optlab.statistics import estimate

Row = dict[str, Any]
Found = dict[str, Any]  # a search's trials.json


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = command_line.study_parser(__doc__, "where the tables go").parse_args(words)
    searches = search_plan.searches(study.load(arguments.study))
    if not searches:
        raise UserError(f"{arguments.study} has no exercise of the kind search")
    found = [(search, search_plan.results(search)) for search in searches]
    rows = [row for pair in found for row in trial_rows(*pair)]
    write(arguments.output_folder / "trials.tsv", rows)
    write(arguments.output_folder / "search.tsv", [search_row(*pair) for pair in found])
    return 0


def trial_rows(search: Search, found: Found) -> list[Row]:
    """A row a trial; parameters that it does not have are empty cells."""
    again = {entry["number"]: entry for entry in found["retrained_pruned"]}
    return [
        {
            "exercise": search.exercise,
            "dataset": search.dataset,
            "number": trial["number"],
            "state": trial["state"],
            "metric": search.metric,
            "value": trial["value"],
            **{f"param_{name}": value for name, value in trial["parameters"].items()},
            "val_loss": trial["val_loss"],
            "val_accuracy": trial["val_accuracy"],
            "epochs": trial["epochs"],
            "seconds": trial["seconds"],
            "status": trial["status"],
            "worker": trial["worker"],
            "host": trial["host"],
            "value_to_the_end": again.get(trial["number"], {}).get("value"),
        }
        for trial in found["trials"]
    ]


def search_row(search: Search, found: Found) -> Row:
    """A search's row: its trials, the best one, that setting trained anew, and what pruning did."""
    trials, again = found["trials"], found["retrained_pruned"]
    (best,) = (trial for trial in trials if trial["number"] == found["best"])
    stopped = [t for t in trials if t["state"] == "pruned" and t["status"] == "ok"]
    run = sum(trial["epochs"] for trial in trials)
    saved = sum(search.epochs - trial["epochs"] for trial in stopped)
    won = [entry for entry in again if entry["would_have_won"]]
    return {
        "exercise": search.exercise,
        "dataset": search.dataset,
        "network": search.network,
        "sampler": search.sampler["name"],
        "pruner": search.pruner["name"],
        "metric": search.metric,
        "finished": sum(trial["state"] != "failed" for trial in trials),
        "complete": sum(trial["state"] == "complete" for trial in trials),
        "pruned": len(stopped),
        "diverged": sum(trial["status"] == "diverged" for trial in trials),
        "failed": sum(trial["state"] == "failed" for trial in trials),
        "best_trial": best["number"],
        "best_parameters": ", ".join(f"{k}={v}" for k, v in best["parameters"].items()),
        "best_value": best["value"],
        **retrained(search),
        "epochs_run": run,
        "epochs_saved": saved,
        "share_saved": saved / (run + saved) if run + saved else None,
        "pruned_retrained": len(again),
        "pruned_would_have_won": len(won),
        "seconds": sum(trial["seconds"] or 0 for trial in trials),
    }


def retrained(search: Search) -> Row:
    """The best setting trained anew: each figure's mean over the seeds, with its interval."""
    rows = metrics.read(Path(search.folder, "best/metrics.tsv"))
    last = {row["seed"]: row for row in rows}.values()
    good = [row for row in last if row["status"] == "ok"]
    row: Row = {
        "retrained_on": search.retrain,
        "seeds": len(last),
        "retrained_diverged": len(last) - len(good),
    }
    for name in (search.metric, "test_accuracy", "test_loss"):
        found = estimate([float(r[name]) for r in good if r[name]])
        ends = (found.mean, found.low, found.high) if found else (None, None, None)
        row |= {f"retrained_{name}{suffix}": value
                for suffix, value in zip(("", "_low", "_high"), ends, strict=True)}  # fmt: skip
    return row


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as TSV: every column of any row, an absent value as an empty cell."""
    columns = list(dict.fromkeys(name for row in sorted(rows, key=len) for name in row))
    if len(set(map(tuple, rows))) > 1:  # parameters first seen in a longer row belong together
        names = sorted(name for name in columns if name.startswith("param_"))
        rest = [name for name in columns if name not in names]
        at = rest.index("value") + 1
        columns = [*rest[:at], *names, *rest[at:]]
    lines = [columns, *([_cell(row.get(name)) for name in columns] for row in rows)]
    metrics.write_table(path, lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
