"""A worker of a search: it runs trials until the search has as many as it asks for."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optlab.machine import devices, hardware
from optlab.search.trials import trial as trials
from optlab.search.trials.journal import Journal, LostError, Worker
from optlab.search.trials.journal import suggest as suggest_value
from optlab.study import space
from optlab.study.kinds.search import Search


def work(search: Search, number: int) -> dict[str, Any]:
    """Run trials until the search has them all; returns the record of this worker."""
    data = trials.trial_data(search, trials.load(search))
    journal = Journal(search, search.journal())
    states: Counter[str] = Counter()
    with Worker(number, journal.path) as worker:
        while trial := journal.claim(worker):
            try:
                state = run(search, journal, trial, data)
            except LostError:
                state = "lost"
            states[state] += 1
            print(_line(journal.trials()[trial.number], state, search), flush=True)
    return {
        "worker": number,
        "trials": search.trials,
        "journal": journal.path.name,
        "states": dict(sorted(states.items())),
        "hardware": hardware.hardware(devices.resolve(search.device)),
        "versions": hardware.versions(),
        "usage": hardware.usage(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def run(search: Search, journal: Any, trial: Any, data: Any) -> str:
    """Run one trial to its end, or until the pruner stops it; returns its state.

    A trial that diverges is stopped like one that is pruned, and the search goes on.
    """
    facts: dict[str, Any] = {"epochs": 0, "seconds": 0.0, "status": "ok"}

    def report(row: Any) -> None:
        facts["seconds"] = round(row.seconds, 3)
        if row.epoch == 0 and row.status == "ok":
            return
        if row.status != "ok":
            facts["status"] = "diverged"
            raise optuna.TrialPruned
        facts.update(epochs=row.epoch, val_loss=row.val_loss, val_accuracy=row.val_accuracy)
        trial.report(getattr(row, search.metric), row.epoch)
        if row.epoch < search.epochs and trial.should_prune():
            raise optuna.TrialPruned

    def suggest(name: str, spec: space.Spec) -> Any:
        return suggest_value(trial, name, spec)

    def end(state: TrialState, value: float | None = None) -> str:
        trial.set_user_attr("run", facts)
        journal.tell(trial, state, value)
        return state.name.lower()

    try:
        chosen = space.setting(search.space, search.network, search.batch_size, suggest)
        seed = trials.trial_seed(search)
        trials.train(search, chosen, data, seed, report, search.epoch_examples)
        return end(TrialState.COMPLETE, facts[search.metric])
    except optuna.TrialPruned:
        return end(TrialState.PRUNED)
    except UpdateFinishedTrialError as error:
        raise LostError from error
    except BaseException:
        journal.tell(trial, TrialState.FAIL)
        raise


def _line(trial: Any, state: str, search: Search) -> str:
    """What the log says of a trial."""
    facts = trial.user_attrs.get("run", {})
    value = facts.get(search.metric)
    parts = [
        f"trial {trial.number} {state if facts.get('status') != 'diverged' else 'diverged'}",
        f"after {facts.get('epochs', 0)} epochs",
        *([f"{search.metric} {value:.4f}"] if value is not None else []),
        ", ".join(f"{name} {show(value)}" for name, value in trial.params.items()),
        f"{facts.get('seconds', 0):.1f} s",
    ]
    return "  ".join(parts)


def show(value: Any) -> str:
    """A parameter as tables and logs write it: four digits say enough of a float."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
