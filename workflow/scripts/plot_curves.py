"""Plot the curves of one optimizer: loss and accuracy against epochs, from the results of a study.

Of the finished runs of the study, the best one of one problem is drawn: that with the lowest
validation loss. Give a learning rate to see another. Without --output a window opens.

Examples:
  plot_curves.py --list
  plot_curves.py --optimizer adam
  plot_curves.py --optimizer adam --exercise optimizers --learning-rate 0.003 --output adam.png
  plot_curves.py --optimizer muon --study config/lab.yaml --dataset cifar10 --model cnn
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optlab import files
from optlab.command_line import Parser, add_study
from optlab.errors import UserError, allowed, in_one_line
from optlab.figures.plan import AXES, Picture
from optlab.results import reading as results
from optlab.study import reading, table
from optlab.study.run import Run
from optlab.values import text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
CHOICES = ("optimizer", "exercise", "dataset", "model", "batch_size", "learning_rate")


def parser() -> Parser:
    """The options."""
    p = Parser(__doc__)
    p.add_argument("--optimizer", metavar="NAME", help="the optimizer, as the study names it")
    add_study(p)
    p.add_argument("--output", type=Path, metavar="FILE",
                   help="picture to write: .svg, .png or .pdf (default: a window)")  # fmt: skip
    p.add_argument("--list", action="store_true", help="list the finished runs, and draw nothing")
    which = p.add_argument_group("which of its runs (default: the first problem that has any)")
    which.add_argument("--exercise", metavar="NAME", help="exercise of the study")
    which.add_argument("--dataset", metavar="NAME", help="data set")
    which.add_argument("--model", metavar="NAME", help="network")
    which.add_argument("--batch-size", "--batch_size", metavar="N", help="a number, or full")
    which.add_argument("--learning-rate", "--learning_rate", "--lr", type=float, metavar="LR",
                       help="learning rate (the best)")  # fmt: skip
    return p


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = parser()
    arguments = p.parse_args(words)
    if not (arguments.list or arguments.optimizer):
        p.error("--optimizer is missing; --list says which there are")
    if arguments.output and arguments.output.suffix not in ENDINGS:
        raise UserError(f"--output: {arguments.output} ends in none of {', '.join(ENDINGS)}")
    if arguments.output:
        files.check(arguments.output)
    study = reading.load(arguments.study)
    if arguments.list:
        print("\n".join(listing(study)))
    else:
        show(draw(study, chosen(study, arguments)), arguments.output)
    return 0


def listing(study: dict[str, Any]) -> list[str]:
    """A line for each optimizer of each problem, with the number of finished runs."""
    count: dict[tuple[str, ...], list[bool]] = {}
    for run in table.runs(study):
        key = (run.exercise, run.dataset, run.model, f"batch size {run.batch_size}", run.optimizer)
        count.setdefault(key, []).append(finished(run))
    return [f"{', '.join(key)}: {sum(done)} of {len(done)} runs" for key, done in count.items()]


def chosen(study: dict[str, Any], arguments: argparse.Namespace) -> list[Run]:
    """The finished runs of the optimizer on the first problem that fits the options.

    Raises:
        UserError: the study has no such run, or none of them is finished.
    """
    runs = table.runs(study)
    for name in CHOICES:
        if getattr(arguments, name) is None:
            continue
        wanted = text(getattr(arguments, name))
        by_value: dict[str, list[Run]] = {}
        for run in runs:
            value = run.knobs.get("lr", "") if name == "learning_rate" else getattr(run, name)
            by_value.setdefault(text(value), []).append(run)
        if wanted not in by_value:
            place = "" if name == "optimizer" else f" for {arguments.optimizer}"
            known = ", ".join(by_value) if name == "learning_rate" else allowed(wanted, by_value)
            option = name.replace("_", "-")
            raise UserError(f"--{option}: {wanted} is not in {arguments.study}{place}; {known}")
        runs = by_value[wanted]
    done = [run for run in runs if finished(run, warn=True)]
    if not done:
        raise UserError(
            f"none of the {len(runs)} runs of {arguments.optimizer} is finished; "
            f"run the study first: snakemake --configfile {arguments.study} --cores all"
        )
    problem = attrgetter("exercise", *AXES)
    first, *others = dict.fromkeys(map(problem, done))
    for *names, size, epochs, gpus in others:
        plan = f"batch size {size}, epochs {epochs}, gpus {gpus}"
        print(f"not drawn, but there: {', '.join(names)}, {plan}", file=sys.stderr)
    return [run for run in done if problem(run) == first]


def finished(run: Run, warn: bool = False) -> bool:
    """Whether every seed of the run has finished; with ``warn``, damaged files are reported."""
    try:
        results.last_lines(run)
    except UserError as error:
        if warn and Path(run.folder, "metrics.tsv").exists():
            print(f"not drawn: {error}", file=sys.stderr)
        return False
    return True


def draw(study: dict[str, Any], runs: list[Run]) -> Figure:
    """The curves of the best of the runs."""
    from optlab.figures import epochs, words  # Matplotlib: not before the options are checked
    from optlab.figures.reader import Reader

    run = runs[0]
    title = study["exercises"][run.exercise].get("title", run.exercise)
    title = words.plain(f"{title}: {run.model} on {run.dataset}")
    return epochs.curves(Picture("", "curves", title, {}, (tuple(runs),)), Reader(study, runs))


def show(figure: Figure, output: Path | None) -> None:
    """Write the figure to a file, or open a window.

    Raises:
        UserError: no window can be opened here.
    """
    from optlab.figures import lettering  # Matplotlib: not before the options are checked

    if output is not None:
        with lettering.any_script(), files.replacing(output) as temporary:
            figure.savefig(temporary, dpi=150, format=output.suffix[1:])
        print(output)
        return
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == "agg":
        raise UserError("no window can be opened here; name a file with --output")
    pyplot.figure(figure)
    pyplot.show()


if __name__ == "__main__":
    sys.exit(main())
