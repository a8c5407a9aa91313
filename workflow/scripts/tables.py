"""Tables over the runs of a study.

In:  the resolved study (--study) and the metrics of its runs, below results/<study>/runs.
Out: runs.tsv (a row a run) and best.tsv (a row per exercise, data set, model and optimizer), in
     --output-folder.

Each figure is a mean over the seeds that did not diverge, with the ends of its 95 % interval
beside it; the interval of a single seed is empty.

Example:
  tables.py --study results/default/study.yaml --output-folder results/default/tables
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from optlab import grid, metrics, optimizers, results, study
from optlab.errors import UserError
from optlab.results import FIGURES, Best, Summary

Row = dict[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--study", type=Path, required=True, help="the resolved study, study.yaml")
    p.add_argument("--output-folder", type=Path, required=True, help="where the tables go")
    arguments = p.parse_args(words)
    try:
        summaries = results.summarise(grid.runs(study.load(arguments.study)))
        knobs = other_knobs(summaries)
        write(arguments.output_folder / "runs.tsv", [run_row(s, knobs) for s in summaries])
        best = results.best(summaries)
        write(arguments.output_folder / "best.tsv", [best_row(b, knobs) for b in best])
        return 0
    except UserError as error:
        message = str(error)
    except OSError as error:
        message = f"{error.filename or arguments.output_folder}: {error.strerror}"
    print(*(f"error: {line}" for line in message.splitlines()), sep="\n", file=sys.stderr)
    return 1


def other_knobs(summaries: Iterable[Summary]) -> list[str]:
    """The knobs, besides those that every table shows, that are not at their default somewhere."""
    named = {knob for summary in summaries for knob in summary.run.shown_knobs}
    return sorted(named - set(optimizers.SHOWN))


def run_row(summary: Summary, knobs: Sequence[str]) -> Row:
    """A run's row in runs.tsv."""
    return {
        **settings(summary, knobs),
        "seeds": summary.seeds,
        "diverged": summary.diverged,
        "status": summary.status,
        **figures(summary),
        "path": summary.run.path,
    }


def best_row(best: Best, knobs: Sequence[str]) -> Row:
    """An optimizer's row in best.tsv."""
    return {
        **settings(best.chosen, knobs),
        "chosen_on": best.chosen_on,
        "seeds": best.chosen.seeds,
        "diverged": best.chosen.diverged,
        "status": best.chosen.status,
        "settings": best.settings,
        "diverged_settings": best.diverged,
        "lr_at_edge": best.lr_at_edge,
        **figures(best.chosen),
        "path": best.chosen.run.path,
    }


def settings(summary: Summary, knobs: Sequence[str]) -> Row:
    """What identifies a run; a knob that its optimizer does not have is an empty cell."""
    run = summary.run
    values = {knob: run.knobs.get(knob) for knob in (*optimizers.SHOWN, *knobs)}
    return {
        **{name: getattr(run, name) for name in ("exercise", "dataset", "model", "optimizer")},
        **{knob: "" if value is None else grid.text(value) for knob, value in values.items()},
        **{name: getattr(run, name) for name in ("batch_size", "epochs", "gpus")},
        "device": summary.device,
    }


def figures(summary: Summary) -> Row:
    """Each figure with the ends of its interval, six digits."""
    row: Row = {}
    for name in FIGURES:
        found = summary.figures[name]
        ends = (found.mean, found.low, found.high) if found else (None, None, None)
        for suffix, value in zip(("", "_low", "_high"), ends, strict=True):
            row[name + suffix] = "" if value is None else f"{value:.6g}"
    return row


def write(path: Path, rows: Sequence[Row]) -> None:
    """Write rows as TSV."""
    lines = [list(rows[0]), *(list(map(str, row.values())) for row in rows)]
    metrics.write_atomically(path, "".join("\t".join(line) + "\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
