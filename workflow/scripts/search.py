"""One worker of a search: it runs trials until the search has as many as it asks for.

In:  the study (--study), one of its search exercises and one of that exercise's data sets.
Out: the journal of the search, which all of its workers share and continue (Optuna's; its name
     says by which space, budget, data and code), and a record of this worker (--output).

Several workers may run at a time, on one machine or on several that share a disk; each needs a
number of its own (--worker). One that is killed loses the trial it was running and nothing else.

Example:
  search.py --study config/config.yaml --exercise search --dataset digits --worker 0
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import command_line, devices, metrics, record, search_plan, search_space, study
from optlab.errors import UserError, in_one_line
from optlab.search_plan import Search

HERE = Path(__file__).parent


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, None, exercise=True, dataset=True)
    p.add_argument("--worker", type=int, default=0, help="number of this worker (0)")
    p.add_argument("--output", type=Path, help="record of this worker (default: by its number)")
    arguments = p.parse_args(words)
    signal.signal(signal.SIGTERM, _interrupt)
    search = find(study.load(arguments.study), arguments.exercise, arguments.dataset)
    devices.take_for(search.device)
    output = arguments.output or Path(search.folder, f"worker-{arguments.worker}.json")
    facts = work(search, arguments.worker)
    metrics.write_atomically(output, json.dumps(facts, indent=1) + "\n")
    return 0


def find(resolved: dict[str, Any], exercise: str, dataset: str) -> Search:
    """The search that the command line names.

    Raises:
        UserError: there is none, or its data set has not been prepared.
    """
    searches = {(s.exercise, s.dataset): s for s in search_plan.searches(resolved)}
    if (exercise, dataset) not in searches:
        known = ", ".join(" on ".join(names) for names in searches) or "none"
        raise UserError(f"there is no search '{exercise}' on '{dataset}'; the study has {known}")
    found = searches[exercise, dataset]
    if not Path(found.data).is_file():
        raise UserError(f"the data set is not prepared: snakemake {found.data}")
    return found


def work(search: Search, number: int) -> dict[str, Any]:
    """Run trials until the search has them all; returns the record of this worker."""
    from optlab import search_journal, search_trial

    data = search_trial.trial_data(search, search_trial.load(search))
    journal = search_journal.Journal(search, search.journal(HERE))
    states: Counter[str] = Counter()
    with search_journal.Worker(number, journal.path) as worker:
        while trial := journal.claim(worker):
            try:
                state = run(search, journal, trial, data)
            except search_journal.LostError:
                state = "lost"
            states[state] += 1
            print(_line(journal.trials()[trial.number], state, search), flush=True)
    return {
        "worker": number,
        "trials": search.trials,
        "journal": journal.path.name,
        "states": dict(sorted(states.items())),
        "hardware": record.hardware(search_trial.device_of(search)),
        "versions": record.versions(),
        "usage": record.usage(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def run(search: Search, journal: Any, trial: Any, data: Any) -> str:
    """Run one trial to its end, or until the pruner stops it; returns its state.

    A trial that diverges is stopped like one that is pruned, and the search goes on.
    """
    import optuna
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    from optlab import search_journal, search_trial

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

    def suggest(name: str, spec: search_space.Spec) -> Any:
        return search_journal.suggest(trial, name, spec)

    def end(state: TrialState, value: float | None = None) -> str:
        trial.set_user_attr("run", facts)
        journal.tell(trial, state, value)
        return state.name.lower()

    try:
        chosen = search_space.setting(search.space, search.network, search.batch_size, suggest)
        seed = search_trial.trial_seed(search)
        search_trial.train(search, chosen, data, seed, report, search.epoch_examples)
        return end(TrialState.COMPLETE, facts[search.metric])
    except optuna.TrialPruned:
        return end(TrialState.PRUNED)
    except UpdateFinishedTrialError as error:
        raise search_journal.LostError from error
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


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
