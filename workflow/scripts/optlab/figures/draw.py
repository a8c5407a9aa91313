"""Drawing every picture of an exercise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optlab.figures import looks, plan, scaling_axes, search_pictures, sweep
from optlab.figures.axes import Reader
from optlab.study import table
from optlab.study.kinds import search


def draw(study: Mapping[str, Any], exercise: str, folder: Path) -> None:
    """Draw every picture of the exercise into ``folder``.

    Raises:
        UserError: a run or a search of it has not finished.
    """
    looks.save(folder, _figures(study, exercise))


def _figures(study: Mapping[str, Any], exercise: str) -> Iterator[tuple[str, Figure]]:
    pictures = plan.pictures(study, exercise)
    settings = study["exercises"][exercise]
    if settings["kind"] == "search":
        searches = {one.dataset: one for one in search.searches(study, exercise)}
        for p in pictures:
            kind = p.kind.removeprefix("search-")
            yield p.name, search_pictures.draw(kind, searches[p.dataset])
    elif settings["kind"] == "scaling":
        source = scaling_axes.source(study, exercise)
        for p in pictures:
            module = import_module(f"optlab.figures.{p.kind.replace('-', '_')}")
            yield p.name, module.draw(p, source)
    else:
        reader = Reader(study, table.runs(study, exercise))
        for p in pictures:
            yield p.name, sweep.draw(p, reader)
