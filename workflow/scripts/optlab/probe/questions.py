"""What of a study is to be tried: each network on each data set, and each optimizer with both."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

from optlab import custom, triggers
from optlab.catalogue.datasets import BUILT_IN
from optlab.errors import Key
from optlab.study import table
from optlab.study.carried import carried
from optlab.study.kinds import search
from optlab.study.run import Run

# On what an answer depends: fields of a run.
_NETWORK = (
    *("network_builder", "network_options", "data", "precision", "device", "gpus", "packages"),
    *("batch_size", "vary", "subset", "subset_validation", "sync_batch_norm"),
)
_JUDGED = ("loss", "metrics")
_USUAL = (None, "auto", "loss", "accuracy")  # losses and metrics that need no trial
_CLASS = ("optimizer_class", "scheduler", "scheduler_options")
_ARGUMENTS = ("arguments", "base", "no_weight_decay")


@dataclass(frozen=True)
class Question:
    """One thing to try.

    Attributes:
        stage: ``data``, which are read; ``network``, with the usual loss; ``loss``, with the
            metrics, where they are named; ``optimizer``, which takes steps; or ``arguments``, which
            are further ones of an optimizer that is only built.
        run: with which it is tried.
        key: of the study, where what is refused stands.
        above: the question that must have been answered well before; None if there is none.
    """

    stage: str
    run: Run
    key: Key
    above: "Question | None" = None

    @cached_property
    def mark(self) -> str:
        """A hash of everything that the answer depends on."""
        if self.stage == "data":  # whose name is a hash of their content
            return hashlib.sha256(f"data {self.run.data}".encode()).hexdigest()[:24]
        more = {"network": (), "loss": _JUDGED}.get(self.stage, (*_CLASS, *_ARGUMENTS))
        fields = (*_NETWORK, *more)
        given = {name: getattr(self.run, name) for name in fields}
        code = f"{triggers.digest('train', *self.run.parts)} {_torch()}"
        text = json.dumps([self.stage, given, code], sort_keys=True)
        found = hashlib.sha256(text.encode())
        for file in self.run.code:
            found.update(hashlib.sha256(Path(file).read_bytes()).digest())
        return found.hexdigest()[:24]


@cache  # a study may have thousands of questions
def _torch() -> str:
    return metadata.version("torch")


def of_study(study: Mapping[str, Any], runs: Iterable[Run] | None = None) -> list[Question]:
    """The questions of a resolved study, each once, in its order.

    ``runs`` are its run table, where that has been made already.

    An answer that rests on no code of the user's, nor of another package, is known from the tests
    of this one. It is asked once for each network and optimizer, on the first data set.
    """
    found: dict[str, Question] = {}
    fields: tuple[str, ...]
    for run, places in _placed(study, table.runs(study) if runs is None else runs):
        judged = run
        if "loss" in places:
            run = replace(run, loss=None, metrics=None)
        data = _once(found, "data", run, places["data"], None, ("data",))
        plain = replace(run, optimizer="sgd", **_plain(run))
        network = _once(found, "network", plain, places["network"], data, _NETWORK)
        if "loss" in places:
            named = replace(plain, loss=judged.loss, metrics=judged.metrics)
            fields = ("exercise", *_NETWORK, *_JUDGED)  # each exercise is told of its own
            _once(found, "loss", named, places["loss"], network, fields)
        own = custom.is_custom(run.optimizer)
        fields = (*_NETWORK, *_CLASS) if own else ("network_builder", *_CLASS)
        first = _once(found, "optimizer", run, places["optimizer"], network, fields)
        if own and first.run is not run:
            fields = (*_NETWORK, *_CLASS, *_ARGUMENTS)
            if _text(first.run, fields) != _text(run, fields):
                _once(found, "arguments", run, places["optimizer"], first, fields)
    return list(found.values())


def _placed(study: Mapping[str, Any], runs: Iterable[Run]) -> Iterator[tuple[Run, dict[str, Key]]]:
    """Runs of the study and of its searches, with the keys of their networks and optimizers."""
    for run in runs:
        exercise: Key = ("exercises", run.exercise)
        models = study["exercises"][run.exercise]["models"]
        network: Key = ("models", run.model)
        if run.model not in study["models"]:
            network = (*exercise, "models", models.index(run.model))
        one = study["exercises"][run.exercise]
        named = [key for key in ("loss", "metrics", "metric") if one.get(key) not in _USUAL]
        of_data: Key = ("datasets", run.dataset)
        if run.dataset in BUILT_IN:
            of_data = (*exercise, "datasets", one["datasets"].index(run.dataset))
        yield (
            run,
            {
                "data": of_data,
                "network": network,
                "optimizer": (*exercise, "optimizers", run.optimizer),
                **({"loss": (*exercise, named[0])} if named else {}),
            },
        )
    for one in search.every(study):
        place: Key = ("exercises", one.exercise)
        for name in one.space["optimizer"]["choices"]:
            run = Run(
                **{key: getattr(one, key) for key in _OF_SEARCH},
                model=one.network,
                optimizer=name,
                knobs={},
                **carried(one.network, name, {}),
            )
            keys = {
                "data": (*place, "datasets"),
                "network": (*place, "network"),
                "optimizer": (*place, "space", "optimizer"),
            }
            yield run, keys


_OF_SEARCH = (
    *("study", "exercise", "dataset", "data", "network", "batch_size", "epochs", "device"),
    *("precision", "threads"),
)


def _plain(run: Run) -> dict[str, Any]:
    """The optimizer with which a network is tried."""
    found = carried(run.network, "sgd", {"lr": 1e-6}, run.network_options)
    return {**found, "knobs": {"lr": 1e-6}, "schedule": "constant", "packages": run.packages}


def _once(
    found: dict[str, Question],
    stage: str,
    run: Run,
    key: Key,
    above: Question | None,
    fields: tuple[str, ...],
) -> Question:
    """The question about these fields of a run; a new one if nothing has asked it."""
    return found.setdefault(f"{stage} {_text(run, fields)}", Question(stage, run, key, above))


def _text(run: Run, fields: tuple[str, ...]) -> str:
    return json.dumps([getattr(run, name) for name in fields], sort_keys=True)
