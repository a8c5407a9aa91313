"""The results of a study for a notebook: tidy DataFrames, made where they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from optlab.errors import UserError
from optlab.results import reading, tables
from optlab.study import table


@dataclass(frozen=True)
class Frames:
    """The results of a finished study; see `optlab.results`."""

    study: Mapping[str, Any]

    @classmethod
    def of(cls, folder: str | Path) -> Frames:
        from optlab.study import reading as studies

        file = Path(folder, "study.yaml")
        if not file.is_file():
            raise UserError(f"{folder}: not the results of a study: there is no {file.name} in it")
        return cls(studies.load(file))

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return tables.tables(self.study)

    @property
    def runs(self) -> pd.DataFrame:
        """A row a run: its settings, and each figure's mean over the seeds with its interval."""
        return self._tables["runs"]

    @cached_property
    def evaluations(self) -> pd.DataFrame:
        """A row per run, seed and evaluation: the rows of every ``metrics.tsv``."""
        return reading.evaluations(table.runs(self.study))

    @property
    def trials(self) -> pd.DataFrame:
        """A row a trial of the study's searches; empty where there is none."""
        return self._tables.get("trials", pd.DataFrame())

    @property
    def scaling(self) -> pd.DataFrame:
        """The rows of the scaling table; empty where no exercise measures scaling."""
        return self._tables.get("scaling", pd.DataFrame())
