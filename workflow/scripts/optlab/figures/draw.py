"""Drawing every picture of an exercise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optlab.figures import looks, plan, scaling_pictures
from optlab.figures.reader import Reader
from optlab.figures.trials import Trials
from optlab.results import scaling
from optlab.study import table
from optlab.study.kinds import search


def draw(study: Mapping[str, Any], exercise: str, folder: Path) -> None:
    """Draw every picture of the exercise into ``folder``.

    Raises:
        UserError: a run or a search of the exercise has not finished.
    """
    looks.save(folder, _figures(study, exercise))


def _figures(study: Mapping[str, Any], exercise: str) -> Iterator[tuple[str, Figure]]:
    pictures = plan.pictures(study, exercise)
    settings = study["exercises"][exercise]
    if settings["kind"] == "scaling":
        rows = scaling.rows(study, exercise)
        for picture in pictures:
            target = settings["target_accuracy"]
            yield picture.name, scaling_pictures.draw(picture, rows, target)
        return
    sources: dict[str, Any] = {}  # by `Picture.dataset`, which is empty for a sweep
    if settings["kind"] == "search":
        for one in search.searches(study, exercise):
            sources[one.dataset] = Trials(one, search.finished(one))
    else:
        sources[""] = Reader(study, table.runs(study, exercise))
    for picture in pictures:
        yield picture.name, import_module(picture.module).draw(picture, sources[picture.dataset])
