"""What a dry run would do, in words: each job once, with the reason; many jobs in groups."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

LINES = 50  # at most, besides the first and the last
WIDTH = 120  # characters of what differs between the jobs of a group
NAMES = 5  # of files that changed

# Snakemake's reason -> ours. Reasons that only follow from other jobs are left out beside others.
REASONS = {
    "Missing output files": "not made yet",
    "Incomplete output files": "was interrupted",
    "Updated input files": "its input changed",
    "Set of input files has changed": "it depends on other files",
    "Code has changed": "its rule changed",
    "Software environment": "its software environment changed",
    "Forced execution": "asked for",
}
FOLLOWS = "Input files updated by another job"
PARAMS = "Params have changed"
DIGEST = re.compile(r"'[0-9a-f]{16}( [0-9a-f]{16})*( \[.*)?'")  # of code, in the parameters


class Plan:
    """Collects the jobs of a dry run."""

    def __init__(self) -> None:
        self._jobs: list[tuple[str, str, str]] = []  # rule, subject, reason

    def add(self, facts: Mapping[str, Any]) -> None:
        """Add a job, from the facts of Snakemake's event."""
        outputs = [str(file) for file in facts.get("output") or ()]
        if outputs:  # a job without output is a target
            self._jobs.append((facts["rule_name"], subject(outputs), reason(facts["reason"])))

    def lines(self) -> list[str]:
        """At most `LINES` lines, and one before and one behind them."""
        count = len(self._jobs)
        head = f"{count} job{'' if count == 1 else 's'} would run:"
        for depth in (None, *range(8, -1, -1)):
            found = list(self._grouped(depth))
            if len(found) <= LINES:
                break
        return [head, *found[:LINES], "This was a dry run: nothing was changed."]

    def _grouped(self, depth: int | None) -> Iterable[str]:
        """A line for each group of jobs whose subjects agree in their first ``depth`` parts."""
        groups: dict[tuple[str, str, str], list[list[str]]] = {}
        rules = list(dict.fromkeys(rule for rule, _, _ in self._jobs))
        jobs = sorted(self._jobs, key=lambda job: (rules.index(job[0]), _natural(job[1])))
        for rule, name, why in jobs:
            parts = name.split("/")
            short = name if depth is None else "/".join(parts[:depth])
            rest = [] if depth is None else parts[depth:]
            groups.setdefault((rule, short, why), []).append(rest)
        for (rule, name, why), rests in groups.items():
            many = f" ({len(rests)} jobs{_varied(rests)})" if len(rests) > 1 else ""
            whole = name if many else "/".join([name, *rests[0]])
            yield f"  {rule} {whole}{many}: {why}".replace(" :", ":")


def _varied(rests: Sequence[Sequence[str]]) -> str:
    """What differs between jobs, given the rest of the path of each, shortened."""
    settings = [[part for rest in one for part in rest.split("+")] for one in rests]
    columns = [dict.fromkeys(column) for column in zip(*settings, strict=False)]
    shown = [", ".join(column) for column in columns if len(column) > 1]
    text = "; ".join(shown)
    return f": {text[: WIDTH - 1]}…" if len(text) > WIDTH else f": {text}" if text else ""


def _natural(name: str) -> list[Any]:
    """A key that sorts numbers in a text by their values."""
    parts = re.split(r"(\d+(?:\.\d+)?(?:e-?\d+)?)", name)
    return [float(part) if number % 2 else part for number, part in enumerate(parts)]


def subject(outputs: Sequence[str]) -> str:
    """What a job is about: the folder that its outputs have in common, or its only output."""
    if not outputs:
        return ""
    first = PurePath(re.sub(r" \(update\)$", "", outputs[0]))
    parts = first.parts
    if parts[:2] == ("results", "data"):
        return first.stem
    if parts[:1] == ("results",) and len(parts) > 3:
        alone = len(outputs) == 1 and first.suffix != ".json"
        return "/".join(parts[3:] if alone else parts[3:-1])
    return str(first)


def reason(text: str) -> str:
    """Snakemake's reason for a job, in words."""
    found = []
    for part in re.split(r"; (?=[A-Z])", text):
        words = next((ours for theirs, ours in REASONS.items() if part.startswith(theirs)), "")
        if part.startswith(PARAMS):
            words = _changed(part)
        elif part.startswith("Updated input files"):
            files = [PurePath(file).name for file in part.partition(": ")[2].split(", ")]
            words += f" ({', '.join(sorted(set(files))[:NAMES])})"
        found += [words] if words else []
    if not found:
        return "follows from the jobs above" if FOLLOWS in text else text[:80]
    return ", ".join(dict.fromkeys(found))


def _changed(text: str) -> str:
    """Whether code, settings or both differ in the parameters of a job."""
    code, rest = bool(DIGEST.search(text)), DIGEST.sub("", text)
    settings = re.search(r"'[^']", rest.partition("before:")[2]) is not None
    return (
        " and ".join([*(["code"] if code else []), *(["settings"] if settings or not code else [])])
        + " changed"
    )
