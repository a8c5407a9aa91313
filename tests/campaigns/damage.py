"""Damaged results: a file of a finished study is changed, cut, emptied, replaced or taken away.

Whoever reads it has to say so in one line that names it. The next call has to make it again, or to
say what is to be done. No number may differ from those of the study before.
"""

import io
import os
import random as numbers
import re
from pathlib import Path
from random import Random
from typing import NamedTuple

import laboratory
import whole
from core import Called, End, program

LENGTHS = (100, 600)
SNAKEMAKE = 0.1  # share of the cases in which Snakemake itself is the next call

STUDIES = ("chosen", "chosen", "search", "fit", "own")
FILES = (
    *("runs/**/metrics.tsv", "runs/**/metrics.tsv", "runs/**/run.json", "runs/**/run.json"),
    *("confirm/**/metrics.tsv", "confirm/**/run.json", "confirm/**/confirmed.json"),
    *("../data/*.pt", "../data/*.pt", "../data/*.json", "search/**/journal-*.log"),
    *("search/**/trials.json", "search/**/worker-*.json", "search/**/best/*", "study.yaml"),
)


def prepare() -> None:
    """Make the finished studies once, for all processes that judge."""
    for study in dict.fromkeys(STUDIES):
        laboratory.finished(study)


class Case(NamedTuple):
    study: str
    pattern: str
    kind: str
    seed: int
    snakemake: bool

    @property
    def words(self) -> str:
        way = "Snakemake" if self.snakemake else "the programs"
        return f"study {self.study}: {self.pattern}: {self.kind} (seed {self.seed}), then {way}"


def case(random: Random) -> Case:
    study = random.choice(STUDIES)
    fitting = [f for f in FILES if ("search/" in f) == (study == "search") or "data" in f]
    if study in ("fit", "own"):
        fitting = [pattern for pattern in fitting if not pattern.startswith("confirm")]
    if study == "search":
        fitting.remove("../data/*.json")
    kind, seed = random.choice(list(KINDS)), random.randrange(10**6)
    return Case(study, random.choice(fitting), kind, seed, random.random() < SNAKEMAKE)


def judge(case: Case, folder: Path) -> End:
    random = numbers.Random(case.seed)
    laboratory.copied(case.study, folder)
    (results,) = (path for path in (folder / "results").iterdir() if path.name != "data")
    files = sorted(results.glob(case.pattern))
    file = random.choice(files)
    before = file.read_bytes()
    KINDS[case.kind](file, random)
    if file.is_file() and file.read_bytes() == before:
        return End("harmless")
    seen = f"{os.path.relpath(file, folder)}: {case.kind}\n"
    end = read(case, folder, file) or again(case, folder, file)
    return End(end.kind, seen + end.seen)


def read(case: Case, folder: Path, file: Path) -> End | None:
    """What the readers of the results make of the damage; None if nothing is wrong with that."""
    readers = ("status.py", "tables.py", "page.py", "figures.py")
    told: dict[str, Called] = {}
    named = False  # once a reader has named the file, the next may name what has to wait for it
    for call in sorted(whole.calls(folder), key=lambda call: call.words[0] != "status.py"):
        if call.words[0] not in readers:
            continue
        called = told[call.words[0]] = program(*call.words, folder=folder)
        if called.fault:
            return End(f"{called.fault.kind}: {call.words[0]}", called.fault.seen)
        named = named or names(called.told, file)
        if called.status and not named:
            return End("does not name the file", f"{call.words[0]}: {called.told[-500:]}")
    tables, figures = told["tables.py"], told["figures.py"]
    if not tables.status and (found := [f for f in changed(case, folder) if "/tables/" in f]):
        return End("wrong digit", f"the tables say nothing and differ: {found}")
    if file.name != "metrics.tsv":
        return None
    if not tables.status and not figures.status:
        return End("silent", "tables and figures say nothing")
    if called_done(told["status.py"].told, file):
        return End("silent", f"make status calls it done: {told['status.py'].told}")
    return None


def names(told: str, file: Path) -> bool:
    return file.name in told or file.parent.name in told


def called_done(told: str, file: Path) -> bool:
    """Whether `make status` says that what this file belongs to is done."""
    parts = file.parts[file.parts.index("results") + 2 :]
    if parts[0] == "runs":
        return "nothing is left to train" in told and "/".join(parts[1:-1]) not in told
    path = "/".join(parts[1:4] if parts[0] == "confirm" else parts[1:3])
    return bool(re.search(rf"^  {parts[0]} {re.escape(path)}, .*: done", told, re.MULTILINE))


def again(case: Case, folder: Path, file: Path) -> End:
    """What the next calls make of the damage: all that is asked for, with the same numbers."""
    seen = ""
    for _ in range(2):
        status, told = by_snakemake(folder) if case.snakemake else by_programs(folder, file)
        if "Traceback (most recent call last)" in told:
            return End("traceback", told[-1500:])
        if not status:
            break
        if not names(told, file):
            return End("does not name the file", told[-800:])
        seen = told[-1000:]
    if status:
        return (
            End("refused in one line") if file_is_in_the_way(file) else End("not made again", seen)
        )
    found = changed(case, folder)
    return End("wrong digit", f"{found}\n{told[-500:]}") if found else End("made again")


def changed(case: Case, folder: Path) -> list[str]:
    """Where the numbers differ; those of a search whose journal was damaged may."""
    leave = "search" if "journal" in case.pattern else ""
    found = laboratory.differences(folder, case.study, leave)
    return [f for f in found if not leave or "tables" not in f]


def file_is_in_the_way(file: Path) -> bool:
    """A folder where a file has to be: nobody may remove what the user may have put there."""
    return file.is_dir() or file.is_symlink()


def by_snakemake(folder: Path) -> tuple[int, str]:
    return laboratory.call(folder, "--rerun-incomplete")


def by_programs(folder: Path, file: Path) -> tuple[int, str]:
    """All programs, but for the preparation of data that are there."""
    for call in whole.calls(folder):
        if call.words[0] == "prepare_data.py" and _complete(folder, call):
            continue
        called = program(*call.words, folder=folder, stdin=call.stdin, seconds=120)
        if called.status != 0:
            return 1, f"{call.words[0]}: {called.told}"
    return 0, ""


def _complete(folder: Path, call: whole.Call) -> bool:
    """Whether both files of a prepared data set are there: then Snakemake prepares nothing."""
    description = folder / call.words[-1]
    return description.exists() and description.with_suffix(".pt").exists()


# -- kinds of damage -------------------------------------------------------------------------------


def flip_bit(file: Path, random: Random) -> None:
    data = bytearray(file.read_bytes())
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)
    file.write_bytes(data)


def change_digit(file: Path, random: Random) -> None:
    """Another digit, so that the file can still be read; of tensors, another number."""
    if file.suffix == ".pt":
        return change_number(file, random)
    data = bytearray(file.read_bytes())
    at = random.choice([n for n, sign in enumerate(data) if chr(sign).isdigit()])
    data[at] = ord(random.choice([d for d in "0123456789" if ord(d) != data[at]]))
    file.write_bytes(data)


def change_number(file: Path, random: Random) -> None:
    import torch

    tensors = torch.load(io.BytesIO(file.read_bytes()), weights_only=True)
    tensor = tensors[random.choice(sorted(tensors))]
    at = random.randrange(tensor.numel())
    value = tensor.view(-1)[at].item()
    tensor.view(-1)[at] = value + 1 if value < 1 else value - 1
    torch.save(tensors, file)


def cut_off(file: Path, random: Random) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: random.randrange(len(data))])


def cut_line(file: Path, random: Random) -> None:
    """The last lines are gone, as after a disk that was full."""
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[: random.randrange(len(lines))]))


def zero_block(file: Path, random: Random) -> None:
    data = bytearray(file.read_bytes())
    size = min(len(data), random.choice((16, 512, 4096)))
    at = random.randrange(len(data) - size + 1)
    data[at : at + size] = bytes(size)
    file.write_bytes(data)


def another(file: Path, random: Random) -> None:
    """The content of another file of the same name."""
    results = file.parents[len(file.parts) - file.parts.index("results") - 2]
    others = [one for one in results.rglob(file.name) if one != file] or [file]
    file.write_bytes(random.choice(sorted(others)).read_bytes())


def folder_instead(file: Path, random: Random) -> None:
    file.unlink()
    file.mkdir()


def link(file: Path, random: Random) -> None:
    file.unlink()
    file.symlink_to(random.choice(("/nowhere/at/all", file.name, "/dev/null")))


def json_of_another_kind(file: Path, random: Random) -> None:
    file.write_text(
        random.choice(("null", "[]", "{}", "3", '"a"', "[null]", '{"seeds": 3}', "NaN"))
    )


KINDS = {
    "a flipped bit": flip_bit,
    "a changed digit": change_digit,
    "cut off": cut_off,
    "without its last lines": cut_line,
    "a zeroed block": zero_block,
    "empty": lambda file, random: file.write_bytes(b""),
    "random bytes": lambda file, random: file.write_bytes(random.randbytes(200)),
    "gone": lambda file, random: file.unlink(),
    "the content of another": another,
    "a folder in its place": folder_instead,
    "a link": link,
    "JSON of another kind": json_of_another_kind,
    "twice": lambda file, random: file.write_bytes(file.read_bytes() * 2),
}
