"""The end of a search: its best setting trained anew, and what pruning may have cost.

In:  the study (--study), one of its search exercises and one of that exercise's data sets, whose
     workers have all ended.
Out: in --output-folder: best/metrics.tsv and best/run.json (the best setting, trained for every
     seed of the study, its test figures among them), and trials.json (every trial; also a sample
     of the trials that were stopped early, trained to their end).

What an earlier call left and is still the same is kept and not trained again. A trial that is still
marked as running belongs to a worker that was killed: it is marked as failed.

Example:
  retrain.py --study config/config.yaml --exercise search --dataset digits
"""

from __future__ import annotations

import json
import random
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import (
    command_line,
    devices,
    grid,
    metrics,
    optimizers,
    record,
    search_plan,
    search_space,
    study,
)
from optlab.errors import UserError, in_one_line
from optlab.search_plan import Search
from optlab.search_space import Setting
from search import HERE, find

Trial = dict[str, Any]
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, None, exercise=True, dataset=True)
    p.add_argument("--output-folder", type=Path, help="where the results go (the search's folder)")
    arguments = p.parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    search = find(study.load(arguments.study), arguments.exercise, arguments.dataset)
    devices.take_for(search.device)
    folder = arguments.output_folder or Path(search.folder)
    journal = search.journal(HERE)
    trials = read(search, journal)
    best = best_of(search, trials)
    retrain_best(search, best, folder / "best")
    again = retrain_pruned(search, trials, best, earlier(folder, journal))
    facts = {
        "journal": journal.name,
        "metric": search.metric,
        "epochs": search.epochs,
        "best": best["number"],
        "retrained_pruned": again,
        "trials": trials,
    }
    metrics.write_atomically(folder / "trials.json", json.dumps(facts) + "\n")
    return 0


def read(search: Search, path: Path) -> list[Trial]:
    """The trials that the search asks for, those of dead workers marked as failed.

    Raises:
        UserError: no worker has run.
    """
    if not path.is_file():
        raise UserError(f"there is no journal {path}: let search.py run trials first")
    from optlab import search_journal

    journal = search_journal.Journal(search, path)
    journal.fail_dead()
    return [_trial(search, trial) for trial in journal.counted()]


def _trial(search: Search, trial: Any) -> Trial:
    """A trial as plain data; its value is that of its last epoch, whatever its state."""
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


def best_of(search: Search, trials: Sequence[Trial]) -> Trial:
    """The complete trial with the best value.

    Raises:
        UserError: no trial has come to its end.
    """
    complete = [trial for trial in trials if trial["state"] == "complete"]
    if not complete:
        raise UserError(
            f"none of the {len(trials)} trials of '{search.exercise}' came to its end: they were "
            "stopped early or diverged; allow more trials, or a gentler space or pruner"
        )
    sign = 1 if search.maximize else -1
    return max(complete, key=lambda trial: (sign * trial["value"], -trial["number"]))


def setting_of(search: Search, trial: Trial) -> Setting:
    """What a trial trained."""
    parameters = trial["parameters"]
    return search_space.setting(
        search.space, search.network, search.batch_size, lambda name, spec: parameters[name]
    )


def retrain_best(search: Search, best: Trial, folder: Path) -> None:
    """Train the best setting for every seed, none of which any trial used, and test it."""
    from optlab import search_trial

    chosen = setting_of(search, best)
    examples = search.epoch_examples if search.retrain == "budget" else None
    device = search_trial.device_of(search)
    settings = {
        **vars(chosen),
        "network": search.network,
        "epochs": search.epochs,
        "epoch_examples": examples,
        "precision": search.precision,
        "device": device,
        "threads": search.threads,
    }
    files: list[str | Path] = [*(HERE / name for name in search_plan.RETRAINING_CODE), search.data]
    mark = record.fingerprint(settings, files)
    rows, seeds = record.kept(folder, mark, search.seeds)
    data = search_trial.load(search)
    done = {entry["seed"] for entry in seeds}
    for seed in sorted(set(range(search.seeds)) - done):
        outcome = search_trial.train(search, chosen, data, seed, epoch_examples=examples)
        rows += [{**identity(search, chosen, device, seed), **vars(r)} for r in outcome.evaluations]
        last = outcome.evaluations[-1]
        seeds.append({"seed": seed, "status": last.status, "seconds": round(outcome.seconds, 6)})
        print(f"best, seed {seed}: test accuracy {last.test_accuracy}", flush=True)
    facts = {
        "fingerprint": mark,
        "trial": best["number"],
        "settings": settings,
        "command": shlex.join(["python", "workflow/scripts/retrain.py", *sys.argv[1:]]),
        "versions": record.versions(),
        "hardware": record.hardware(device),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seeds": seeds,
    }
    record.write(folder, rows, facts)


def identity(search: Search, chosen: Setting, device: str, seed: int) -> metrics.Row:
    """The columns of a row that name the run and its seed; knobs as in the runs of a grid."""
    entry = optimizers.OPTIMIZERS[chosen.optimizer]
    shown = {
        knob: grid.text(value)
        for knob, value in chosen.knobs.items()
        if knob in optimizers.SHOWN or value != entry.knobs.get(knob)
    }
    return {
        "exercise": search.exercise,
        "dataset": search.dataset,
        "model": search.network,
        "optimizer": chosen.optimizer,
        "batch_size": chosen.batch_size,
        "gpus": 1,
        "device": device,
        "seed": seed,
        **shown,
    }


def earlier(folder: Path, journal: Path) -> dict[int, Trial]:
    """Pruned trials that an earlier call has trained to their end, by number."""
    try:
        facts = json.loads((folder / "trials.json").read_text(encoding="utf-8"))
        same = facts["journal"] == journal.name
        return {entry["number"]: entry for entry in facts["retrained_pruned"]} if same else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def retrain_pruned(
    search: Search, trials: Sequence[Trial], best: Trial, known: dict[int, Trial]
) -> list[Trial]:
    """A sample of the pruned trials trained to their end, each exactly as the trial began."""
    from optlab import search_trial

    # Each trial has a rank of its own, so that more trials exchange little of the sample.
    pruned = [t for t in trials if t["state"] == "pruned" and t["status"] == "ok"]
    pruned.sort(key=lambda t: random.Random(f"{search.seed}/{t['number']}").random())
    data = search_trial.trial_data(search, search_trial.load(search))
    found = []
    for trial in pruned[: search.retrain_pruned]:
        entry = known.get(trial["number"])
        if entry is None:
            outcome = search_trial.train(
                search,
                setting_of(search, trial),
                data,
                search_trial.trial_seed(search),
                epoch_examples=search.epoch_examples,
            )
            last = outcome.evaluations[-1]
            value = getattr(last, search.metric) if last.status == "ok" else None
            path = [[row.epoch, getattr(row, search.metric)] for row in outcome.evaluations[1:]]
            entry = {"number": trial["number"], "value": value, "intermediate": path}
            print(f"pruned trial {trial['number']} to its end: {search.metric} {value}", flush=True)
        won = entry["value"] is not None and _better(search, entry["value"], best["value"])
        found.append({**entry, "would_have_won": won})
    return sorted(found, key=lambda entry: entry["number"])


def _better(search: Search, value: float, other: float) -> bool:
    return value > other if search.maximize else value < other


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
