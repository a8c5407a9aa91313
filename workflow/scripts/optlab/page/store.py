"""What the browser gets: every run with its figures, command and curves, and what tables say.

Two blocks, each deflated and in base64, so that 5,000 runs stay a few megabytes: a JSON text with a
list for each column, and the curves as float32 (little endian), one run behind the other.
"""

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from optlab.catalogue import tasks
from optlab.catalogue.tasks import sign
from optlab.figures import looks, words
from optlab.page import cards, curves
from optlab.page.wording import name_of
from optlab.results import pairs, summary
from optlab.results.reading import CURVES, curves_in
from optlab.results.statistics import with_ends
from optlab.study.run import Run

MATRIX = 40  # optimizers, up to which every pair is shown

# Line styles and markers of the figures, as Bokeh names them.
DASHES = {"-": "solid", "--": "dashed", "-.": "dashdot", ":": "dotted"}
MARKERS = {
    **{"o": "circle", "s": "square", "^": "triangle", "v": "inverted_triangle", "D": "diamond"},
    **{"d": "diamond_dot", "P": "plus", "X": "x", "*": "star", "p": "hex", "h": "hex", "H": "hex"},
    **{"<": "triangle_dot", ">": "triangle_pin", "8": "circle_dot", "x": "x", "+": "cross"},
}


def packed(content: bytes) -> str:
    """Deflated, and as text that a page can hold."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def store(
    study: Mapping[str, Any],
    tables: cards.Tables,
    runs: Sequence[Run],
    records: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, Any], bytes]:
    """What the page shows of single runs, and their curves.

    Args:
        tables: of the study, or of what is finished of it.
        runs: those of the table ``runs``, in its order.
        records: of each run what its ``run.json`` holds.
    """
    table = tables.get("runs", pd.DataFrame())
    problems = _problems(study, tables, runs)
    positions = {one["key"]: number for number, one in enumerate(problems)}
    names, states = curves_in(table.columns), table.get("status", pd.Series(dtype=object))
    drawn, places = curves.of_runs(study, runs, states, names)
    chosen = set(tables["best"]["path"]) if "best" in tables else set()
    found = {
        "columns": _columns(table),
        "problems": problems,
        "values": {name: _clean(table[name]) for name in _shown(table)},
        "problem": [positions[cards.key(run.exercise, run.dataset, run.model)] for run in runs],
        "id": [hashlib.sha1(run.path.encode()).hexdigest()[:8] for run in runs],
        "path": [run.path for run in runs],
        "label": [words.label(run) for run in runs],
        "text": [words.settings(run) for run in runs],
        "command": [str(one.get("command", "")) for one in records],
        "chosen": [int(run.path in chosen) for run in runs],
        "look": _looks(runs),
        **{"figures": names, "measured": _measured(table)},
        "kinds": _kinds(names) if problems else [],
        "places": places,
        "bands": len(runs) <= curves.BANDED,
        "pairs": _pairs(tables, {run.path: run for run in runs}),
        "scaling": _scaling(tables),
        "trials": _trials(tables),
    }
    return found, drawn


def text(found: Mapping[str, Any]) -> bytes:
    """The store as JSON."""
    return json.dumps(found, allow_nan=False, separators=(",", ":")).encode()


# -- problems and runs -------------------------------------------------------------------------


def _problems(
    study: Mapping[str, Any], tables: cards.Tables, runs: Sequence[Run]
) -> list[dict[str, Any]]:
    best = tables.get("best", pd.DataFrame(columns=[*summary.PROBLEM, "chosen_on"]))
    figures = {
        cards.key(*problem): column
        for *problem, column in best[[*summary.PROBLEM, "chosen_on"]].itertuples(index=False)
    }
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        key = cards.key(run.exercise, run.dataset, run.model)
        if key not in found:
            title = cards.title(study, run.exercise)
            column = figures.get(key) or _of_timed(run, tables)
            found[key] = {
                "key": key,
                "title": f"{title}: {cards.subject(run.model, run.dataset)}",
                "figure": column,
                "higher": sign(column) < 0,
            }
    return list(found.values())


def _of_timed(run: Run, tables: cards.Tables) -> str:
    """The figure that is shown of runs of which nothing is chosen, such as those of a scaling."""
    if not run.timed:
        return "train_loss"
    rows = tables["runs"][tables["runs"]["exercise"] == run.exercise]
    return "val_accuracy" if rows["val_accuracy"].notna().any() else "val_loss"


def _shown(table: pd.DataFrame) -> list[str]:
    """The columns of the table of runs that the page shows."""
    hidden = {*summary.PROBLEM, "path"}
    return [c for c in table if c not in hidden and not c.endswith(("_low", "_high"))]


def _columns(table: pd.DataFrame) -> list[dict[str, Any]]:
    def kind(name: str) -> str:
        if tasks.is_share(name):
            return "percent"
        return "number" if pd.api.types.is_numeric_dtype(table[name]) else "text"

    return [
        {"name": name, "label": name_of(name), "kind": kind(name), "higher": sign(name) < 0}
        for name in _shown(table)
    ]


def _measured(table: pd.DataFrame) -> list[str]:
    """The figures after the last epoch, in the order in which the page shows them."""
    parts = ("train", "val", "test")
    names = [f"{part}_{what}" for part in parts for what in ("loss", "accuracy")]
    more = [name for name in tasks.more_figures(table.columns) if name.startswith(parts)]
    return [*names, *more, "seconds"]


def _kinds(names: Sequence[str]) -> list[str]:
    """The kinds of curves with these figures: loss, accuracy, and any other metric."""
    return ["loss", "accuracy", *(["metric"] if len(names) > len(CURVES) else [])]


def _clean(values: pd.Series) -> list[Any]:
    """A column as JSON can hold it: what is missing or not finite is null."""
    return [_finite(value) for value in values.astype(object)]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _looks(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The colour, dash and marker of each optimizer, the same in the whole page."""
    names = list(dict.fromkeys(run.optimizer for run in runs))
    return {
        name: [look.color, _dash(look.line), MARKERS.get(look.marker, "circle")]
        for name, look in zip(names, looks.looks(names), strict=True)
    }


def _dash(line: Any) -> str:
    return DASHES.get(line, "dotdash") if isinstance(line, str) else "dotdash"


# -- pairs, scaling and trials -----------------------------------------------------------------

CODES = {pairs.BETTER: "b", pairs.WORSE: "w", pairs.EQUIVALENT: "e", pairs.OPEN: "o"}


def _pairs(tables: cards.Tables, known: Mapping[str, Run]) -> dict[str, Any]:
    """Of each problem its optimizers by rank, and the verdict of each pair of these."""
    table, ranked = tables.get("pairs"), tables.get("optimizers")
    found: dict[str, Any] = {}
    if table is None or ranked is None or not len(table):
        return found
    order = {
        cards.key(*problem): [known[path] for path in group["path"]]
        for problem, group in ranked.groupby(summary.PROBLEM, sort=False)
    }
    for problem, group in table.groupby(summary.PROBLEM, sort=False):
        key = cards.key(*problem)
        some = order.get(key, [])
        place = {run.optimizer: number for number, run in enumerate(some)}
        whole = len(some) <= MATRIX
        rows = group if whole else group[group["optimizer"] == some[0].optimizer]
        columns = ["optimizer", "other", "verdict", "difference", "p_holm", "common_seeds"]
        found[key] = {
            "names": words.labels(some),
            "optimizers": [run.optimizer for run in some],
            "whole": whole,
            "figure": name_of(group["judged_by"].iloc[0]),
            "percent": tasks.is_share(group["judged_by"].iloc[0]),
            "rows": [
                [place[one], place[two], CODES[verdict], *map(_finite, rest)]
                for one, two, verdict, *rest in rows[columns].itertuples(index=False)
                if one in place and two in place
            ],
        }
    return found


def _scaling(tables: cards.Tables) -> list[dict[str, Any]]:
    """The measured rows of the scaling table that have a speed-up."""
    table = tables.get("scaling")
    if table is None:
        return []
    rows = table[table["speedup"].notna()]
    columns = ["exercise", "dataset", "model", "scaling", "batch_size", "gpus", "device"]
    columns += [*with_ends("speedup", "efficiency"), "seconds"]
    cells = {name: _clean(rows[name]) for name in columns}
    return [dict(zip(cells, values, strict=True)) for values in zip(*cells.values(), strict=True)]


def _trials(tables: cards.Tables) -> dict[str, Any]:
    """The trials of all searches: a list a column."""
    table = tables.get("trials")
    if table is None or not len(table):
        return {}
    return {name: _clean(table[name]) for name in table if name not in ("host", "worker")}
