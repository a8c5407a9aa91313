"""Studies: edited ones, edited texts of their files, and random ones that make sense.

Each is checked as Snakemake checks it, and its whole plan is made. What passes has to train: a
share of it is cut to a few short runs, and every program of the workflow does its part.
"""

import random as numbers
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import bases
import edits
import whole
import yaml
from core import Called, End, apart

LENGTHS = (300, 2000)
SHARE = 0.3  # of the studies that pass: these are trained
NAME = 255  # bytes that a file system allows in a name


class Case(NamedTuple):
    words: str
    content: bytes
    trains: bool


def case(random: Random) -> Case:
    kind, trains = random.random(), random.random() < SHARE
    if kind < 0.25:
        text = yaml.safe_dump(bases.drawn(random), sort_keys=False)
        return Case(f"a study that makes sense\n{text}", text.encode(), trains)
    # Most edits of large studies are of claims, and all are slower.
    name = random.choice([*bases.SMALL, *bases.SMALL, *bases.SMALL, *bases.LARGE])
    if kind < 0.45:
        content, words = edits.of_text(bases.TEXTS[name], random)
    else:
        text, words = edits.of_study(bases.STUDIES[name], random)
        content = text.encode(errors="surrogatepass")
    return Case(f"study {name}: {'; '.join(words)}", content, trains)


def judge(case: Case, folder: Path) -> End:
    bases.write_own(folder)
    (folder / "study.yaml").write_bytes(case.content)
    checked = apart(plan, folder, 30)
    if checked.fault:
        return checked.fault
    if checked.status:
        return End("refused in one line")
    if checked.value["names"]:
        return End("late failure", f"a name of a file is too long: {checked.value['names']}")
    if case.trains:
        return trained(case, folder)
    return End("planned")


def plan() -> dict[str, Any]:
    """Check the study, and plan all that Snakemake's rules take from it."""
    from optlab.errors import in_one_line

    found: dict[str, Any] = {}

    @in_one_line
    def main() -> int:
        found.update(_plan())
        return 0

    if status := main():
        raise SystemExit(status)
    return found


def _plan() -> dict[str, Any]:
    from optlab.figures import plan as figures
    from optlab.machine import resources
    from optlab.study import kinds, reading, table
    from optlab.study.kinds import search

    study = reading.load("study.yaml")
    again = yaml.safe_load(reading.dump(study).partition("\n")[2])
    assert again == study, "the resolved study cannot be written and read"
    runs, units, searches = table.runs(study), table.units(study), search.every(study)
    site = resources.Site.of({})
    for predict, some in ((resources.of_run, runs), (resources.of_unit, units),
                          (resources.of_worker, searches)):  # fmt: skip
        for one in some[:20]:
            predict(one, study["datasets"][one.dataset], site).mem_mb(1)
    files = [f"{run.folder}/metrics.tsv" for run in runs] + [run.log for run in runs]
    for name, exercise in study["exercises"].items():
        files += kinds.of(exercise).results(study, name)
        files += [f"{picture.name}.svg" for picture in figures.pictures(study, name)]
    figures.of_study(study)
    table.skipped(study)
    parts = {part for file in files for part in file.split("/")}
    return {"names": [part for part in parts if len(part.encode()) > NAME][:1]}


def trained(case: Case, folder: Path) -> End:
    """Whether a few short runs of the study, its tables and its pictures come out."""
    draws = numbers.Random(len(case.content))
    cut = whole.cut((folder / "study.yaml").read_text(encoding="utf-8"), draws)
    (folder / "study.yaml").write_text(cut, encoding="utf-8")
    checked: Called = apart(plan, folder, 30)
    if checked.fault:
        return End(f"{checked.fault.kind} (cut)", f"{cut}\n{checked.fault.seen}")
    if checked.status:
        return End("planned")
    failed = whole.run(folder, own="my/code.py" in cut)
    return End("late failure", f"{cut}\n{failed}") if failed else End("ran")
