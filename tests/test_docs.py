"""The documents name what there is: keys, columns, optimizers, networks, data sets, schedules."""

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from handmade import LINE, finish, save

from optlab.catalogue import networks, optimizers, schedules
from optlab.catalogue.datasets import SOURCES
from optlab.results import budget, profiles
from optlab.results.scaling import COLUMNS
from optlab.runs import metrics
from optlab.study import reading, schema, table
from optlab.study.kinds import search

ROOT = Path(__file__).parents[1]
REFERENCE = (ROOT / "config/README.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
        *networks.NETWORKS,
        *(option for entry in networks.NETWORKS.values() for option in entry.options),
        *SOURCES,
        *schedules.SCHEDULES,
        *search.SAMPLERS,
        *search.PRUNERS,
    ],
)
def test_the_reference_names_it(name):
    assert re.search(rf"`{re.escape(name)}\b", REFERENCE), f"config/README.md lacks `{name}`"


def test_the_reference_names_every_column_of_the_scaling_table():
    text = REFERENCE[REFERENCE.index("`tables/scaling.tsv` has") :]
    text = text[: text.index("**Replayed rows**")]
    missing = {name for name in COLUMNS if f"`{re.sub('_(low|high)$', '', name)}`" not in text}
    assert not missing


@pytest.mark.parametrize("module", [budget, profiles])
def test_the_reference_names_every_column(module):
    name = module.__name__.rpartition(".")[2]
    text = REFERENCE[REFERENCE.index(f"`tables/{name}.tsv`") :]
    text = text[: text.index("The picture")]
    assert not {column for column in module.COLUMNS if f"`{column}`" not in text}


def test_commands_and_files_that_the_readme_names_exist():
    text = README
    targets = set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))
    rules = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets and targets <= rules
    files = set(re.findall(r"(?:workflow/scripts|config)/[\w/.]+\.(?:py|yaml|md)", text))
    files |= set(re.findall(r"\]\(([^)#]+)\)", text))
    assert files and all((ROOT / file).exists() for file in files)


def test_shipped_studies_are_named_after_their_files():
    names = {p.stem: yaml.safe_load(p.read_text())["study"] for p in ROOT.glob("config/*.yaml")}
    assert names == {"config": "default", "lab": "lab"}


def test_the_results_in_the_readme_are_those_of_the_tables():
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs/results/readme.py")
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    assert readme.updated(README) == README, "run docs/results/readme.py"


def test_the_notebook_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exercise = {**LINE, "optimizers": {"sgd": {"lr": [0.01]}, "adam": {"lr": [0.01]}}}
    study = reading.resolve({"study": "default", "exercises": {"linear": exercise}})
    save(study)
    for run in table.runs(study):
        finish(run, [1.0] * 3)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(block.splitlines()) == 5
    names = {}
    exec(block, names)
    assert names["study"].evaluations["path"].nunique() == 2
