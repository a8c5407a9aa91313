"""A study that is still running: the tables of what is finished of it, and its progress."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from optlab.errors import UserError
from optlab.machine import hardware
from optlab.page import write, written
from optlab.results import summary, tables
from optlab.runs import progress
from optlab.runs.standing import Standing, remaining, standing
from optlab.study import table
from optlab.study.kinds import search
from optlab.study.run import Run
from optlab.values import counted

Found = tuple[dict[str, pd.DataFrame], list[Run]]  # tables, and the runs of the table ``runs``


@dataclass
class SoFar:
    """What is finished of a study; an exercise that is complete is read once.

    Attributes:
        study: resolved.
    """

    study: Mapping[str, Any]
    _complete: dict[str, Found] = field(default_factory=dict)
    _standings: list[Standing] = field(default_factory=list)

    def look(self) -> str:
        """Look at the files of all runs; the text that is returned changes when one has ended."""
        done = {one.run.path: one for one in self._standings if one.state == "done"}
        runs = table.runs(self.study)
        self._standings = [done.get(run.path) or standing(run) for run in runs]
        places = [unit.file for unit in table.units(self.study)]
        places += [f"{one.folder}/best/run.json" for one in search.every(self.study)]
        there = [str(path) for path in map(Path, places) if path.exists()]
        states = [one.run.path for one in self._standings if one.state in ("done", "failed")]
        return hashlib.sha256("\n".join([*states, *there]).encode()).hexdigest()[:16]

    @property
    def progress(self) -> dict[str, Any]:
        """The share of the runs that have ended, and what is left, in words."""
        ended = sum(one.state in ("done", "failed") for one in self._standings)
        running = sum(one.state == "running" for one in self._standings)
        parts = [f"{ended} of {counted(len(self._standings), 'run')} have ended"]
        for name, exercise in self.study["exercises"].items():
            if exercise["kind"] == "search" and name not in self._complete:
                parts.append(f"the search of {name} goes on")
        seconds = remaining(self._standings, hardware.cores())
        if ended == len(self._standings):
            parts += ["" if len(self._complete) == len(self.study["exercises"]) else "confirming"]
        else:
            parts += [f"{running} running"]
            parts += [f"about {progress.duration(seconds)} left"] if seconds is not None else []
        share = ended / len(self._standings) if self._standings else float(not parts[1:])
        return {"share": round(share, 4), "text": ", ".join(filter(None, parts))}

    def page(self) -> str:
        """The page of what is finished."""
        parts = {name: self._exercise(name) for name in self.study["exercises"]}
        runs = [run for _, some in parts.values() for run in some]
        found = joined([tables for tables, _ in parts.values()])
        missing = {name: self._missing(name) for name in parts if name not in self._complete}
        return write.page(self.study, found, runs, self.progress, missing)

    def _missing(self, exercise: str) -> str:
        """How much of an exercise has ended, in words."""
        mine = [one for one in self._standings if one.run.exercise == exercise]
        ended = sum(one.state in ("done", "failed") for one in mine)
        return f"{ended} of {counted(len(mine), 'run')}" if mine else "no trial"

    def _exercise(self, name: str) -> Found:
        if name not in self._complete:
            part = {**self.study, "exercises": {name: self.study["exercises"][name]}}
            try:
                runs = table.every(part)
                self._complete[name] = written.as_written(tables.tables(part), runs), runs
            except UserError:  # something of it is missing
                return self._partly(name)
        return self._complete[name]

    def _partly(self, exercise: str) -> Found:
        """The tables of the runs of an exercise that have ended."""
        mine = [one.run for one in self._standings if one.run.exercise == exercise]
        runs = [run for run in mine if _readable(run)]
        if not runs:
            return {}, []
        every = summary.summarise(runs)
        found = {"runs": tables.runs(every)}
        if self.study["exercises"][exercise]["kind"] == "sweep":
            best = summary.best(every, summary.metrics(self.study))
            shown = [
                "chosen_on",
                "seeds",
                "status",
                "settings",
                "lr_at_edge",
                *summary.cells_in(best),
            ]
            columns = [*every.columns[1 : every.columns.get_loc("device") + 1], *shown]
            found["best"] = best[columns].assign(path=best.index).reset_index(drop=True)
        return written.as_written(found, runs), runs


def _readable(run: Run) -> bool:
    """Whether a run has ended, and its metrics are what was written."""
    try:
        summary.summarise([run])
    except UserError:
        return False
    return True


def joined(parts: Sequence[Mapping[str, pd.DataFrame]]) -> dict[str, pd.DataFrame]:
    """The tables of several exercises as one of each name; settings stay in front."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: _one(name, [part[name] for part in parts if name in part]) for name in names}


def _one(name: str, frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table; settings, which are the columns before ``device``, are kept in front."""
    full = [frame for frame in frames if len(frame)] or list(frames[:1])

    def settings(frame: pd.DataFrame) -> list[str]:
        place = frame.columns.get_loc("device") if "device" in frame else 0
        return list(frame.columns[:place])

    front = [column for frame in full for column in settings(frame)]
    rest = [column for frame in full for column in frame.columns]
    columns = list(dict.fromkeys([*front, *rest]))
    return pd.concat(full, ignore_index=True).reindex(columns=columns)
