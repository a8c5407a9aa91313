"""The weights that a run keeps: a file a seed beside ``run.json``, which has their hashes."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from optlab import files
from optlab.runs import metrics
from optlab.study.run import Run

KEY = "kept_weights"  # of what a record says of a seed: which weights, their epoch, their hash
_NAME = "weights-{}.pt"


def file_of(folder: str | Path, seed: int) -> Path:
    """The file with the weights of a seed of the run in this folder."""
    return Path(folder, _NAME.format(seed))


def files_of(run: Run) -> list[str]:
    """The files with the weights of a run; none where it keeps none."""
    return [str(file_of(run.folder, seed)) for seed in run.seed_numbers if run.keep_weights]


def with_weights(
    run: Run, folder: Path, rows: list[metrics.Row], seeds: list[dict[str, Any]]
) -> tuple[list[metrics.Row], list[dict[str, Any]]]:
    """The rows and records without those of the seeds whose weights are missing.

    Of the seeds that are not asked for now, all are kept.
    """
    if not run.keep_weights:
        return rows, seeds
    wanted = [entry for entry in seeds if entry["seed"] in run.seed_numbers]
    lost = {entry["seed"] for entry in wanted if not _there(folder, entry, run.keep_weights)}
    left = [row for row in rows if int(row["seed"]) not in lost]
    return left, [entry for entry in seeds if entry["seed"] not in lost]


def _there(folder: Path, entry: Mapping[str, Any], keep: str) -> bool:
    try:
        said = entry[KEY]
        return said["of"] == keep and intact(file_of(folder, entry["seed"]), said)
    except (KeyError, TypeError, OSError):
        return False


def intact(file: Path, said: Mapping[str, Any]) -> bool:
    """Whether a file of weights is the one of which a record says this.

    Raises:
        OSError: it cannot be read.
    """
    return files.digest(file) == said["sha256"]


def write(
    run: Run, folder: Path, seeds: list[dict[str, Any]], found: Mapping[int, tuple[int, Any]]
) -> None:
    """Write the weights of seeds, say so in their records, and remove files of no record.

    Args:
        found: seed -> the epoch of its weights, and these.
    """
    for entry in seeds:
        if (seed := entry["seed"]) in found:
            epoch, weights = found[seed]
            digest = _write(file_of(folder, seed), weights)
            entry[KEY] = {"of": run.keep_weights, "epoch": epoch, "sha256": digest}
    known = {file_of(folder, entry["seed"]) for entry in seeds if KEY in entry}
    for file in folder.glob(_NAME.format("*")):
        if file not in known:
            files.remove(file)


def write_empty(run: Run, folder: Path, seeds: Iterable[int]) -> None:
    """Files without weights of seeds that failed: Snakemake takes a missing one for a fault."""
    for seed in seeds if run.keep_weights else ():
        _write(file_of(folder, seed), {})


def _write(file: Path, weights: Mapping[str, Any]) -> str:
    from optlab.training import kept  # PyTorch

    content = kept.content(weights)
    with files.replacing(file) as temporary:
        temporary.write_bytes(content)
    return hashlib.sha256(content).hexdigest()
