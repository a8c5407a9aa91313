"""The parts of README.md between <!-- name --> and <!-- end --> are made from the tables here.

  PYTHONPATH=workflow/scripts python docs/results/readme.py [results/mnist/tables]

Given a folder of tables, those that README shows are copied here first.
"""

import csv
import re
import shutil
import sys
from pathlib import Path

from optlab.catalogue import optimizers

HERE = Path(__file__).parent
README = HERE.parents[1] / "README.md"
TABLES = ("optimizers", "claims")
KNOBS = ("lr", "momentum")


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table in this folder."""
    with (HERE / f"{name}.tsv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def comparison(exercise: str) -> str:
    """The optimizers of an exercise by rank."""
    lines = [
        "| rank | optimizer | chosen | test accuracy, % | difference, points | verdict |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows("optimizers"):
        if row["exercise"] == exercise:
            chosen = ", ".join(f"{knob} {row[knob]}" for knob in KNOBS if row[knob])
            difference = "" if row["rank"] == "1" else _ends(row, "difference")
            accuracy = f"{_ends(row, 'test_accuracy')}, {row['seeds']} seeds"
            label = optimizers.of(row["optimizer"]).label
            cells = (row["rank"], label, chosen, accuracy, difference, row["verdict"])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _ends(row: dict[str, str], name: str) -> str:
    """A figure in percent, with the ends of its interval."""
    mean, low, high = (float(row[name + end] or "nan") for end in ("", "_low", "_high"))
    return f"{100 * mean:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def claims(*exercises: str) -> str:
    """The claims of some exercises."""
    lines = ["| claim of the source | measured | verdict |", "| --- | --- | --- |"]
    for row in rows("claims"):
        if row["exercise"] in exercises:
            cells = (row["claim"], row["measured"].replace("|", "/"), row["verdict"])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def parts() -> dict[str, str]:
    """What README has between the marks, by their name."""
    return {
        "softmax": comparison("softmax"),
        "optimizers": comparison("optimizers"),
        "claims": claims("linear", "softmax", "softmax_long", "optimizers"),
    }


def updated(text: str) -> str:
    """README with every part as the tables have it."""
    for name, part in parts().items():
        mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        if not mark.search(text):
            raise SystemExit(f"README.md has no part <!-- {name} -->")
        text = mark.sub(lambda found, part=part: f"{found[1]}{part}\n{found[2]}", text)
    return text


if __name__ == "__main__":
    for table in TABLES if len(sys.argv) > 1 else ():
        shutil.copy(Path(sys.argv[1], f"{table}.tsv"), HERE)
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
