"""Drawing every picture of an exercise, each by the module of its kind."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optlab.figures import looks, plan, scaling_axes
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.figures.trials import Trials
from optlab.study import table
from optlab.study.kinds import search

Study = Mapping[str, Any]


def draw(study: Study, exercise: str, folder: Path) -> None:
    """Draw every picture of the exercise into ``folder``.

    Raises:
        UserError: a run or a search of it has not finished.
    """
    looks.save(folder, _figures(study, exercise))


def _figures(study: Study, exercise: str) -> Iterator[tuple[str, Figure]]:
    source = _SOURCES[study["exercises"][exercise]["kind"]](study, exercise)
    for picture in plan.pictures(study, exercise):
        yield picture.name, import_module(picture.module).draw(picture, source(picture))


# What a kind of exercise gives its pictures, read once: `draw(picture, source)` of their modules.
Source = Callable[[Picture], Any]


def _sweep(study: Study, exercise: str) -> Source:
    reader = Reader(study, table.runs(study, exercise))
    return lambda picture: reader


def _scaling(study: Study, exercise: str) -> Source:
    rows = scaling_axes.source(study, exercise)
    return lambda picture: rows


def _search(study: Study, exercise: str) -> Source:
    searches = search.searches(study, exercise)
    trials = {one.dataset: Trials(one, search.finished(one)) for one in searches}
    return lambda picture: trials[picture.dataset]


_SOURCES = {"sweep": _sweep, "scaling": _scaling, "search": _search}
