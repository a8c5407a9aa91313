"""What the probe has found: kept by content, and told in a line each, with the key in the study."""

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optlab import files
from optlab.errors import Mistake
from optlab.probe import questions
from optlab.probe.questions import Question
from optlab.study import reading
from optlab.study.mistakes import Mistakes
from optlab.study.run import Run

PROGRAM = Path(__file__).parents[2] / "probe.py"
LAUNCHER = Path(__file__).parents[4] / "warm/launcher.py"
UNFOLLOWED = "imports {} in a way that is not followed: an edit of that trains nothing again"
SECONDS = 600.0  # after which the probe is given up


@dataclass
class Outcome:
    """What the probe says of a study.

    Attributes:
        lines: one for each thing that is refused, with its place in the study.
        nothing_left: whether no run of the study could train.
        note: why not everything was tried; empty if it was.
        notes: what is to be known of things that are not refused, a line each.
    """

    lines: list[str]
    nothing_left: bool
    note: str
    notes: list[str]


def file_of(study: Mapping[str, Any]) -> Path:
    """Where the answers of a study are kept."""
    return Path("results", study["study"], "probe.json")


def read(file: Path) -> dict[str, str]:
    """Answers by the mark of their question: why it is refused, or an empty text."""
    try:
        found = files.read_sealed(file)
        return {mark: text for mark, text in found.items() if mark != files.SEAL}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}  # none yet, or a damaged one: everything is tried again


def write(file: Path, asked: Iterable[Question], found: Mapping[str, str]) -> None:
    """Keep the answers to these questions; others are of content that is gone."""
    marks = [mark for question in asked for mark in (question.mark, note_of(question))]
    kept = {mark: found[mark] for mark in marks if mark in found}
    sealed = {**kept, files.SEAL: files.seal(kept)}
    files.write(file, json.dumps(sealed, indent=1) + "\n", durable=False)


def of_study(
    study: Mapping[str, Any], written: Sequence[str], runs: Iterable[Run] | None = None
) -> Outcome:
    """Try what has not been tried, in a process of its own, and say what is refused.

    Args:
        study: resolved.
        written: the files that it was read from, whose lines are named.
        runs: its run table, where that has been made already.
    """
    asked, file = questions.of_study(study, runs), file_of(study)
    found, note = read(file), ""
    if any(question.mark not in found for question in asked if is_open(question, found)):
        note = _ask(study, file)
        found = read(file)
    lines = _placed(written, [(q.key, found.get(q.mark, "")) for q in asked])
    notes = _placed(written, [(q.key, found.get(note_of(q), "")) for q in asked])
    left = [q for q in asked if q.stage == "optimizer" and is_open(q, found)]
    wrong = {q.run.exercise for q in asked if q.stage == "loss" and found.get(q.mark)}
    sound = study["exercises"].keys() - wrong
    nothing = not (sound and any(found.get(q.mark, "") == "" for q in left))
    return Outcome(lines, bool(lines) and nothing, note, notes)


def note_of(question: Question) -> str:
    """Under which key a note about a question is kept."""
    return f"note {question.mark}"


def _placed(written: Sequence[str], said: Iterable[Mistake]) -> list[str]:
    """What is said of keys of the study, with the file and the line of each."""
    mistakes = Mistakes()
    if told := [(key, text) for key, text in said if text]:  # else no file has to be read
        for path in written:
            mistakes.load(mistakes.read(path), path)
        mistakes.lines.clear()
        for key, text in told:
            mistakes.add(key, text)
    return mistakes.lines


def is_open(question: Question, found: Mapping[str, str]) -> bool:
    """Whether nothing above a question is refused."""
    above = question.above
    return above is None or (not found.get(above.mark) and is_open(above, found))


def _ask(study: Mapping[str, Any], file: Path) -> str:
    """Run the probe; returns why it did not end as it should, or an empty text."""
    log = Path("results", study["study"], "logs/probe.log")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    except OSError as error:  # the jobs will say so, too
        return f"{log} cannot be written: {error.strerror}"
    command = [sys.executable, str(LAUNCHER), str(PROGRAM), "--study", "/dev/stdin"]
    text = reading.dump(study).encode()
    with log.open("wb") as stream:
        try:
            status = subprocess.run(
                [*command, "--output", str(file)],
                input=text,
                stdout=stream,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return f"it took more than {SECONDS:.0f} s, see {log}"
    return f"it ended with status {status}, see {log}" if status else ""
