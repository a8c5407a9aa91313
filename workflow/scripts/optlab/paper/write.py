"""The files of a paper: what it says, its tables, its pictures."""

import shlex
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from optlab import files
from optlab.errors import UserError
from optlab.figures import draw, plan
from optlab.page import written
from optlab.page.cards import Study, Tables
from optlab.paper import checklist, latex, markdown, methods, results
from optlab.paper.document import Heading, Paper, Table
from optlab.paper.facts import Facts
from optlab.paper.pictures import pdf
from optlab.paper.references import cited
from optlab.study import kinds, reading, table
from optlab.study.kinds import search
from optlab.study.run import Run

PARTS = ("methods", "results", "checklist", "further")


def finished(study: Study, file: str) -> tuple[list[Run], dict[str, pd.DataFrame]]:
    """The runs and the tables of a finished study; ``file`` is its configuration.

    Raises:
        UserError: something is missing, in one line with the command that makes it.
    """
    folder = Path("results", study["study"])
    names = sorted({name for one in study["exercises"].values() for name in kinds.of(one).TABLES})
    if reason := _missing(study, folder, names):
        command = f"snakemake --configfile {shlex.quote(file)} --cores all"
        raise UserError(f"the study {study['study']} is not finished: {reason}; {command}")
    runs = table.every(study)
    return runs, written.read(folder / "tables", runs, names)


def _missing(study: Study, folder: Path, names: list[str]) -> str:
    """What a finished study would have and this one has not; empty if it is finished."""
    made = folder / "study.yaml"
    if not made.is_file():
        return f"there is no {made}"
    if made.read_text(encoding="utf-8") != reading.dump(study):
        return "it has changed since its results were made"
    try:
        runs = [
            *table.every(study),
            *(one.run for one in table.confirmed(study).values() if one.seeds),
        ]
        found = [f"{run.folder}/metrics.tsv" for run in runs]
    except UserError as error:
        return str(error).splitlines()[0]
    for one in search.every(study):
        found += [f"{one.folder}/trials.json", f"{one.folder}/best/metrics.tsv"]
    found += [f"{folder}/tables/{name}.tsv" for name in names]
    lost = [one for one in found if not Path(one).is_file()]
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"there is no {lost[0]}{more}" if lost else ""


def paper(study: Study, runs: list[Run], tables: Tables, file: str) -> Paper:
    """What the paper of a finished study says."""
    facts = Facts(study, runs)
    known: Mapping[str, Run] = {run.path: run for run in runs}
    made = Paper(f"The study {study['study']}", methods.blocks(facts))
    made.results.append(Heading("Results"))
    made.further.append(Heading("Further figures"))
    for name in study["exercises"]:
        made.results += results.blocks(study, name, tables, known)
        made.further += [one for one in results.pictures(study, name) if one.small]
    whole = results.pictures(study, None)
    made.results += [Heading("All exercises", 2), *whole] if whole else []
    made.checklist = checklist.blocks(facts, tables, file)
    made.further = made.further if len(made.further) > 1 else []
    return made


def write(made: Paper, folder: Path) -> None:
    """Write the texts and tables of a paper."""
    texts = [
        text
        for block in made.blocks
        for text in (
            [block] if isinstance(block, str)
            else [block.caption] if isinstance(block, Table) else []
        )
    ]  # fmt: skip
    references = cited(texts)
    parts = [name for name in PARTS if getattr(made, name)]
    for name in parts:
        blocks = getattr(made, name)
        files.write(folder / f"{name}.tex", latex.body(blocks))
        files.write(folder / f"{name}.md", markdown.body(blocks) + "\n")
    for block in made.blocks:
        if isinstance(block, Table):
            files.write(folder / f"tables/{block.name}.tex", latex.table(block))
            files.write(folder / f"tables/{block.name}.md", markdown.table(block) + "\n")
    files.write(folder / "paper.tex", latex.paper(made.title, parts, references))
    files.write(folder / "paper.md", markdown.paper(made.title, made.blocks, references))


def pictures(study: Study, folder: Path) -> None:
    """Draw every picture of the study as PDF.

    Raises:
        UserError: a run or a search has not finished.
    """
    whole = [None] if plan.of_study(study) else []
    for exercise in [*study["exercises"], *whole]:
        place = folder / "figures" / (exercise or "")
        for name, figure in draw.figures(study, exercise):
            with files.replacing(place / f"{name}.pdf") as temporary:
                pdf(figure, temporary)
