"""A study is YAML 1.2: what is plain there is plain here, however Snakemake reads the file."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from handmade import STUDY

from optlab.errors import UserError
from optlab.study import notation, reading, table

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {
    **{text: text for text in ("on", "off", "yes", "No", "y", "1:30", "2024-01-01", "0b11", "=")},
    **{text: text for text in ("1_000", "1:2:3.5", "2024-01-01 10:00:00", "tRUE", "0o", "1e", "_")},
    **{"064": 64, "089": 89, "-012": -12, "+7": 7, "0": 0, "0o17": 15, "0x1F": 31},
    **{"1e-3": 0.001, "1E5": 1e5, "6.": 6.0, ".5": 0.5, "-.INF": -math.inf, "1.0": 1.0},
    **{"true": True, "FALSE": False, "~": None, "null": None, "": None},
}


@pytest.mark.parametrize("text", PLAIN)
def test_plain_scalar_is_that_of_yaml_1_2(text):
    (found,) = notation.load(f"a: {text}").values()
    assert (found, type(found)) == (PLAIN[text], type(PLAIN[text]))
    assert list(notation.load(f"{text or '~'}: 1")) == [text or "~"]  # keys are as written


@pytest.mark.parametrize(
    "value", [*PLAIN, *PLAIN.values(), "a\nb", "\x85", " x ", "é", "#", "a: b"]
)
def test_what_is_written_reads_back_the_same_by_both_versions(value):
    content = {"a": value, "b": [value], str(value): 1}
    text = notation.dump(content)
    assert notation.load(text) == yaml.safe_load(text) == content


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("seeds: 1_000", "2: seeds: '1_000' is not allowed; a whole number at least 1"),
        ("seeds: 1:30", "2: seeds: '1:30' is not allowed; a whole number at least 1"),
        ("seeds: 0b11", "2: seeds: '0b11' is not allowed; a whole number at least 1"),
        ("seeds: !!timestamp 2024-01-01", "2: not valid YAML: could not determine a constructor"),
        ("seeds: !!bool maybe", "not valid YAML: 'maybe'"),
        ("vary: [on]", "2: vary.0: 'on' is not known; allowed: weights, order, split, subset"),
        ("models: {m: {network: no}}", "2: models.m.network: unknown network 'no'; allowed: line"),
    ],
)
def test_what_only_yaml_1_1_reads_is_refused_in_one_line(write, line, message):
    with pytest.raises(UserError) as caught:
        reading.load(write({"seeds: 2": line}))
    (told,) = str(caught.value).splitlines()
    assert told.startswith((f"study.yaml:{message}", f"study.yaml: {message}")), told


ODD = {"fit:": "on:", "tiny": "2024-01-01", "[0.01]": "[1e-3]", "[10]": "[064]"}


def test_options_of_snakemake_are_read_as_the_file_is(write):
    words = ["seeds=012", "threads=0x2", "exercises={on: {title: 1:30, epochs: [010]}}"]
    study = reading.of_files([write(ODD)], words)
    (run,) = table.runs(study)
    assert (run.exercise, run.study, run.seeds, run.threads) == ("on", "2024-01-01", 12, 2)
    assert (run.epochs, run.knobs["lr"]) == (10, 0.001)
    assert study["exercises"]["on"]["title"] == "1:30"
    (line,) = mistakes(lambda: reading.of_files([write(ODD)], ["seeds=1_000", "device=cpu"]))
    assert line.startswith("study.yaml:2: seeds: '1_000' is not allowed")


def mistakes(call):
    with pytest.raises(UserError) as caught:
        call()
    return str(caught.value).splitlines()


def test_later_files_are_put_over_earlier_ones(write, here):
    (here / "more.yaml").write_text("exercises: {on: {epochs: [020]}}\nseeds: 3\n")
    study = reading.of_files([write(ODD), "more.yaml"])
    assert [(run.epochs, run.seeds) for run in table.runs(study)] == [(20, 3)]


def test_snakemake_plans_what_the_file_says(write):
    command = [sys.executable, "-m", "snakemake", "-np", "-s", ROOT / "Snakefile"]
    command += ["--configfile", write(ODD), "--config", "seeds=012"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "results/2024-01-01/study.yaml" in done.stdout
    run = "on/sgd/line+linear/lr=0.001/batch_size=full+epochs=64+gpus=1"
    assert run in done.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (STUDY.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (STUDY.replace("tiny", "tiny  # é").encode("latin-1"), "byte 0xe9 in line 1"),
        (STUDY.replace("[10]", "[10]  # ü").encode("latin-1"), "byte 0xfc in line 7"),
        (STUDY.encode() + b"\x00", "not valid YAML"),
    ],
)
def test_wrong_encoding_is_one_line(here, content, message):
    Path("study.yaml").write_bytes(content)
    (line,) = mistakes(lambda: reading.load("study.yaml"))
    assert line.startswith("study.yaml") and message in line


def test_byte_order_mark_of_utf_8_is_no_harm(here, write):
    plain = reading.load(write())
    Path("study.yaml").write_bytes(STUDY.encode("utf-8-sig"))
    assert reading.load("study.yaml") == plain
