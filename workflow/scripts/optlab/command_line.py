"""The command line of ``train.py``: its options, what they may be, and the run that they describe.

Every option has a default, and every mistake is told in one line.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from optlab import custom, grid, models, optimizers, schedules, sources
from optlab.errors import UserError
from optlab.wording import allowed

PREPARE = Path(__file__).parents[1] / "prepare_data.py"


class Parser(argparse.ArgumentParser):
    """A parser that tells a mistake in one line rather than under its whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message.removeprefix('argument ')}\n")


def parser(description: str | None) -> Parser:
    """The options of ``train.py``."""
    p = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--list", action="store_true", help="list what there is, and train nothing")
    _what(p.add_argument_group("what is trained"))
    _how(p.add_argument_group("how it is trained"))
    _where(p.add_argument_group("where it runs, and where the results go"))
    return p


def study_parser(
    description: str | None, output: str | None, exercise: bool = False, dataset: bool = False
) -> argparse.ArgumentParser:
    """The options of the programs that read a study; ``output`` says what its folder is for."""
    p = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--study", type=Path, required=True, help="the resolved study, study.yaml")
    if exercise:
        p.add_argument("--exercise", required=True, help="name of the exercise")
    if dataset:
        p.add_argument("--dataset", required=True, help="name of one of its data sets")
    if output:
        p.add_argument("--output-folder", type=Path, required=True, help=output)
    return p


def _what(group: Any) -> None:
    data = group.add_mutually_exclusive_group()
    data.add_argument("--dataset", default="digits", metavar="NAME", help="data set (digits)")
    data.add_argument(
        "--data", type=_file, metavar="FILE", help="or the JSON that prepare_data.py wrote"
    )
    group.add_argument(
        "--model", default="mlp", metavar="NAME", help="network, or path/to/file.py:name (mlp)"
    )
    group.add_argument("--network", metavar="NAME", help="network, where --model is only a name")
    group.add_argument(
        "--model-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the network, as hidden=[256,128]; may be repeated",
    )


def _how(group: Any) -> None:
    def add(name: str, *more: str, **given: Any) -> None:
        group.add_argument(f"--{name}", *more, **given)

    add(
        *("optimizer",),
        **{"default": "sgd", "metavar": "NAME"},
        help="name, path/to/file.py:Class or package.module:Class (sgd)",
    )
    rates = ("--learning_rate", "--lr")
    add("learning-rate", *rates, dest="lr", type=_rate, metavar="LR",
        help="learning rate (the middle of the optimizer's usual ones)")  # fmt: skip
    add("knob", action="append", default=[], metavar="NAME=VALUE",
        help="another knob of the optimizer, as momentum=0.8; may be repeated")  # fmt: skip
    add("schedule", default=schedules.CONSTANT, type=_schedule, metavar="NAME",
        help="of the learning rate, as cosine or warmup_cosine,warmup=0.2 (constant)")  # fmt: skip
    add("batch-size", "--batch_size", default=100, type=_batch_size, metavar="N",
        help="examples a step, or full (100)")  # fmt: skip
    add("epochs", default=10, type=whole, metavar="N", help="passes over the data (10)")
    add(
        "seeds", default=1, type=_up_to(100_000), metavar="N", help="replicates, from seed 0 up (1)"
    )
    add("evaluate-every", default=1, type=whole, metavar="N",
        help="epochs between two evaluations (1)")  # fmt: skip
    add("train-loss-examples", default=10_000, type=whole, metavar="N",
        help="the training loss is measured on at most so many (10000)")  # fmt: skip
    add("precision", choices=("float32", "float64", "bfloat16"), default="float32",
        help="of weights and arithmetic; bfloat16 keeps float32 weights (float32)")  # fmt: skip
    add("replicates", choices=grid.REPLICATES, default="auto",
        help="trained in one step together, separate, or where that is faster (auto)")  # fmt: skip


def _where(group: Any) -> None:
    group.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto",
                       help="auto takes a GPU where there is one (auto)")  # fmt: skip
    group.add_argument(
        "--threads", default=1, type=_up_to(1024), metavar="N", help="CPU threads (1)"
    )
    group.add_argument("--gpus", default=1, type=_up_to(4096), metavar="N",
                       help="processes that train together (1)")  # fmt: skip
    group.add_argument("--timed", action="store_true",
                       help="take steps apart afterwards, to tell where the time goes")  # fmt: skip
    group.add_argument("--output", type=_folder, metavar="FOLDER",
                       help="results (results/by-hand/runs/ and the settings)")  # fmt: skip
    group.add_argument("--exercise", default="hand", type=_name, metavar="NAME",
                       help="name in the tables (hand)")  # fmt: skip
    group.add_argument("--state", type=_file, metavar="FILE", help="tells how far the run is")


def _checked(read: Callable[[str], Any], fits: Callable[[Any], object], words: str) -> Callable:
    def value(text: str) -> Any:
        try:
            found = read(text)
        except (ValueError, OverflowError):
            found = None
        if found is None or not fits(found):
            raise argparse.ArgumentTypeError(f"'{text}' is not allowed; {words}")
        return found

    return value


whole = _checked(int, lambda number: number >= 1, "a whole number from 1 up")
_rate = _checked(float, lambda rate: 0 <= rate < math.inf, optimizers.KNOBS["lr"].allowed)
_batch_size = _checked(
    lambda text: text if text == "full" else int(text),
    lambda size: size == "full" or size >= 1,
    "a whole number from 1 up, or full",
)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_name = _checked(str, _NAME.fullmatch, "up to 100 letters, digits, '-' and '_', a letter first")
_folder = _checked(lambda text: Path(text) if text else None, lambda path: True, "name a folder")
_file = _checked(
    lambda text: text or None, lambda text: not os.path.isdir(text), "name a file, not a folder"
)


def _up_to(most: int) -> Callable:
    return _checked(int, lambda number: 1 <= number <= most, f"a whole number from 1 to {most}")


def _schedule(text: str) -> str:
    try:
        return schedules.text(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def to_run(arguments: argparse.Namespace) -> grid.Run:
    """The run that the command line describes.

    Raises:
        UserError: an unknown name, a value that is not allowed, or settings that do not fit.
    """
    network = arguments.network or arguments.model
    if network not in models.NETWORKS and not custom.is_custom(network):
        raise UserError(
            f"--model: unknown network '{network}'; {allowed(network, models.NETWORKS)}"
        )
    options = _pairs("--model-option", arguments.model_option)
    _check_options(network, options)
    given = {} if arguments.lr is None else {"lr": arguments.lr}
    knobs = optimizers.complete(arguments.optimizer, {**_pairs("--knob", arguments.knob), **given})
    run = grid.Run(
        study="by-hand",
        exercise=arguments.exercise,
        dataset=_dataset_name(arguments),
        data=arguments.data or _prepared(arguments.dataset),
        model=arguments.model,
        network=network,
        network_options=options,
        optimizer=arguments.optimizer,
        knobs=knobs,
        **{name: getattr(arguments, name) for name in _SAME},
    )
    if reason := grid.skip_reason(run):
        raise UserError(reason)
    return run


# Options that are fields of a run under the same name.
_SAME = (
    *("batch_size", "epochs", "gpus", "schedule", "seeds", "device", "threads", "precision"),
    *("evaluate_every", "train_loss_examples", "replicates", "timed"),
)


def _check_options(network: str, options: dict[str, Any]) -> None:
    if network not in models.NETWORKS:
        return
    known = models.options(network)
    for name, value in options.items():
        if name not in known:
            there = f"; {allowed(name, known)}" if known else ""
            raise UserError(f"--model-option: the network {network} has no '{name}'{there}")
        if reason := models.refuses(name, value, known[name]):
            raise UserError(f"--model-option: {name}={value} is not allowed; {reason}")


def _pairs(option: str, words: Sequence[str]) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"{option}: '{word}' is not NAME=VALUE")
        try:
            pairs[name] = grid.canonical(json.loads(value))
        except (ValueError, RecursionError):
            pairs[name] = value
    return pairs


def _dataset_name(arguments: argparse.Namespace) -> str:
    if not arguments.data:
        return arguments.dataset
    try:
        return json.loads(Path(arguments.data).read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{arguments.data}: not a prepared data set ({error})") from error


def _prepared(dataset: str) -> str:
    """The prepared data set of a source that the program knows, made now where it is missing."""
    known = [name for name in sources.SOURCES if name != "npz"]
    if dataset not in known:
        words = allowed(dataset, known)
        raise UserError(f"--dataset: unknown data set '{dataset}'; {words}; others through --data")
    path = sources.prepared_path(dataset, {"source": dataset, "split_seed": 0})
    if not Path(path).is_file():
        command = [sys.executable, str(PREPARE)]
        command += ["--name", dataset, "--source", dataset, "--output", path]
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"the data set '{dataset}' could not be prepared")
    return path


def listing() -> str:
    """What ``--list`` prints: optimizers, schedules, networks and data sets."""
    lines = ["optimizers, their learning rates where none is given, and their other knobs:"]
    for name, entry in optimizers.OPTIMIZERS.items():
        rates = ", ".join(f"{rate:g}" for rate in entry.grid)
        lines.append(f"  {name:<10} lr {rates}{_values(entry.knobs)}")
    lines += ["  or your own: path/to/file.py:Class, package.module:Class", "", "schedules:"]
    lines += [f"  {name:<14}{_values(o, '')}" for name, o in schedules.SCHEDULES.items()]
    lines += [f"    {option}: {words}" for option, words in schedules.OPTIONS.items()]
    lines += ["", "networks and their options:"]
    lines += [f"  {name:<10}{_values(models.options(name), '')}" for name in models.NETWORKS]
    lines += ["  or your own: path/to/file.py:name", "", "data sets:"]
    lines += [f"  {name}" for name in sources.SOURCES if name != "npz"]
    return "\n".join(
        line.rstrip() for line in [*lines, "  or arrays of your own, by prepare_data.py"]
    )


def _values(options: Any, before: str = "; ") -> str:
    found = ", ".join(
        f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in options.items()
    )
    return before + found if found else ""
