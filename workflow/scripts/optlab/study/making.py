"""The runs of an exercise: what its section says of all of them, and what its grid varies."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optlab import custom
from optlab.catalogue import schedules, tasks
from optlab.catalogue.datasets import Definition
from optlab.data import identity, known
from optlab.study.carried import carried
from optlab.study.run import Run
from optlab.training.settings import USUAL, VARIABLE

NONE = "none"  # of keep_weights and log in a study


def maker(study: Mapping[str, Any], name: str) -> Callable[..., Run]:
    """A function that makes runs of an exercise from what differs between them."""
    exercise = study["exercises"][name]
    shared = {"study": study["study"], "exercise": name, **_shared(exercise)}
    vary = [what for what in VARIABLE if what in exercise.get("vary", USUAL)]
    learned = {
        one: _learned(exercise, one, study["datasets"][one], vary) for one in exercise["datasets"]
    }
    own = {n: custom.own((one["loss"], *(one["metrics"] or ()))) for n, one in learned.items()}
    synchronized = exercise.get("sync_batch_norm", False)

    def make(
        dataset: str,
        model: str,
        optimizer: str,
        knobs: Mapping[str, Any],
        schedule: str = schedules.CONSTANT,
        **settings: Any,
    ) -> Run:
        options = dict(study["models"].get(model, {"network": model}))
        network = options.pop("network")
        return Run(
            dataset=dataset,
            model=model,
            network=network,
            optimizer=optimizer,
            knobs=knobs,
            schedule=schedule,
            vary=vary,
            **learned[dataset],
            **carried(network, optimizer, knobs, options, schedule, own[dataset]),
            # Of one process, a run is the same with and without it.
            sync_batch_norm=synchronized and settings.get("gpus", 1) > 1,
            **(settings | shared),
        )

    return make


def _learned(
    exercise: Mapping[str, Any], name: str, definition: Definition, vary: Sequence[str]
) -> dict[str, Any]:
    """What runs on a data set learn from: its files, and loss and metrics that are not usual."""
    drawn = known.drawn(definition) if "subset" in vary else {}
    prepared = identity.whole(definition) if "subset" in vary else definition
    metric, metrics = exercise.get("metric", "auto"), exercise.get("metrics")
    if metric not in ("auto", "loss", "accuracy"):
        usual = tasks.TASKS[known.source(definition).task].metrics
        metrics = list(dict.fromkeys([*(usual if metrics is None else metrics), metric]))
    data = identity.prepared_path(name, prepared)
    return {"data": data, **drawn, "loss": exercise.get("loss"), "metrics": metrics}


def _shared(exercise: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that all runs of an exercise have, and what they write beside their figures."""
    fixed = ("seeds", "device", "threads", "precision", "evaluate_every", "train_loss_examples")
    beside = {"keep_weights": "keep_weights", "log": "log_to"}
    written = {
        field: exercise[key] for key, field in beside.items() if exercise.get(key, NONE) != NONE
    }
    return {**{key: exercise[key] for key in fixed}, **written}
