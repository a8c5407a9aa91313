"""The run table of a resolved study: every run of every exercise."""

from collections.abc import Iterator, Mapping
from typing import Any

from optlab.study import kinds
from optlab.study.run import Run

Study = Mapping[str, Any]


def runs(study: Study, exercise: str | None = None) -> list[Run]:
    """The run table, or the part of one exercise, in the study's own order."""
    return [run for run in _grid(study, exercise) if run.skip_reason is None]


def skipped(study: Study) -> list[tuple[Run, str]]:
    """The points of a study's grids that are left out, each with the reason."""
    return [(run, reason) for run in _grid(study) if (reason := run.skip_reason)]


def _grid(study: Study, only: str | None = None) -> Iterator[Run]:
    for name, exercise in study["exercises"].items():
        if only in (None, name):
            yield from kinds.of(exercise).runs(study, name)
