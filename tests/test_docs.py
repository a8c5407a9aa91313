"""The documents name what there is: keys, columns, optimizers, networks, data sets, schedules."""

import re
from pathlib import Path

import pytest
import yaml

from optlab import metrics, models, optimizers, schedules, schema, search_plan, sources

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "config/README.md").read_text(encoding="utf-8")


def keys_of_the_schema():
    top = schema.load("config")
    levels = [top, *top["$defs"].values()]
    return sorted({key for level in levels for key in level.get("properties", {})})


@pytest.mark.parametrize(
    "name",
    [
        *keys_of_the_schema(),
        *metrics.COLUMNS,
        *optimizers.OPTIMIZERS,
        *(knob for entry in optimizers.OPTIMIZERS.values() for knob in entry.knobs),
        *models.NETWORKS,
        *(option for network in models.NETWORKS for option in models.options(network)),
        *sources.SOURCES,
        *schedules.SCHEDULES,
        *search_plan.SAMPLERS,
        *search_plan.PRUNERS,
    ],
)
def test_the_reference_names_it(name):
    assert re.search(rf"`{re.escape(name)}\b", REFERENCE), f"config/README.md lacks `{name}`"


def test_commands_and_files_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets and targets <= rules
    files = set(re.findall(r"(?:workflow/scripts|config)/[\w/.]+\.(?:py|yaml|md)", text))
    files |= set(re.findall(r"\]\(([^)#]+)\)", text))
    assert files and all((ROOT / file).exists() for file in files)


def test_shipped_studies_are_named_after_their_files():
    names = {p.stem: yaml.safe_load(p.read_text())["study"] for p in ROOT.glob("config/*.yaml")}
    assert names == {"config": "default", "lab": "lab"}
