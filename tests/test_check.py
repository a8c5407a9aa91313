"""`make check`: what is wrong with a study is told in one line each, before Snakemake starts."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from handmade import STUDY

import check
import plot_curves
import settle
import status

ROOT = Path(__file__).resolve().parents[1]
FILES = {
    "gone": (None, "cannot be read: No such file or directory"),
    "empty": (b"", "the study: nothing is given; it takes keys with values"),
    "cut": (STUDY.encode()[:80], "4: exercises.fit: the key 'optimizers' is missing"),
    "not closed": (STUDY.replace("[line]", "[line").encode(), "6: not valid YAML: did not find"),
    "tab": (STUDY.replace("    epochs", "\tepochs").encode(), "7: not valid YAML: found character"),
    "twice": ((STUDY + "seeds: 3\n").encode(), "12: seeds: this key is given twice"),
    "utf-16": (STUDY.encode("utf-16"), "is UTF-16; save it as UTF-8"),
    "latin-1": (STUDY.replace("[10]", "[10]  # ä").encode("latin-1"), "is not utf-8 (byte 0xe4 in"),
    "zeros": (bytes(300), "not valid YAML: "),
    "an escape": (STUDY.replace("tiny", '"\\e[31m"').encode(), r"1: study: '\x1b[31m' cannot be a"),
    "an exercise's name": (STUDY.replace("fit:", '"a\\nb":').encode(), r"4: exercises.a\nb: 'a\n"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_study_is_one_line(here, capsys, name):
    content, message = FILES[name]
    if content is not None:
        Path("study.yaml").write_bytes(content)
    assert check.main(["--study", "study.yaml"]) == 1
    told = capsys.readouterr()
    lines = told.err.splitlines()
    assert told.out == "" and len(lines) == 1 and lines[0].isprintable()
    assert re.match(rf"error: study\.yaml:? ?{re.escape(message)}", lines[0]), lines


@pytest.mark.parametrize("program", [check, status, settle, plot_curves])
@pytest.mark.parametrize(
    ("study", "message"),
    [
        (".", "error: .: cannot be read: Is a directory"),
        ("x" * 300, f"error: {'x' * 300}: cannot be read: File name too long"),
        ("", "error: --study: '' is not allowed; name the file of a study"),
    ],
)
def test_every_program_says_the_same(here, capsys, monkeypatch, program, study, message):
    more = {settle: ["--minutes", "1"], plot_curves: ["--list"]}.get(program, [])
    try:
        code = program.main(["--study", study, *more])
    except SystemExit as end:
        code = end.code
    told = capsys.readouterr()
    assert code in (1, 2) and (told.out, told.err) == ("", f"{message}\n")


def test_a_study_without_mistakes_is_counted(write, capsys):
    file = write()
    assert check.main(["--study", file]) == 0 and check.main(["--study", file, "--name"]) == 0
    assert capsys.readouterr().out == "study tiny: 1 run, no mistakes\ntiny\n"
    assert os.listdir() == [file]


def test_results_that_cannot_be_written_are_told(write, capsys):
    Path("results").write_text("a file")
    assert check.main(["--study", write()]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "error: results: is not a folder that can be written; results go there"


@pytest.mark.parametrize("target", ["check", "lab", "settle", "status"])
def test_make_tells_it_before_snakemake_starts(here, target):
    place = here / "two words.yaml"
    place.write_bytes(STUDY.replace("[line]", "[line").encode("latin-1"))
    command = ["make", "-o", "install", target, f"STUDY={place}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    error, make = done.stderr.splitlines()
    assert error.startswith(f"error: {place}:6: not valid YAML: ") and "*** [Makefile:" in make
    assert "snakemake" not in done.stdout


def test_documents_name_no_option_of_several_values_last():
    """`--configfile a.yaml target` takes the target for a second file."""
    found = []
    for file in ROOT.rglob("*"):
        if file.suffix in (".md", ".yaml") and not {".venv", "results", ".git"} & {*file.parts}:
            calls = re.findall(r"snakemake .*--configfile[^`#\n]*", file.read_text("utf-8"))
            found += [(file, call) for call in calls]
    assert len(found) > 6
    for file, call in found:
        rest = call.split("--configfile", 1)[1].split()
        assert len(rest) > 1 and (rest[0].endswith("]") or rest[1].startswith("-")), (file, call)


def test_the_address_of_the_page_is_a_link(write, here, capsys):
    study = write()
    assert check.main(["--study", study, "--page"]) == 1
    line = "error: results/tiny/index.html: there is no such page yet; `make lab` makes it\n"
    assert capsys.readouterr().err == line
    folder = here / "results/tiny"
    folder.mkdir(parents=True)
    (folder / "index.html").touch()
    assert check.main(["--study", study, "--page"]) == 0
    assert capsys.readouterr().out == f"{(folder / 'index.html').as_uri()}\n"
