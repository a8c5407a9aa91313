"""Titles, claims and names of a user's own are text, whatever they contain, in every place."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_paper import typeset

from optlab.errors import UserError, visible
from optlab.study import reading

ROOT = Path(__file__).resolve().parents[1]
NASTY = "<b>{x}</b> {} $a$ \\n & \"q\" 'a' {{y}} %s #{z} \x1b[31m;`id` $HOME </script><!-- é"
OPTIMIZER = "my own/[o] $x'.py:Own"
NETWORK = "my own/(net) & $y.py:build"
SPACE = {
    "optimizer": {"type": "categorical", "choices": ["sgd"]},
    "lr": {"type": "float", "low": 0.1, "high": 1},
}
SEVERAL = [{"optimizer": "sgd"}, {"optimizer": OPTIMIZER}]
STUDY = {
    "study": "nasty",
    "seeds": 2,
    "device": "cpu",
    "exercises": {
        "sweep": {
            "title": NASTY,
            "datasets": ["digits"],
            "models": [NETWORK],
            "epochs": [1],
            "optimizers": {
                "sgd": {"lr": [0.1, 0.2]},
                OPTIMIZER: {"lr": [0.1], "s": ["{x} $y' \"<i>", "$HOME"]},
            },
            "claims": [
                {"claim": f"{NASTY}\nline two", "order": SEVERAL, "figure": "val_accuracy"},
                {"claim": "{input}", "unanswered": NASTY},
            ],
        },
        "find": {
            "kind": "search",
            "title": f"{{{NASTY}",
            "datasets": ["digits"],
            "epochs": 1,
            "trials": 2,
            "space": SPACE,
        },
    },
}


@pytest.fixture
def nasty(here):
    Path("my own").mkdir()
    Path(NETWORK.removesuffix(":build")).write_text(
        "import math\nfrom torch import nn\ndef build(shape, outputs):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), outputs))\n"
    )
    Path(OPTIMIZER.removesuffix(":Own")).write_text(
        "import torch\nclass Own(torch.optim.SGD):\n    def __init__(self, p, lr, s):\n"
        "        super().__init__(p, lr=lr)\n"
    )
    Path("study.yaml").write_text(yaml.safe_dump(STUDY, sort_keys=False), encoding="utf-8")
    return here


def test_a_text_is_read_back_as_it_was(nasty):
    study = reading.load("study.yaml")
    Path("again.yaml").write_text(reading.dump(study), encoding="utf-8")
    assert reading.load("again.yaml") == study
    assert study["exercises"]["sweep"]["title"] == NASTY


@pytest.mark.parametrize("name", ["a{b}.py:C", "<a>/b.py:C", "a}.py:C"])
def test_a_file_whose_name_snakemake_would_replace_is_refused(here, name):
    Path(name.removesuffix(":C")).parent.mkdir(exist_ok=True)
    Path(name.removesuffix(":C")).write_text("")
    sweep = {"datasets": ["digits"], "models": ["mlp"], "optimizers": {name: {"lr": [0.1]}}}
    with pytest.raises(UserError) as caught:
        reading.resolve({"study": "a", "exercises": {"one": sweep}})
    assert "which Snakemake would replace; rename the file" in str(caught.value).splitlines()[0]


def test_what_a_terminal_would_obey_is_shown_as_its_escape():
    shown = visible("a\x1b[31m\r\n\x07\x9b\u202e\udc80é")
    assert shown == r"a\x1b[31m\r\n\x07\x9b\u202e\udc80é"


@pytest.mark.slow
def test_a_study_of_nasty_texts_runs_to_its_report(nasty):
    def snakemake(*words):
        command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile"]
        command += ["--configfile", "study.yaml", "--cores", "2", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        assert done.returncode == 0, told[-3000:]
        assert not re.search(r"[^\n\t\x20-\x7e\x80-\uffff]", told)
        return told

    snakemake()
    with open("results/nasty/tables/claims.tsv", newline="", encoding="utf-8") as stream:
        claims = [row["claim"] for row in csv.DictReader(stream, delimiter="\t")]
    assert len(claims) == 2 and claims[1] == "{input}"
    assert not os.path.exists("line two")
    snakemake("--quiet", "all", "--report", "report.html")
    page = Path("report.html").read_text(encoding="utf-8")
    scripts = dict(re.findall(r'<script id="(\w+)">\s*var \w+ = (.*?);\s*</script>', page, re.S))
    categories = [name.replace("\u2060", "") for name in json.loads(scripts["categories"])]
    titles = {visible(NASTY), visible(f"{{{NASTY}")}
    assert {*titles, " The answers", "Tables"} == set(categories)
    assert len(json.loads(scripts["results"])) > 10
    assert "nothing to do" in snakemake("-n")
    command = [sys.executable, ROOT / "workflow/scripts/paper.py", "--study", "study.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if shutil.which("pdflatex"):  # tests/test_paper.py says where it is missing
        typeset("results/nasty/paper")
