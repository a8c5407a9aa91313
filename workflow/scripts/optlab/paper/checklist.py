"""The machine-learning reproducibility checklist (Pineau et al. 2020), as far as a study fills it.

What only its authors know, such as the claims of theorems or the consent of persons, is left out.
"""

import math
from typing import Any

from optlab.catalogue import tasks
from optlab.figures import words
from optlab.page.cards import Tables
from optlab.page.wording import seconds
from optlab.paper.data_sets import data
from optlab.paper.document import Block, Heading, Table
from optlab.paper.facts import Facts, joined
from optlab.paper.methods import models
from optlab.values import counted

NOT_RECORDED = "not recorded"


def blocks(facts: Facts, tables: Tables, file: str) -> list[Block]:
    """The checklist; ``file`` is the study's configuration."""
    rows = [
        ("Algorithms and models", models(facts).partition(" ")[2]),
        ("Data sets, numbers of examples, splits", data(facts).partition(" ")[2]),
        ("Where the data come from", _sources(facts)),
        ("Range of hyperparameters, and how the best were chosen", _ranges(facts)),
        ("Number of training and evaluation runs", _runs(facts, tables)),
        ("Measures that are reported", _measures(tables)),
        ("Central tendency and variation", _variation(facts)),
        ("Average time of a run", _average(facts)),
        ("Time of all jobs together", facts.time or NOT_RECORDED),
        ("Computing infrastructure", joined(facts.machines) or NOT_RECORDED),
        ("Software", _software(facts)),
        ("Version of the code", joined(facts.versions("commit")) or NOT_RECORDED),
        ("When", _when(facts)),
        ("Command", f"snakemake --configfile {file} --cores all"),
    ]
    caption = "What the study says about its own reproduction (after Pineau et al. 2020)."
    return [
        Heading("Reproducibility checklist"),
        Table("checklist", caption, ("item", "answer"), rows),
    ]


def _sources(facts: Facts) -> str:
    found = []
    for name in facts.used("datasets"):
        given = facts.study["datasets"][name]
        where = given.get("file") or f"the source {given['source']}"
        found.append(words.plain(f"{name}: {where}"))
    return "; ".join(found)


def _ranges(facts: Facts) -> str:
    exercises = facts.study["exercises"].values()
    searched = any(one["kind"] == "search" for one in exercises)
    grids = any(one["kind"] != "search" for one in exercises)
    parts = ["every value of every grid"] if grids else []
    parts += ["the space of every search"] if searched else []
    told = f"The tables of hyperparameters list {joined(parts)}."
    chosen = " The best were chosen on validation data, never on test data."
    return told + (chosen if any(one["kind"] != "scaling" for one in exercises) else "")


def _runs(facts: Facts, tables: Tables) -> str:
    parts = []
    if facts.runs:
        trained = sum(run.seeds for run in facts.runs)
        parts.append(f"{counted(len(facts.runs), 'setting')}, {counted(trained, 'training')}")
    if facts.confirmations:
        again = sum(run.seeds for run in facts.confirmations)
        parts.append(f"{counted(again, 'training')} on confirmation seeds")
    rows = tables.get("runs")
    if rows is not None and len(rows):
        lost, failed = int(rows["diverged"].sum()), int((rows["status"] == "failed").sum())
        parts += [f"{counted(lost, 'seed')} diverged"] if lost else []
        parts += [f"{counted(failed, 'setting')} failed"] if failed else []
    if "trials" in tables:
        parts.append(f"{counted(len(tables['trials']), 'trial')} of searches")
    return "; ".join(parts)


def _measures(tables: Tables) -> str:
    found = []
    if "runs" in tables:
        parts = ("train", "val", "test")
        names = [f"{part}_{what}" for what in ("accuracy", "loss") for part in parts]
        names += tasks.more_figures(tables["runs"].columns)
        found = [words.figure(one) for one in names if tables["runs"][one].notna().any()]
    found += ["speed-up, efficiency"] if "scaling" in tables else []
    if "search" in tables and not found:
        found = ["validation and test accuracy and loss"]
    return f"{', '.join(found)}; all after the last epoch"


def _variation(facts: Facts) -> str:
    seeds = sorted({run.seeds for run in (*facts.runs, *facts.confirmations)})
    seeds = seeds or sorted({one.seeds for one in facts.searches})
    ends = " to ".join(str(one) for one in sorted({seeds[0], seeds[-1]})) if seeds else "0"
    return f"Means with 95 % intervals over {ends} seeds; times of scaling are geometric means."


def _average(facts: Facts) -> str:
    """Of a seed, without evaluation and start-up."""
    found: list[Any] = [
        seed.get("seconds") for one in facts.records for seed in one.get("seeds", ())
    ]
    times = [one for one in found if isinstance(one, int | float)]
    if not times:
        return NOT_RECORDED
    return f"{seconds(math.fsum(times) / len(times))} of training a seed"


def _software(facts: Facts) -> str:
    found = [
        f"{label} {joined(versions)}"
        for label, name in (("Python", "python"), ("PyTorch", "torch"))
        if (versions := facts.versions(name))
    ]
    return ", ".join(found) or NOT_RECORDED


def _when(facts: Facts) -> str:
    if facts.ends is None:
        return NOT_RECORDED
    first, last = facts.ends
    return f"runs finished on {first}" if first == last else f"runs finished {first} to {last}"
