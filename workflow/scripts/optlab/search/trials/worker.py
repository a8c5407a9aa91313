"""A worker of a search, which runs trials until the search has enough."""

import functools
import time
from collections import Counter
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from optlab.machine import devices, hardware
from optlab.search.trials import trial as trials
from optlab.search.trials.journal import Journal, LostError, Worker, suggest
from optlab.study import space
from optlab.study.kinds.search import Search


def work(search: Search, number: int) -> dict[str, Any]:
    """Run trials until the search has enough; returns the record of this worker."""
    data, journal = trials.trial_data(search), Journal(search)
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
    """Run one trial until it ends or is pruned; returns its state.

    A trial that diverges counts as pruned, and the search continues.
    """
    facts: dict[str, Any] = {"epochs": 0, "seconds": 0.0, "status": "ok"}

    def report(row: Any) -> None:
        facts["seconds"] = round(row.seconds, 3)
        if row.status != "ok":
            facts["status"] = "diverged"
            raise optuna.TrialPruned
        if row.epoch == 0:
            return
        facts.update(epochs=row.epoch, val_loss=row.val_loss, val_accuracy=row.val_accuracy)
        trial.report(getattr(row, search.metric), row.epoch)
        if row.epoch < search.epochs and trial.should_prune():
            raise optuna.TrialPruned

    def end(state: TrialState, value: float | None = None) -> str:
        trial.set_user_attr("run", facts)
        journal.tell(trial, state, value)
        return state.name.lower()

    try:
        draw = functools.partial(suggest, trial)
        chosen = space.setting(search.space, search.network, search.batch_size, draw)
        trials.train(search, chosen, data, report)
        return end(TrialState.COMPLETE, facts[search.metric])
    except optuna.TrialPruned:
        return end(TrialState.PRUNED)
    except UpdateFinishedTrialError as error:
        raise LostError from error
    except BaseException:
        journal.tell(trial, TrialState.FAIL)
        raise


def _line(trial: Any, state: str, search: Search) -> str:
    """The line of the log about a trial, with four digits of each parameter."""
    facts = trial.user_attrs.get("run", {})
    value = facts.get(search.metric)
    shown = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in trial.params.items()}
    parts = [
        f"trial {trial.number} {state if facts.get('status') != 'diverged' else 'diverged'}",
        f"after {facts.get('epochs', 0)} epochs",
        *([f"{search.metric} {value:.4f}"] if value is not None else []),
        ", ".join(f"{name} {text}" for name, text in shown.items()),
        f"{facts.get('seconds', 0):.1f} s",
    ]
    return "  ".join(parts)
