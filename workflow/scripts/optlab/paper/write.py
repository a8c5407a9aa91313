"""The files of a paper: what it says, its tables, its pictures."""

from collections.abc import Mapping
from pathlib import Path

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
from optlab.study.run import Run

PARTS = ("methods", "results", "checklist", "further")


def finished(study: Study, file: str) -> tuple[list[Run], dict[str, object]]:
    """The runs and the tables of a finished study; ``file`` is its configuration.

    Raises:
        UserError: something is missing, in one line with the command that makes it.
    """
    folder = Path("results", study["study"])
    command = f"snakemake --configfile {file} --cores all"
    try:
        runs = table.every(study)
        names = sorted({n for one in study["exercises"].values() for n in kinds.of(one).TABLES})
        for name in names:
            if not Path(folder, "tables", f"{name}.tsv").is_file():
                raise UserError(f"{folder}/tables/{name}.tsv is missing")
    except UserError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"the study {study['study']} is not finished: {reason}; {command}"
        ) from error
    made = folder / "study.yaml"
    if not made.is_file() or made.read_text(encoding="utf-8") != reading.dump(study):
        raise UserError(f"{made} is not this study: it has changed since; {command}")
    return runs, dict(written.read(folder / "tables", runs, names))


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
