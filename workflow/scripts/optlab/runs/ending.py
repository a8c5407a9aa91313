"""The end of a call of the workflow: which runs failed, how searches went, where answers are."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from optlab.errors import UserError, visible
from optlab.runs import failures
from optlab.study.kinds import search
from optlab.study.kinds.search import Search
from optlab.study.run import Run

SHOWN = 3  # failed runs that are named
TABLES = ("optimizers", "scaling", "search")  # that hold answers, if the study has them


def lines(results: str, runs: Sequence[Run], searches: Iterable[Search]) -> list[str]:
    """The lines for the screen.

    Args:
        results: the folder of the study's results.
    """
    failed = [(run, why) for run in runs if (why := failures.reason(run.folder))]
    found = [f"failed: {run.path}: {why}" for run, why in failed[:SHOWN]]
    if failed:
        again = "they are tried again when they or their code change, or by make retry"
        found.append(f"{len(failed)} of {len(runs)} runs failed; {again}")
    for one in searches:
        with suppress(UserError, KeyError, TypeError, ValueError):  # not finished, or damaged
            found.append(f"search {one.path}: {search.statistics(search.finished(one))}")
    tables = [f"{results}/tables/{name}.tsv" for name in TABLES]
    found_places = filter(lambda place: Path(place).exists(), [f"{results}/index.html", *tables])
    places = [*found_places, f"{results}/figures"]
    return [*map(visible, found), f"the answers: {', '.join(places)}"]
