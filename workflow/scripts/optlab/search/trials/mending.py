"""Mending a journal that a disk or a crash has damaged: every trial that can be read is kept.

Optuna stops at the first line that it cannot read, and a line that is gone shifts the numbers of
all trials after it. Here lines that cannot be read are left out, trials whose beginning is gone
get a new one, so that they fail, and so do finished trials of which something is missing.
"""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult
from optuna.trial import FrozenTrial, TrialState

from optlab import files

Log = dict[str, Any]

SHORTEST = 60  # bytes of a line that begins a trial
_ENDS = (TrialState.COMPLETE, TrialState.PRUNED)


def mend(path: Path, study: Log, whole: Callable[[FrozenTrial], bool]) -> None:
    """Rewrite a journal without what is damaged; the damaged file is kept beside it.

    Args:
        path: the journal, which no other process may write meanwhile.
        study: what begins a journal of this search, ``study_name`` and ``directions``.
        whole: whether a finished trial has all that is read of it.
    """
    content = path.read_bytes()
    kept = _Kept(study)
    for line in content.split(b"\n")[:-1]:  # a crash may leave an incomplete last line
        kept.add(line)
    trials = kept.trials()
    spoilt = {t._trial_id for t in trials if t.state in _ENDS and not whole(t)}
    if not (kept.damaged or spoilt):
        return
    logs = [log for log in kept.logs if not (_is_end(log) and log["trial_id"] in spoilt)]
    copy = path.with_suffix(".damaged")
    shutil.copyfile(path, copy)
    files.write(path, "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs))
    good = sum(t.state in _ENDS and t._trial_id not in spoilt for t in trials)
    print(f"{path}: damaged, and mended: {good} finished trials are kept; see {copy}", flush=True)


def _is_end(log: Log) -> bool:
    return log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES and log["state"] in _ENDS


class _Kept:
    """The lines of a journal that can be applied one after the other.

    Attributes:
        logs: these lines.
        damaged: bytes of lines that cannot be read.
    """

    def __init__(self, study: Log):
        self.logs: list[Log] = []
        self.damaged = 0
        self._study = study
        self._inserted = 0
        self._replay = JournalStorageReplayResult("mending-")

    def add(self, line: bytes) -> None:
        """Keep a line, if it can be read."""
        try:
            log = json.loads(line)
            if log["op_code"] == JournalOperation.CREATE_STUDY:
                if any(log[key] != value for key, value in self._study.items()):
                    raise ValueError("of another study")
            else:
                self._begin(log)
            self._apply(log)
        except Exception:  # Optuna raises many kinds for a line that it cannot apply
            self.damaged += len(line) + 1

    def trials(self) -> list[FrozenTrial]:
        """The trials as they are after these lines."""
        self._begin({})
        return self._replay.get_all_trials(0, None)

    def _apply(self, log: Log) -> None:
        self._replay.apply_logs([log])
        self.logs.append(log)

    def _begin(self, log: Log) -> None:
        """Begin the study or the trial that a line is about, if its beginning is gone."""
        begin = {"worker_id": "mending"}
        if not self.logs:
            study = {"op_code": int(JournalOperation.CREATE_STUDY), **begin, **self._study}
            self._apply(study)
        number = log.get("trial_id", -1)
        while (there := len(self._replay.get_all_trials(0, None))) <= number:
            if (number - there + 1 + self._inserted) * SHORTEST > self.damaged:
                raise ValueError("a trial that was never begun")
            now = datetime.now().isoformat(timespec="microseconds")
            trial = {"op_code": int(JournalOperation.CREATE_TRIAL), **begin, "study_id": 0}
            self._apply({**trial, "datetime_start": now})
            self._inserted += 1
