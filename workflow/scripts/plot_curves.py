"""Plot curves of optimizers: loss and accuracy against epochs, of train.py or of a study.

Without --study these are results of train.py: the newest one that fits the options; with
--optimizer the best run of each, on the problem of the newest that has all of them. If none fits,
and with --study, they are those of a study: the best runs of one problem, by validation data.
Standard error says which are drawn. Without --output a window opens.

Examples:
  plot_curves.py
  plot_curves.py --list
  plot_curves.py --optimizer adam sgd --output both.png
  plot_curves.py --optimizer adam --exercise optimizers --learning-rate 0.003 --output adam.png
  plot_curves.py --optimizer muon --study config/lab.yaml --dataset cifar10 --model cnn
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optlab import files
from optlab.catalogue import spelling
from optlab.command_line import STUDY, Parser, add_study
from optlab.errors import UserError, allowed, in_one_line
from optlab.figures.plan import AXES, Picture
from optlab.results import reading as results
from optlab.results import summary
from optlab.runs import by_hand
from optlab.study import reading, table
from optlab.study.run import Run
from optlab.values import known, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".svg", ".png", ".pdf")
CHOICES = ("optimizer", "exercise", "dataset", "model", "batch_size", "learning_rate")


class Source(NamedTuple):
    """Where runs are.

    Attributes:
        name: in messages.
        study: their study, or of runs by hand what takes its place.
        runs: of a study in its order; by hand the newest first.
    """

    name: str
    study: Mapping[str, Any]
    runs: list[Run]

    @property
    def is_study(self) -> bool:
        return self.name != by_hand.FOLDER


def parser() -> Parser:
    """The options."""
    p = Parser(__doc__)
    p.add_argument("--optimizer", nargs="+", default=[], metavar="NAME",
                   help="one or several, by the names of --list")  # fmt: skip
    add_study(p)
    p.set_defaults(study=None)
    p.add_argument("--output", type=Path, metavar="FILE",
                   help="picture to write: .svg, .png or .pdf (default: a window)")  # fmt: skip
    p.add_argument("--list", action="store_true", help="list the finished runs, and draw nothing")
    which = p.add_argument_group("which of the runs (default: the first problem that has any)")
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
    if arguments.output and arguments.output.suffix not in ENDINGS:
        raise UserError(f"--output: {arguments.output} ends in none of {', '.join(ENDINGS)}")
    if arguments.output:
        files.check(arguments.output)
    hand = None if arguments.study else of_hand()
    if arguments.list:
        found = [hand] if hand else []
        if not hand or Path(STUDY).exists():
            found.append(of_study(arguments.study or STUDY))
        print("\n".join(line for source in found for line in listing(source)))
        return 0
    source, groups = hand, None
    if hand:
        try:
            groups = chosen(hand, arguments)
        except UserError:  # the default study may have it; if not, its message is of both
            if not Path(STUDY).exists():
                raise
    if not groups:
        if not arguments.optimizer:
            p.error("--optimizer is missing; --list says which there are")
        source = of_study(arguments.study or STUDY, f" or {hand.name}" if hand else "")
        groups = chosen(source, arguments)
    assert source is not None
    figure, runs = draw(source, groups)
    show(figure, arguments.output, f"drawn: {', '.join(run.folder for run in runs)}")
    return 0


def of_hand() -> Source | None:
    """The runs by hand, if there are any."""
    runs = by_hand.runs()
    exercises = {run.exercise: {"title": "By hand", "metric": summary.AUTO} for run in runs}
    return Source(by_hand.FOLDER, {"exercises": exercises}, runs) if runs else None


def of_study(file: str, elsewhere: str = "") -> Source:
    """The runs of a study; ``elsewhere`` is where they have been looked for before."""
    study = reading.load(file)
    return Source(f"{file}{elsewhere}", study, table.runs(study))


def listing(source: Source) -> list[str]:
    """A line for each optimizer of each problem, with the number of finished runs."""
    count: dict[tuple[str, ...], list[bool]] = {}
    for run in source.runs:
        place = (run.exercise, run.dataset, run.model, f"batch size {run.batch_size}")
        count.setdefault((*place, run.optimizer), []).append(finished(run))
    own = "" if source.is_study else "by hand: "
    return [
        f"{own}{', '.join(key)}: {sum(done)} of {len(done)} runs" for key, done in count.items()
    ]


def chosen(source: Source, arguments: argparse.Namespace) -> list[list[Run]]:
    """The finished runs of each optimizer on the first problem that fits the options.

    Raises:
        UserError: there is no such run, or none of them is finished.
    """
    runs, place = source.runs, source.name
    names = list(dict.fromkeys(map(spelling.optimizer, arguments.optimizer)))
    for option in CHOICES:
        given = names if option == "optimizer" else getattr(arguments, option)
        if given not in (None, []):
            wanted = given if isinstance(given, list) else [text(given)]
            runs = having(runs, option, wanted, place)
        if option == "optimizer" and names:
            place += f" for {' and '.join(names)}"
    done = [run for run in runs if finished(run, warn=True)]
    there = {run.optimizer for run in done}
    if lacking := next((name for name in names if name not in there), None):
        number = sum(run.optimizer == lacking for run in runs)
        command = f"snakemake --configfile {arguments.study or STUDY} --cores all"
        words = f"none of the {number} runs of {lacking} is finished"
        raise UserError(f"{words}; run the study first: {command}")
    return by_problem(done, names, tell=source.is_study) if names else [done[:1]]


def having(runs: list[Run], option: str, wanted: list[str], place: str) -> list[Run]:
    """The runs with one of the values that are wanted of an option, of which each has some.

    Raises:
        UserError: one of them has none.
    """
    by_value: dict[str, list[Run]] = {}
    for run in runs:
        value = run.knobs.get("lr", "") if option == "learning_rate" else getattr(run, option)
        by_value.setdefault(text(value), []).append(run)
    for name in wanted:
        if known(name, by_value) not in by_value:
            rates = option == "learning_rate"
            hint = ", ".join(by_value) if rates else allowed(name, by_value)
            words = f"{name} is not in {place}; {hint}"
            raise UserError(f"--{option.replace('_', '-')}: {words}")
    return [run for name in wanted for run in by_value[known(name, by_value)]]


def by_problem(runs: list[Run], names: list[str], tell: bool) -> list[list[Run]]:
    """The runs of each optimizer on the first problem that has all; with ``tell``, names others.

    Raises:
        UserError: no problem has.
    """
    problem = attrgetter("exercise", *AXES)
    found: dict[tuple[Any, ...], dict[str, list[Run]]] = {}
    for run in runs:
        found.setdefault(problem(run), {}).setdefault(run.optimizer, []).append(run)
    fitting = [key for key, groups in found.items() if groups.keys() >= set(names)]
    if not fitting:
        raise UserError(f"no problem has finished runs of all of {', '.join(names)}; see --list")
    first, *others = fitting
    for *places, size, epochs, gpus in others if tell else ():
        plan = f"batch size {size}, epochs {epochs}, gpus {gpus}"
        print(f"not drawn, but there: {', '.join(places)}, {plan}", file=sys.stderr)
    return [found[first][name] for name in names]


def finished(run: Run, warn: bool = False) -> bool:
    """Whether every seed of the run has finished; with ``warn``, damaged files are reported."""
    try:
        results.last_lines(run)
    except UserError as error:
        if warn and Path(run.folder, "metrics.tsv").exists():
            print(f"not drawn: {error}", file=sys.stderr)
        return False
    return True


def draw(source: Source, groups: list[list[Run]]) -> tuple[Figure, list[Run]]:
    """The curves of the best run of each group, and these runs."""
    from optlab.figures import epochs, side_by_side, words  # Matplotlib: not before the checks
    from optlab.figures.reader import Reader

    run = groups[0][0]
    reader = Reader(source.study, [run for group in groups for run in group])
    best = [reader.best(group) for group in groups]
    title = source.study["exercises"][run.exercise].get("title", run.exercise)
    title = words.plain(f"{title}: {run.model} on {run.dataset}")
    if len(best) > 1:
        return side_by_side.curves(title, best, reader), best
    return epochs.curves(Picture("", "curves", title, {}, (tuple(best),)), reader), best


def show(figure: Figure, output: Path | None, subject: str) -> None:
    """Write the figure to a file, or open a window; the subject is said.

    Raises:
        UserError: no window can be opened here.
    """
    from optlab.figures import lettering  # Matplotlib: not before the options are checked

    if output is not None:
        with lettering.any_script(), files.replacing(output) as temporary:
            figure.savefig(temporary, dpi=150, format=output.suffix[1:])
        print(subject, file=sys.stderr)
        print(output)
        return
    from matplotlib import pyplot

    if pyplot.get_backend().lower() == "agg":
        raise UserError("no window can be opened here; name a file with --output")
    print(subject, file=sys.stderr)
    pyplot.figure(figure)
    pyplot.show()


if __name__ == "__main__":
    sys.exit(main())
