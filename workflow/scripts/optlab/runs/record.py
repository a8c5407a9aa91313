"""The record of a run: its settings, and where, when, with what and at what cost it was made."""

import base64
import hashlib
import json
import time
import zlib
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from optlab import files
from optlab.machine import hardware
from optlab.runs import metrics
from optlab.study.run import Run
from optlab.values import text

_SEAL = b',\n "record_sha256": '  # the last key of a record: a hash of all before it
STOPPED = "stopped_early"  # column and key of runs with `patience`
_UNCOUNTED = ("study", "seeds", "first_seed", "data", "keep_weights", "log_to")


def fingerprint(settings: Mapping[str, Any], code: str, data: Iterable[str | Path]) -> str:
    """A hash of everything that the figures of a run depend on: settings, code, data, PyTorch.

    Args:
        settings: those of the run; its study, its seeds, the path of the data, and what it keeps
            beside its figures do not count.
        code: the digest of the rule's files (`optlab.triggers`).
        data: the prepared data set's description, and files of the user's own.
    """
    counted = {k: v for k, v in settings.items() if k not in _UNCOUNTED}
    digest = hashlib.sha256(json.dumps(counted, sort_keys=True).encode())
    digest.update(f"{metadata.version('torch')} {code}".encode())
    for file in data:
        digest.update(hashlib.sha256(Path(file).read_bytes()).digest())
    return digest.hexdigest()


def kept(folder: Path, mark: str) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """The rows, and the record of each seed, that earlier calls of the same run left.

    Also of seeds that are not asked for now: who reads results leaves them out, and a call that
    asks for them again does not train them again. Nothing is kept of a run with another
    fingerprint, or whose two files do not belong together.
    """
    try:
        record = files.read_json(folder / "run.json")
        content = (folder / "metrics.tsv").read_bytes()
        if record["fingerprint"] != mark or not describes(str(folder), content):
            return [], []
        seeds = list(record["seeds"])
        complete = {entry["seed"] for entry in seeds}
        rows = [r for r in metrics.read(folder / "metrics.tsv") if int(r["seed"]) in complete]
        return (rows, seeds) if {int(row["seed"]) for row in rows} == complete else ([], [])
    except (OSError, ValueError, KeyError, TypeError):
        return [], []


def write(folder: Path, rows: list[metrics.Row], record: dict[str, Any]) -> None:
    """Write ``metrics.tsv``, seed by seed, then ``run.json``, which holds its hash and its own."""
    content = metrics.text(sorted(rows, key=lambda row: int(row["seed"])))
    digest = hashlib.sha256(content.encode()).hexdigest()
    files.write(folder / "metrics.tsv", content)
    seeds = sorted(record["seeds"], key=lambda entry: entry["seed"])
    text = json.dumps({**record, "seeds": seeds, "metrics_sha256": digest}, indent=1)[:-2]
    seal = hashlib.sha256(text.encode()).hexdigest()
    files.write(folder / "run.json", f'{text}{_SEAL.decode()}"{seal}"\n}}\n')


def describes(folder: str, content: bytes) -> bool:
    """Whether a run's record is as it was written, and of these metrics; also without a record."""
    try:
        record = Path(folder, "run.json").read_bytes()
    except OSError:
        return True
    # Found in the text: parsing thousands of records would take longer than reading the metrics.
    sealed = record.rfind(_SEAL)
    if sealed >= 0 and _sha256(record[:sealed]) not in record[sealed:]:
        return False
    at = record.rfind(b'"metrics_sha256"')
    return at >= 0 and _sha256(content) in record[at:]


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


def identity(run: Run, device: str, seed: int) -> metrics.Row:
    """The columns of a row that name its run and seed."""
    knobs = {name: text(value) for name, value in {**run.shown_knobs, **run.changed}.items()}
    names = ("exercise", "dataset", "model", "optimizer", "batch_size", "gpus")
    row = {name: getattr(run, name) for name in names}
    ends = {STOPPED: None} if run.patience else {}
    return {**row, "device": device, "seed": seed, **knobs, **ends}


def read(folder: str) -> dict[str, Any]:
    """The record in a run's folder; empty where there is none that can be read."""
    return files.read_object(Path(folder, "run.json"))


def seeds(run: Run) -> list[dict[str, Any]]:
    """What a run's record says of each of its seeds; empty where it cannot be read."""
    try:
        found = read(run.folder)["seeds"]
        return [entry for entry in found if entry["seed"] in run.seed_numbers]
    except (KeyError, TypeError):
        return []


def pack(correct: Iterable[bool]) -> str:
    """Which examples are classified correctly, as a text; mistakes are few, so it is short."""
    return base64.b64encode(zlib.compress(bytes(map(bool, correct)), 9)).decode()


def unpack(text: str) -> bytes:
    """A byte for each example, 1 for correct, of what `pack` gave."""
    return zlib.decompress(base64.b64decode(text))


def tell_end(run: Run, outcome: Any, last: metrics.Row, entry: dict[str, Any]) -> None:
    """Say in the last row and in the record of a seed when it ended, where the settings do not."""
    if run.patience:
        last[STOPPED] = text(outcome.stopped_early)
        entry[STOPPED] = outcome.stopped_early
    if run.patience or run.minutes:
        entry["epochs"] = outcome.evaluations[-1].epoch


def of_seed(seed: int, outcome: Any, replicates: int, device: str) -> dict[str, Any]:
    """What ``run.json`` says of one seed; of a handful of weights, their final values too.

    Args:
        seed: its number.
        outcome: what training gave (`optlab.training.outcome.Outcome`).
        replicates: how many were trained at once and share the seconds.
        device: cpu or cuda.
    """
    last = outcome.evaluations[-1]
    state = outcome.model.state_dict().items()
    tensors = ((name, value) for name, value in state if hasattr(value, "flatten"))
    weights = {name: value.flatten().tolist() for name, value in tensors}
    facts = {
        "seed": seed,
        "status": last.status,
        "last_step": last.step,
        "seconds": round(outcome.seconds, 6),
        "evaluation_seconds": round(outcome.evaluation_seconds, 6),
        "cpu_seconds": round(outcome.cpu_seconds, 6),
        "hardware": hardware.processor_of(device),
        "weights": sum(map(len, weights.values())),
        **({"trained_at_once": replicates} if replicates > 1 else {}),
    }
    return {**facts, "final_weights": weights} if facts["weights"] <= 16 else facts


def wall(seeds: list[dict[str, Any]], started: float, ready: float, spent: float) -> dict:
    """Where the seconds of the job went; ``spent`` are those of interrupted calls before it."""
    return {
        "start_up": round(ready - started, 3),
        "training": round(sum(entry["seconds"] for entry in seeds), 3),
        "evaluation": round(sum(entry["evaluation_seconds"] for entry in seeds), 3),
        "total": round(time.time() - started + spent, 3),
    }
