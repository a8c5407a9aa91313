"""Tables over the runs of a study.

In:  the resolved study (--study) and the metrics of its runs, below results/<study>/runs.
Out: in --output-folder runs.tsv (a row a run), best.tsv (a row per exercise, data set, model and
     optimizer), optimizers.tsv (the same rows by rank, where optimizers can be compared) and
     claims.tsv (a row for each claim of the study). The last three leave out scaling exercises,
     which compare numbers of processes.

Each figure is a mean over the seeds that did not diverge, with the ends of its 95 % interval
beside it; the interval of a single seed is empty.

Example:
  tables.py --study results/default/study.yaml --output-folder results/default/tables
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optlab import (
    command_line,
    comparison,
    grid,
    metrics,
    optimizers,
    results,
    schedules,
    study,
    verdicts,
)
from optlab.comparison import Ranked
from optlab.errors import in_one_line
from optlab.results import FIGURES, Best, Summary
from optlab.statistics import Estimate

Row = dict[str, Any]


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = command_line.study_parser(__doc__, "where the tables go").parse_args(words)
    resolved = study.load(arguments.study)
    summaries = results.summarise(grid.runs(resolved))
    knobs = other_knobs(summaries)
    write(arguments.output_folder / "runs.tsv", [run_row(s, knobs) for s in summaries])
    best = results.best([s for s in summaries if not s.run.timed])
    write(arguments.output_folder / "best.tsv", [best_row(b, knobs) for b in best])
    ranked = comparison.rank(best, targets(resolved))
    rows = [ranked_row(one, knobs, targets(resolved)) for one in ranked]
    write(arguments.output_folder / "optimizers.tsv", rows)
    write(arguments.output_folder / "claims.tsv", claim_rows(resolved, summaries), CLAIM)
    return 0


def targets(resolved: Mapping[str, Any]) -> dict[str, float]:
    """The validation accuracy that each exercise wants reached, where it names one."""
    exercises = resolved["exercises"].items()
    found = {name: e.get("target_accuracy") for name, e in exercises}
    return {name: target for name, target in found.items() if target is not None}


def other_knobs(summaries: Iterable[Summary]) -> list[str]:
    """What else has a column: knobs not at their default somewhere, and schedules where named."""
    named = {knob for summary in summaries for knob in summary.run.shown_knobs}
    scheduled = any(summary.run.schedule != schedules.CONSTANT for summary in summaries)
    return sorted(named - set(optimizers.SHOWN)) + ["schedule"] * scheduled


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


def ranked_row(ranked: Ranked, knobs: Sequence[str], targets: Mapping[str, float]) -> Row:
    """An optimizer's row in optimizers.tsv."""
    best, test, target = ranked.best, ranked.difference, ranked.target
    figure = best.chosen.figures
    row: Row = {
        **settings(best.chosen, knobs),
        "rank": ranked.rank,
        "verdict": ranked.verdict,
        **cells("train_accuracy", figure["train_accuracy"]),
        **cells("val_accuracy", figure["val_accuracy"]),
        **cells("test_accuracy", figure["test_accuracy"]),
        **cells("seconds", figure["seconds"]),
        "target_accuracy": targets.get(best.chosen.run.exercise, ""),
        "reached_target": "" if target is None else target.reached,
        **cells("epochs_to_target", target.epochs if target else None),
        **cells("seconds_to_target", target.seconds if target else None),
        "seeds": best.chosen.seeds,
        "diverged": best.chosen.diverged,
        "settings": best.settings,
        "diverged_settings": best.diverged,
        "lr_at_edge": best.lr_at_edge,
        **cells("test_difference", test.difference if test else None),
        "p": "" if test is None else f"{test.p:.3g}",
        "p_holm": "" if ranked.p_holm is None else f"{ranked.p_holm:.3g}",
        "path": best.chosen.run.path,
    }
    return row


def claim_rows(resolved: Mapping[str, Any], summaries: Sequence[Summary]) -> list[Row]:
    """The rows of claims.tsv, in the study's order."""
    rows = []
    for exercise, content in resolved["exercises"].items():
        own = [one for one in summaries if one.run.exercise == exercise]
        for claim in content.get("claims", ()):
            judged = verdicts.judge(claim, own)
            row = {
                "exercise": exercise,
                "claim": " ".join(claim["claim"].split()),
                "figure": claim.get("figure", ""),
                "published": judged.published,
                **cells("measured", judged.estimate),
                "measured": judged.measured,  # in words where there is no figure
                "verdict": judged.verdict,
            }
            rows.append(row)
    return rows


CLAIM = (  # the columns, for a study without claims
    *("exercise", "claim", "figure", "published"),
    *("measured", "measured_low", "measured_high", "verdict"),
)


def settings(summary: Summary, knobs: Sequence[str]) -> Row:
    """What identifies a run; a knob that its optimizer does not have is an empty cell."""
    run = summary.run
    known = {**run.knobs, "schedule": run.schedule}
    values = {knob: known.get(knob) for knob in (*optimizers.SHOWN, *knobs)}
    return {
        **{name: getattr(run, name) for name in ("exercise", "dataset", "model", "optimizer")},
        **{knob: "" if value is None else grid.text(value) for knob, value in values.items()},
        **{name: getattr(run, name) for name in ("batch_size", "epochs", "gpus")},
        "device": summary.device,
    }


def figures(summary: Summary) -> Row:
    """Each figure with the ends of its interval."""
    return {k: v for name in FIGURES for k, v in cells(name, summary.figures[name]).items()}


def cells(name: str, found: Estimate | None) -> Row:
    """A figure and the ends of its interval, six digits; empty where there is none."""
    ends = (found.mean, found.low, found.high) if found else (None, None, None)
    return {
        name + suffix: "" if value is None else f"{value:.6g}"
        for suffix, value in zip(("", "_low", "_high"), ends, strict=True)
    }


EVERYWHERE = ("exercise", "dataset", "model", "optimizer")


def write(path: Path, rows: Sequence[Row], columns: Sequence[str] = EVERYWHERE) -> None:
    """Write rows as TSV; without a row, only the columns that are known beforehand."""
    header = list(rows[0] if rows else columns)
    lines = [header, *(list(map(str, row.values())) for row in rows)]
    metrics.write_table(path, lines)


if __name__ == "__main__":
    sys.exit(main())
