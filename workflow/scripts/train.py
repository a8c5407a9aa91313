"""Train one run: every seed of one setting, on one prepared data set.

In:  a prepared data set (--data, the JSON that prepare_data.py wrote) or the name of one that
     the program knows (--dataset, prepared on first use), and the settings below.
Out: metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, hardware,
     command, times) in the folder --output. Seeds that lie there already, made with exactly
     these settings, this code and this data, are kept and only the missing ones are trained.

Examples:
  train.py --dataset line --model linear --optimizer sgd --lr 0.01 --batch-size full --epochs 1000
  train.py --dataset digits --model mlp --optimizer momentum --lr 0.1 --knob momentum=0.8
  train.py --dataset mnist --model my/nets.py:Tiny --optimizer my/opt.py:Sign --lr 0.001
"""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optlab import custom, grid, metrics, models, optimizers, record, sources
from optlab.errors import UserError
from optlab.progress import Progress

HERE = Path(__file__).parent


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = p.add_mutually_exclusive_group()
    data.add_argument("--data", help="prepared data set: the JSON that prepare_data.py wrote")
    data.add_argument("--dataset", default="digits", help="data set by name (default: digits)")
    p.add_argument("--model", default="mlp", help="name of the network in the tables")
    p.add_argument("--network", help="network behind the name, or path/to/file.py:name")
    p.add_argument(
        "--model-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the network, as hidden=[256,128]; may be repeated",
    )
    p.add_argument("--optimizer", default="sgd", help="name, path/to/file.py:Class or module:Class")
    p.add_argument("--lr", "--learning-rate", "--learning_rate", type=float, help="learning rate")
    p.add_argument(
        "--knob",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another knob of the optimizer, as momentum=0.8 or betas=[0.9,0.99]",
    )
    p.add_argument("--batch-size", "--batch_size", default="100", help="examples a step, or full")
    p.add_argument("--epochs", type=int, default=10, help="passes over the training set (10)")
    p.add_argument("--gpus", type=int, default=1, help="processes that train together (1)")
    p.add_argument("--seeds", type=int, default=1, help="replicates, numbered from 0 (1)")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    p.add_argument("--threads", type=int, default=1, help="CPU threads (1)")
    p.add_argument("--precision", choices=("float32", "float64"), default="float32")
    p.add_argument("--evaluate-every", type=int, default=1, help="epochs between evaluations (1)")
    p.add_argument("--train-loss-examples", type=int, default=10_000, help="at most (10000)")
    p.add_argument("--exercise", default="hand", help="name of the exercise in the tables")
    p.add_argument("--output", type=Path, help="folder of the results (default: by the settings)")
    p.add_argument("--state", type=Path, help="file that tells how far the run is")
    return p


def main(words: Sequence[str] | None = None) -> int:
    started = record.process_start()
    arguments = parser().parse_args(words)
    progress: Progress | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run = to_run(arguments)
        output = arguments.output or Path(run.folder)
        mark = fingerprint(run)
        rows, seeds = record.kept(output, mark, run.seeds)
        progress = Progress(arguments.state, run.seeds, run.epochs, len(seeds))
        if len(seeds) < run.seeds:
            results = train_seeds(run, progress, {entry["seed"] for entry in seeds}, started)
            rows += results.pop("rows")
            seeds += results.pop("seeds")
        else:
            results = json.loads((output / "run.json").read_text(encoding="utf-8"))
            results = {key: results[key] for key in ("hardware", "wall", "usage")}
        record.write(output, rows, {**description(run, mark), "seeds": seeds, **results})
        progress.finish()
        return 0
    except UserError as error:
        message = str(error)
    except KeyboardInterrupt:
        message = "interrupted"
    except OSError as error:
        message = f"{error.filename or 'results'}: {error.strerror}"
    except BaseException as error:
        if progress:
            progress.fail(repr(error))
        raise
    if progress:
        progress.fail(message)
    print(f"error: {message}", file=sys.stderr)
    return 1


def to_run(arguments: argparse.Namespace) -> grid.Run:
    """The run that the command line describes.

    Raises:
        UserError: an unknown name, or a value that is not allowed.
    """
    network = arguments.network or arguments.model
    if network not in models.NETWORKS and not custom.is_custom(network):
        raise UserError(f"unknown network '{network}'; there are {', '.join(models.NETWORKS)}")
    knobs = _pairs(arguments.knob) | ({} if arguments.lr is None else {"lr": arguments.lr})
    return grid.Run(
        study="by-hand",
        exercise=arguments.exercise,
        dataset=_dataset_name(arguments),
        data=arguments.data or _prepared(arguments.dataset),
        model=arguments.model,
        network=network,
        network_options=_pairs(arguments.model_option),
        optimizer=arguments.optimizer,
        knobs=optimizers.complete(arguments.optimizer, knobs),
        batch_size="full" if arguments.batch_size == "full" else int(arguments.batch_size),
        **{
            name: getattr(arguments, name)
            for name in (
                *("epochs", "gpus", "seeds", "device", "threads", "precision"),
                *("evaluate_every", "train_loss_examples"),
            )
        },
    )


def fingerprint(run: grid.Run) -> str:
    """What the digits of the run depend on, as one text."""
    code = [HERE / name for name in grid.TRAINING_CODE]
    settings = {name: value for name, value in vars(run).items() if name not in _NOT_DIGITS}
    if run.device == "auto":
        settings["device"] = _device(run.device)
    return record.fingerprint(settings, [*code, *run.code, run.data])


_NOT_DIGITS = {"study", "seeds", "data", "path", "shown_knobs"}


def train_seeds(run: grid.Run, progress: Progress, done: set[int], started: float) -> dict:
    """Train the seeds that are not done, one after another.

    Returns:
        Their rows and records, the hardware, and where the time went, in seconds.
    """
    import torch

    from optlab import datasets, training

    torch.set_num_threads(run.threads)
    device = _device(run.device)
    data = datasets.load(Path(run.data), device)
    settings = training.Settings(
        device=device,
        **{name: getattr(run, name) for name in training.Settings.__dataclass_fields__ if name != "device"},
    )
    ready = time.time()
    rows: list[metrics.Row] = []
    seeds: list[dict[str, Any]] = []
    evaluation = 0.0
    for seed in range(run.seeds):
        if seed in done:
            continue
        outcome = training.train(
            settings, data, seed, lambda row, seed=seed: progress.update(seed, row)
        )
        rows += [{**identity(run, device, seed), **vars(row)} for row in outcome.evaluations]
        seeds.append(seed_record(seed, outcome))
        evaluation += outcome.evaluation_seconds
    return {
        "rows": rows,
        "seeds": seeds,
        "hardware": record.hardware(device),
        "wall": {
            "start_up": round(ready - started, 3),
            "training": round(sum(entry["seconds"] for entry in seeds), 3),
            "evaluation": round(evaluation, 3),
            "total": round(time.time() - started, 3),
        },
        "usage": record.usage(),
    }


def identity(run: grid.Run, device: str, seed: int) -> metrics.Row:
    """The columns of a row that name its run and seed."""
    knobs = {name: grid.text(value) for name, value in run.shown_knobs.items()}
    return {
        "exercise": run.exercise,
        "dataset": run.dataset,
        "model": run.model,
        "optimizer": run.optimizer,
        "batch_size": run.batch_size,
        "gpus": run.gpus,
        "device": device,
        "seed": seed,
        **knobs,
    }


def seed_record(seed: int, outcome: Any) -> dict[str, Any]:
    """What ``run.json`` says of one seed; of a handful of weights, their final values too."""
    last = outcome.evaluations[-1]
    weights = {
        name: value.flatten().tolist() for name, value in outcome.model.state_dict().items()
    }
    facts = {
        "seed": seed,
        "status": last.status,
        "last_step": last.step,
        "seconds": round(outcome.seconds, 6),
        "weights": sum(map(len, weights.values())),
    }
    return {**facts, "final_weights": weights} if facts["weights"] <= 16 else facts


def description(run: grid.Run, mark: str) -> dict[str, Any]:
    """What ``run.json`` says of a run: its settings and the command that makes it again."""
    program = Path(sys.argv[0]).name
    command = shlex.join(["python", f"workflow/scripts/{program}", *run.arguments()])
    settings = {k: v for k, v in vars(run).items() if k not in ("study", "path", "shown_knobs")}
    return {
        "fingerprint": mark,
        "settings": settings,
        "command": command,
        "versions": record.versions(),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _device(wanted: str) -> str:
    if wanted == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise UserError("device: cuda, but PyTorch sees no GPU here; use cpu or auto")
    return "cpu"


def _pairs(words: Sequence[str]) -> dict[str, Any]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise UserError(f"'{word}' is not NAME=VALUE")
        try:
            pairs[name] = grid.canonical(json.loads(value))
        except ValueError:
            pairs[name] = value
    return pairs


def _dataset_name(arguments: argparse.Namespace) -> str:
    if not arguments.data:
        return arguments.dataset
    try:
        return json.loads(Path(arguments.data).read_text(encoding="utf-8"))["name"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{arguments.data}: not a prepared data set ({error})") from error


def _prepared(dataset: str) -> str:
    """The prepared data set of a source that the program knows, made now where it is missing."""
    if dataset not in sources.SOURCES or dataset == "npz":
        known = ", ".join(name for name in sources.SOURCES if name != "npz")
        raise UserError(f"unknown data set '{dataset}'; there are {known}; others through --data")
    path = sources.prepared_path(dataset, {"source": dataset, "split_seed": 0})
    if not Path(path).is_file():
        command = [sys.executable, str(HERE / "prepare_data.py")]
        command += ["--name", dataset, "--source", dataset, "--output", path]
        if subprocess.run(command, check=False).returncode:
            raise UserError(f"the data set '{dataset}' could not be prepared")
    return path


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
