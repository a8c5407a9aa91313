"""The results of a study for a notebook: tidy DataFrames, made where they are asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from optlab.errors import UserError
from optlab.results import reading, scaling, searches, summary, tables
from optlab.study import reading as studies
from optlab.study import table
from optlab.study.kinds import search


@dataclass(frozen=True)
class Frames:
    """The results of a finished study; see `optlab.results`."""

    study: Mapping[str, Any]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """A row a run: its settings, and each figure's mean over the seeds with its interval."""
        every = summary.summarise(table.every(self.study))
        return tables.runs(every).infer_objects()

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """A row per run, seed and evaluation: the rows of every ``metrics.tsv``."""
        return reading.evaluations(table.every(self.study))

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row a trial of the study's searches; empty where there is none."""
        found = search.every(self.study)
        return searches.trials(found) if found else pd.DataFrame()

    @cached_property
    def scaling(self) -> pd.DataFrame:
        """The rows of the scaling table; empty where no exercise measures scaling."""
        return scaling.frame(self.study)


def load(folder: str | Path) -> Frames:
    """The results of a finished study, from its folder ``results/<study>``.

    Raises:
        UserError: it is not such a folder, or its study is damaged.
    """
    file = Path(folder, "study.yaml")
    if not file.is_file():
        raise UserError(f"{folder}: not the results of a study: there is no {file.name} in it")
    return Frames(studies.load(file))
