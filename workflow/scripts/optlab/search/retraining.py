"""The end of a search: the best setting trained again, and pruned trials trained to their end."""

import json
import math
import random
import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from optlab import files, triggers
from optlab.errors import UserError
from optlab.machine import hardware
from optlab.runs import record
from optlab.search.trials import trial as one_trial
from optlab.search.trials.journal import Journal, Worker
from optlab.study import space
from optlab.study.kinds.search import Search, statistics
from optlab.study.space import Setting
from optlab.training import loop

Trial = dict[str, Any]
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def retrain(search: Search, folder: Path) -> None:
    """Train the best setting and a sample of pruned trials; write ``trials.json`` and ``best/``.

    Where no trial came to its end there is no best one, which is the result of the search.

    Raises:
        UserError: no worker has run.
    """
    trials = read(search)
    best = best_of(search, trials)
    retrain_best(search, best, folder / "best")
    known = earlier(search, folder)
    sample = retrain_pruned(search, trials, best, known)
    for entry in sample:
        known.pop(entry["number"], None)
    facts = {
        "journal": search.journal().name,
        "metric": search.metric,
        "epochs": search.epochs,
        "best": best and best["number"],
        "retrained_pruned": sample,
        "retrained_before": [*known.values()],  # no longer in the sample, kept for a later call
        "trials": trials,
    }
    files.write(folder / "trials.json", json.dumps(facts) + "\n")
    print(statistics(facts), flush=True)


def read(search: Search) -> list[Trial]:
    """The trials that the search asks for; those of dead workers are marked as failed.

    Raises:
        UserError: no worker has run.
    """
    path = search.journal()
    if not path.is_file():
        raise UserError(f"there is no journal {path}: let search.py run trials first")
    journal = Journal(search)
    with Worker(-1, path) as reader:
        journal.fail_dead(reader)
    return [_trial(search, trial) for trial in journal.counted()]


def _trial(search: Search, trial: Any) -> Trial:
    """A trial as plain data. Its value is that of its last epoch, also if it was pruned."""
    facts = trial.user_attrs.get("run", {})
    worker = trial.user_attrs.get("worker", {})
    return {
        "number": trial.number,
        "state": STATES[trial.state.name],
        "status": facts.get("status", "lost"),
        "value": facts.get(search.metric),
        "val_loss": facts.get("val_loss"),
        "val_accuracy": facts.get("val_accuracy"),
        "epochs": facts.get("epochs", len(trial.intermediate_values)),
        "seconds": facts.get("seconds"),
        "worker": worker.get("number"),
        "host": worker.get("host"),
        "parameters": trial.params,
        "intermediate": sorted(trial.intermediate_values.items()),
    }


def best_of(search: Search, trials: Sequence[Trial]) -> Trial | None:
    """The complete trial with the best value; None if no trial is complete."""
    complete = [trial for trial in trials if trial["state"] == "complete"]
    if not complete:
        print(
            f"none of the {len(trials)} trials of '{search.exercise}' reached its end: they were "
            "stopped early or diverged; allow more trials, or change the space or the pruner"
        )
        return None
    return max(complete, key=lambda trial: (_score(search, trial["value"]), -trial["number"]))


def _score(search: Search, value: float) -> float:
    """A value of the metric such that more is better."""
    return value if search.maximize else -value


def setting_of(search: Search, trial: Trial) -> Setting:
    """The setting that a trial trained."""
    parameters = trial["parameters"]
    return space.setting(
        search.space, search.network, search.batch_size, lambda name, spec: parameters[name]
    )


def retrain_best(search: Search, best: Trial | None, folder: Path) -> None:
    """Train and test the best setting for every seed; no trial has used these seeds.

    Without a best one, the metrics have no rows. What it replaces is another setting's, which is
    best again when the trials are as many as then.
    """
    if best is None:
        record.write(folder, [], {"fingerprint": None, "trial": None, "seeds": []})
        return
    examples = search.epoch_examples if search.retrain == "budget" else None
    run = one_trial.run_of(search, setting_of(search, best), examples)
    code = triggers.digest("retrain", *search.parts)
    mark = record.fingerprint(run.fields(), code, [search.data])
    rows, seeds = _exchanged(folder, best["number"], mark)
    data = one_trial.load(search)
    for seed in sorted(set(range(search.seeds)) - {entry["seed"] for entry in seeds}):
        (outcome,) = loop.train(run, data, [seed])
        same = record.identity(run, run.device, seed)
        rows += [{**same, **row.cells()} for row in outcome.evaluations]
        last = outcome.evaluations[-1]
        seeds.append({"seed": seed, "status": last.status, "seconds": round(outcome.seconds, 6)})
        print(f"best, seed {seed}: test accuracy {last.test_accuracy}", flush=True)
    facts = {
        "fingerprint": mark,
        "trial": best["number"],
        "settings": run.fields(),
        "command": shlex.join(["python", "workflow/scripts/retrain.py", *sys.argv[1:]]),
        "versions": hardware.versions(),
        "hardware": hardware.hardware(run.device),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seeds": seeds,
    }
    record.write(folder, rows, facts)


def _exchanged(folder: Path, number: int, mark: str) -> Any:
    """What is kept of the retraining of this trial; that of another trial moves beside it."""
    if (found := record.kept(folder, mark))[1]:
        return found
    with suppress(OSError, ValueError, KeyError, TypeError):
        facts = files.read_json(folder / "run.json")
        other, rows = facts["trial"], record.kept(folder, facts["fingerprint"])[0]
        if rows and other != number:
            record.write(folder.with_name(f"{folder.name}-trial-{other}"), rows, facts)
    return record.kept(folder.with_name(f"{folder.name}-trial-{number}"), mark)


def earlier(search: Search, folder: Path) -> dict[int, Trial]:
    """By number, the pruned trials that an earlier call has trained to their end."""
    try:
        facts = files.read_json(folder / "trials.json")
        if facts["journal"] != search.journal().name:
            return {}
        found = [*facts.get("retrained_before", ()), *facts["retrained_pruned"]]
        needed = {"value", "intermediate"}
        return {entry["number"]: entry for entry in found if needed <= entry.keys()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def retrain_pruned(
    search: Search, trials: Sequence[Trial], best: Trial | None, known: dict[int, Trial]
) -> list[Trial]:
    """A sample of the pruned trials, each repeated and trained to its end."""
    # Ranked by a random number of each trial, so that more trials change little of the sample.
    pruned = [t for t in trials if t["state"] == "pruned" and t["status"] == "ok"]
    pruned.sort(key=lambda t: random.Random(f"{search.seed}/{t['number']}").random())
    data = one_trial.trial_data(search)
    found = []
    for trial in pruned[: search.retrain_pruned]:
        entry = known.get(trial["number"])
        if entry is None:
            rows = one_trial.train(search, setting_of(search, trial), data).evaluations
            value = getattr(rows[-1], search.metric) if rows[-1].status == "ok" else None
            path = [[row.epoch, getattr(row, search.metric)] for row in rows[1:]]
            entry = {"number": trial["number"], "value": value, "intermediate": path}
            print(f"pruned trial {trial['number']} to its end: {search.metric} {value}", flush=True)
        value = entry["value"]
        first = -math.inf if best is None else _score(search, best["value"])
        won = value is not None and _score(search, value) > first
        found.append({**entry, "would_have_won": won})
    return sorted(found, key=lambda entry: entry["number"])
