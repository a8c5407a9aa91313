"""Drawing every picture of an exercise: from which data, by which function, into which file."""

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from optlab import files
from optlab.figures import (
    budget,
    epochs,
    looks,
    plan,
    profiles,
    rates,
    scaling,
    scaling_axes,
    scaling_time,
    trials,
)
from optlab.figures.plan import Picture, Study
from optlab.figures.reader import Reader
from optlab.runs import failures
from optlab.study import table
from optlab.study.kinds import search
from optlab.study.run import Run

# Kind of picture -> the function that draws it, given the data that `_source` reads.
DRAWN: Mapping[str, Callable[[Picture, Any], Figure]] = {
    "loss": epochs.loss,
    "final-loss": rates.final_loss,
    "accuracy": rates.accuracy,
    "comparison-best": epochs.comparison,
    "comparison-lab": epochs.comparison,
    "budget": budget.draw,
    "batches": epochs.batches,
    "curves": epochs.curves,
    "scaling-speedup": scaling.speedup,
    "scaling-time": scaling_time.draw,
    "scaling-target": scaling.target,
    "scaling-accuracy": scaling.accuracy,
    "scaling-settings": scaling.settings,
    "scaling-replay": scaling.replay,
    "search-history": trials.history,
    "search-intermediate": trials.intermediate,
    "search-importance": trials.importance,
    "search-slices": trials.slices,
    "profiles": profiles.draw,
}


def draw(study: Study, exercise: str | None, folder: Path) -> None:
    """Draw every picture of the exercise, and remove those that an earlier call left there.

    Without an exercise, those of the whole study.

    Raises:
        UserError: a run or a search of it has not finished.
    """
    names = set()
    for name, figure in figures(study, exercise):
        files.write(folder / f"{name}.svg", looks.svg(figure))
        names.add(name)
    for file in folder.glob("*.svg"):
        if file.stem not in names and looks.is_ours(file):
            file.unlink()


def figures(study: Study, exercise: str | None) -> Iterator[tuple[str, Figure]]:
    """The pictures of the exercise, or of the whole study, each with its name.

    Raises:
        UserError: as `draw`.
    """
    if exercise is None:
        pictures, source = plan.of_study(study), profiles.source(study)
        failed: set[str] = set()
    else:
        runs = table.finished(study, exercise)
        pictures, source = plan.pictures(study, exercise, runs), _source(study, exercise, runs)
        failed = {run.path for run in runs if failures.reason(run.folder)}
    for picture in pictures:
        shown = _without(failed, picture)
        if picture.groups and not shown.groups:
            yield picture.name, looks.nothing(picture.title, "every run of this picture failed")
        else:
            yield picture.name, DRAWN[picture.kind](shown, source(picture))


def _without(failed: Container[str], picture: Picture) -> Picture:
    """The picture without the lines of runs that failed."""
    groups = (tuple(run for run in group if run.path not in failed) for group in picture.groups)
    return replace(picture, groups=tuple(filter(None, groups)))


def _source(study: Study, exercise: str, runs: Sequence[Run]) -> Callable[[Picture], Any]:
    """Read the results of the exercise once; returns a function to what a picture needs of them."""
    kind = study["exercises"][exercise]["kind"]
    if kind == "search":
        searches = search.searches(study, exercise)
        found = {one.dataset: trials.Trials(one, search.finished(one)) for one in searches}
        return lambda picture: found[picture.dataset]
    if kind == "scaling":
        rows = scaling_axes.source(study, exercise)
        return lambda picture: rows
    reader = Reader(study, runs)
    return lambda picture: reader
