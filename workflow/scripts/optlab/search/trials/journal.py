"""The journal of a search: the trials that its workers share.

Optuna's journal is a file to which every process appends, safely also on a network disk. It has no
heartbeat, so a worker tags its trials with its identity, and touches a file while it lives. Before
a worker takes a trial, it marks the running trials of dead workers as failed; those of a worker
that an earlier call has left and that still lives count. A live worker on another machine, wrongly
declared dead, finds its trial marked failed and abandons it. Work may be repeated; no trial is
counted twice.
"""

from __future__ import annotations

import glob
import json
import logging
import os
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from optlab import files
from optlab.machine import alive
from optlab.search.trials import mending
from optlab.study import space
from optlab.study.kinds.search import Search
from optlab.study.space import Spec, label
from optlab.training.batches import derived_seed

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
BEAT = 5.0  # seconds between two heartbeats
SILENCE = 60.0  # seconds without a heartbeat after which a worker counts as dead
PAUSE = 0.2  # seconds between two readings of the journal while other workers run the last trials

optuna.logging.get_logger("optuna").setLevel(logging.ERROR)


class LostError(Exception):
    """Another worker has declared this one dead and marked its trial as failed."""


class Journal:
    """The trials of a search."""

    def __init__(self, search: Search):
        path = search.journal()
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._search = path, search
        lock = JournalFileOpenLock(str(path))  # needs no links, which some file systems lack
        backend = JournalFileBackend(str(path), lock_obj=lock)
        direction = StudyDirection.MAXIMIZE if search.maximize else StudyDirection.MINIMIZE
        begin = {"study_name": search.path, "directions": [int(direction)]}
        with _held(lock):
            _shorten(path)
            mending.mend(path, begin, self._is_whole)
        # Each write takes the journal's lock; this second one is held over several writes.
        self._claim = JournalFileOpenLock(f"{path}.claim")
        self.study = optuna.create_study(
            storage=JournalStorage(backend),
            study_name=search.path,
            direction=direction,
            pruner=_pruner(search),
            load_if_exists=True,
        )

    def _is_whole(self, trial: FrozenTrial) -> bool:
        """Whether a finished trial has all that is read of it."""
        search = self._search
        try:
            facts = trial.user_attrs["run"]
            space.setting(
                search.space, search.network, search.batch_size, lambda name, _: trial.params[name]
            )
            values = [facts[search.metric]] if trial.state == TrialState.COMPLETE else []
            steps = [*trial.intermediate_values, facts["epochs"]]
            numbers = [*values, *trial.intermediate_values.values(), facts["seconds"]]
            known = facts["status"] in ("ok", "diverged") and all(isinstance(n, int) for n in steps)
            return known and all(isinstance(number, int | float) for number in numbers)
        except (KeyError, TypeError, ValueError):
            return False

    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """The trials that have ended, failed ones too, up to the last that the search asks for."""
        trials, finished = [], 0
        for trial in self.trials():
            if finished == self._search.trials:
                break
            if trial.state == TrialState.RUNNING:  # of a worker that has not noticed the end
                continue
            trials.append(trial)
            finished += trial.state in FINISHED
        return trials

    def claim(self, worker: Worker) -> Trial | None:
        """A trial for this worker; None if enough trials have finished.

        While others run the last trials it waits, because one of them may die.
        """
        while True:
            with _held(self._claim):
                self.fail_dead(worker)
                trials = self.trials()
                finished = sum(trial.state in FINISHED for trial in trials)
                running = sum(trial.state == TrialState.RUNNING for trial in trials)
                if finished >= self._search.trials:
                    return None
                if finished + running < self._search.trials:
                    # A sampler for each trial, seeded by its number: a worker that starts again
                    # does not repeat its draws, and no two workers draw the same.
                    self.study.sampler = _sampler(self._search, len(trials))
                    trial = self.study.ask()
                    trial.set_user_attr("worker", worker.tag)
                    return trial
            time.sleep(PAUSE)

    def fail_dead(self, worker: Worker) -> None:
        """Mark running trials of dead workers as failed."""
        for trial in self.trials():
            if trial.state == TrialState.RUNNING:
                tag = trial.user_attrs.get("worker")
                # A trial has no tag if its worker died between the two writes of a claim.
                if tag is None or worker.outlived(tag):
                    with suppress(ValueError, UpdateFinishedTrialError):  # it has ended since
                        self.study.tell(trial.number, state=TrialState.FAIL)

    def tell(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        """End a trial. Raises LostError if another worker has ended it."""
        try:
            self.study.tell(trial, value, state=state)
        except (ValueError, UpdateFinishedTrialError) as error:
            if self.trials()[trial.number].state == TrialState.RUNNING:
                raise
            raise LostError from error


class Worker:
    """The identity and heartbeat of a worker, by which others see whether it lives.

    Its number is for tables only: a worker that an earlier call has left may have the same.
    """

    def __init__(self, number: int, journal: Path):
        self._folder, self._files = journal.parent, f"{glob.escape(journal.stem)}.alive-*"
        self._file = journal.with_name(f"{journal.stem}.alive-{uuid.uuid4().hex[:12]}")
        self.tag = {"number": number, "token": self._file.name, **alive.identity()}
        self._end = threading.Event()

    def __enter__(self) -> Worker:
        self._touch()
        threading.Thread(target=self._beat, daemon=True).start()
        for file in self._folder.glob(self._files):
            with suppress(OSError, ValueError, KeyError, TypeError):
                if self.outlived(files.read_json(file)):
                    file.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._file.unlink(missing_ok=True)

    def outlived(self, tag: dict[str, Any]) -> bool:
        """Whether the worker with this tag is dead: its process has ended, or it is silent.

        Silence is asked only where its process cannot be seen: a live one is never declared dead.
        """
        lives = alive.lives(tag)
        if lives is False:
            return True
        # Both times are set by the file system, so the clocks of the machines may differ.
        self._touch()
        try:
            other = (self._folder / tag["token"]).stat().st_mtime
        except FileNotFoundError:  # it has ended in a process that goes on
            return True
        return lives is None and self._file.stat().st_mtime - other > SILENCE

    def _beat(self) -> None:
        while not self._end.wait(BEAT):
            self._touch()

    def _touch(self) -> None:
        if not self._end.is_set():
            with suppress(OSError):
                self._file.write_text(json.dumps(self.tag), encoding="utf-8")


def suggest(trial: Trial, name: str, spec: Spec) -> Any:
    """The value that Optuna chooses for a parameter."""
    if spec["type"] == "categorical":
        return trial.suggest_categorical(name, [label(choice) for choice in spec["choices"]])
    if spec["type"] == "int":
        return trial.suggest_int(name, spec["low"], spec["high"], log=spec["log"])
    return trial.suggest_float(name, spec["low"], spec["high"], log=spec["log"])


def _sampler(search: Search, number: int) -> optuna.samplers.BaseSampler:
    options = dict(search.sampler)
    name = options.pop("name")
    seed = derived_seed("sampler", search.seed, number) % 2**32
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed, **options)
    # constant_liar: running trials count as bad, so that several workers try different settings.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # of options that the user has set
        return optuna.samplers.TPESampler(seed=seed, constant_liar=True, **options)


def _pruner(search: Search) -> optuna.pruners.BasePruner:
    options = dict(search.pruner)
    name = options.pop("name")
    if name == "median":
        return optuna.pruners.MedianPruner(**options)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(max_resource=search.epochs, **options)
    if name == "successive_halving":
        return optuna.pruners.SuccessiveHalvingPruner(**options)
    return optuna.pruners.NopPruner()


@contextmanager
def _held(lock: JournalFileOpenLock) -> Iterator[None]:
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _shorten(path: Path) -> None:
    """Remove an incomplete last line, left by a crash, past which Optuna would not read."""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
