"""Train one network with one optimizer, for one seed or several, and record how it went.

Everything has a default, so the shortest call is just train.py. Optimizers, schedules, networks
and data sets are listed by --list.

Examples:
  train.py --optimizer adam --epochs 50 --batch-size 64 --learning-rate 0.001
  train.py --dataset mnist --model cnn --optimizer muon --schedule cosine --seeds 3
  train.py --dataset line --model linear --lr 0.01 --batch-size full --epochs 1000
  train.py --optimizer momentum --knob momentum=0.8 --model-option hidden=[256,128]
  train.py --model my/nets.py:Tiny --optimizer my/opt.py:Sign --learning-rate 0.001

Writes metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, hardware,
command, times). Seeds that lie in --output already, made with exactly these settings, this code
and this data, are kept, and only the missing ones are trained.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optlab import command_line, grid, metrics, record, schedules
from optlab.errors import UserError
from optlab.progress import Progress

HERE = Path(__file__).parent


def main(words: Sequence[str] | None = None) -> int:
    started = record.process_start()
    arguments = command_line.parser(__doc__).parse_args(words)
    if arguments.list:
        print(command_line.listing())
        return 0
    progress: Progress | None = None
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run = command_line.to_run(arguments)
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
        print(f"results: {output}")
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


def fingerprint(run: grid.Run) -> str:
    """What the digits of the run depend on, as one text."""
    code = [HERE / name for name in grid.TRAINING_CODE]
    settings = {name: value for name, value in vars(run).items() if name not in _NOT_DIGITS}
    if run.device == "auto":
        settings["device"] = _device(run.device)
    return record.fingerprint(settings, [*code, *run.code, run.data])


_NOT_DIGITS = {"study", "seeds", "data", "path", "shown_knobs", "timed"}


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
    settings = settings_of(run, device)
    ready = time.time()
    rows: list[metrics.Row] = []
    seeds: list[dict[str, Any]] = []
    evaluation = 0.0
    for seed in range(run.seeds):
        if seed in done:
            continue
        outcome = training.train(settings, data, seed, partial(progress.update, seed))
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


def settings_of(run: grid.Run, device: str) -> Any:
    """The run as `optlab.training` takes it."""
    from optlab import training

    names = training.Settings.__dataclass_fields__
    shared = {name: getattr(run, name) for name in names if hasattr(run, name)}
    return training.Settings(**{**shared, "device": device})


def identity(run: grid.Run, device: str, seed: int) -> metrics.Row:
    """The columns of a row that name its run and seed."""
    knobs = {name: grid.text(value) for name, value in run.shown_knobs.items()}
    if run.schedule != schedules.CONSTANT:
        knobs["schedule"] = run.schedule
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
    weights = {name: value.flatten().tolist() for name, value in outcome.model.state_dict().items()}
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


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
