"""`make paper`: its figures are the tables', its texts are typeset whatever they contain."""

import json
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from handmade import CLASSES, LINE, SCALING, confirm, fail, finish, resolved, save, timed
from hypothesis import given, settings
from hypothesis import strategies as st

import paper as program
from optlab.errors import UserError
from optlab.figures import looks
from optlab.figures.words import plain
from optlab.page import written
from optlab.paper import latex, markdown, results, write
from optlab.paper.document import Table
from optlab.paper.escaping import latex as in_latex
from optlab.paper.escaping import markdown as in_markdown
from optlab.paper.numbers import estimate, figure
from optlab.paper.pictures import pdf
from optlab.results import tables
from optlab.runs import metrics
from optlab.study import reading, table
from optlab.study.kinds import search

NASTY = r"50 % & _under_ $x$ #1 {a} ~ ^ \ \end{document} é 学 🙂 − × <b> | `q` * [x] -- ''"
PDFLATEX = pytest.mark.skipif(
    not shutil.which("pdflatex"), reason="pdflatex (Debian's texlive-latex-base) is not installed"
)


def finished(study):
    """A study whose tables are written, its runs, and the tables as they are read."""
    folder = Path("results", study["study"], "tables")
    tables.write_all(folder, tables.tables(study))
    save(study)
    runs = table.every(study)
    return study, runs, written.read(folder, runs)


def papers(study):
    """The paper of a study, and the tables that it was made from."""
    study, runs, found = finished(study)
    made = write.paper(study, runs, found, "my-study.yaml")
    write.write(made, Path("paper"))
    return made, found


def told(made):
    """Every paragraph of a paper."""
    return " ".join(block for block in made.blocks if isinstance(block, str))


def tables_of(made):
    return {block.name: block for block in made.blocks if isinstance(block, Table)}


# -- parsing back --------------------------------------------------------------------------------


def of_markdown(text):
    """The rows of a table, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    cells = [re.split(r"(?<!\\) \| ", line[2:].removesuffix(" |")) for line in lines]
    return [
        [re.sub(r"\\([^a-z0-9\s])", r"\1", cell, flags=re.I) for cell in row] for row in cells[2:]
    ]


def of_latex(text):
    """The same of a table in LaTeX."""
    body = text[text.rindex("\\midrule") + 8 : text.index("\\bottomrule")]
    return [
        [unescaped(cell) for cell in re.split(r"(?<!\\)&", line.removesuffix("\\\\"))]
        for line in body.strip().removeprefix("\\endhead\n").splitlines()
    ]


def unescaped(text):
    codes = {"$-$": "−", "--": "–", "-{}-": "--", r"$\times$": "×", r"\allowbreak{}": ""}
    for code, sign in codes.items():
        text = text.replace(code, sign)
    raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = re.sub(r"\$\^\{([-\d]+)\}\$", lambda match: match[1].translate(raised), text)
    return re.sub(r"\\([%_&#{}$])", r"\1", text).strip()


def numbers(cell):
    """The numbers of a cell: a mean, and the ends of its interval."""
    plain_digits = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹−", "-0123456789-")
    found = re.findall(r"−?[\d.]+(?:×10[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)?", cell)
    return [float(one.replace("×10", "e").translate(plain_digits)) for one in found]


def both(name):
    """The rows of a table of the paper, which are the same in both formats."""
    rows = of_markdown(Path(f"paper/tables/{name}.md").read_text())
    assert of_latex(Path(f"paper/tables/{name}.tex").read_text()) == rows
    return rows


def three(row, column, scale=1.0):
    """A figure of a table with its interval, as far as there is one."""
    return [
        scale * row[f"{column}{end}"]
        for end in ("", "_low", "_high")
        if not math.isnan(row[f"{column}{end}"])
    ]


# -- the studies ---------------------------------------------------------------------------------

ACCURACIES = {"sgd": 0.90, "adam": 0.95, "momentum": 0.9502}


def swept(**more):
    """Three optimizers, ten confirmation seeds: two are equivalent, one is worse."""
    sweep = {**CLASSES, "optimizers": {name: {"lr": [0.1, 1]} for name in ACCURACIES}, "extend": 0}
    study = resolved({"fit": {**sweep, **more}}, confirm=10, margin={"accuracy": "1 point"})
    noise = 0.001 * np.random.default_rng(0).standard_normal((3, 10))
    for run in table.runs(study):
        near = ACCURACIES[run.optimizer] - 0.02 * run.knobs["lr"]
        figures = {"val_accuracy": [near] * 3, "test_accuracy": [near] * 3, "val_loss": [1.0] * 3}
        finish(run, [0.5] * 3, **figures)
        if run.knobs["lr"] == 0.1:
            mean = ACCURACIES[run.optimizer]
            confirm(study, run, list(mean + noise[[*ACCURACIES].index(run.optimizer)]))
    return study


@pytest.fixture
def compared(here):
    return swept(title="A comparison")


def test_the_ranks_are_the_tables_cells_in_both_formats(compared):
    made, found = papers(compared)
    rows = both("fit-1")
    cells = found["optimizers"]
    assert [row[1] for row in rows] == ["Momentum", "Adam", "SGD"]
    assert [row[0] for row in rows] == [str(rank) for rank in cells["rank"]] == ["1", "2", "3"]
    assert [row[5] for row in rows] == list(cells["verdict"]) and [r[6] for r in rows] == ["10"] * 3
    for shown, (_, cell) in zip(rows, cells.iterrows(), strict=True):
        assert shown[2].startswith("lr 0.1")
        assert numbers(shown[3]) == pytest.approx(three(cell, "test_accuracy", 100), abs=0.0051)
        assert numbers(shown[4]) == pytest.approx(three(cell, "difference", 100), abs=0.0051)
    assert re.fullmatch(r"95\.\d\d \(9[45]\.\d\d–95\.\d\d\)", rows[0][3])
    assert re.fullmatch(r"−5\.\d\d \(−5\.\d\d to −4\.\d\d\)", rows[2][4])
    assert len(rows[0]) == len(tables_of(made)["fit-1"].head) == 7  # a selection


def test_the_methods_and_the_checklist_are_those_of_the_study(compared):
    made, _ = papers(compared)
    text = told(made)
    assert "digits: 1,077 training and 360 validation examples" in text
    assert "trained again with 10 confirmation seeds, numbered from 100000" in text
    assert "anytime-valid (Wang and Ramdas 2023)" in text and "margin (accuracy 1 point)" in text
    grid = {row[0]: row[1:] for row in both("fit-grid")}
    assert grid["SGD"] == ["lr 0.1, 1", "torch.optim.SGD", "2"]
    assert grid["Momentum"] == ["lr 0.1, 1; momentum 0.9", "torch.optim.SGD", "2"]
    answers = dict(both("checklist"))
    assert answers["Command"] == "snakemake --configfile my-study.yaml --cores all"
    assert answers["Number of training and evaluation runs"] == (
        "6 settings, 18 trainings; 30 trainings on confirmation seeds"
    )
    assert answers["Computing infrastructure"] == "not recorded"
    whole = Path("paper/paper.md").read_text()
    assert "Holm" in whole and "Karp" not in whole.partition("## References")[2]


def test_diverged_and_failed_runs_are_told(here):
    sweep = {**CLASSES, "optimizers": {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.1]}}}
    study = resolved({"fit": sweep})
    first, second, third = table.runs(study)
    more = {"val_accuracy": [0.9] * 3, "val_loss": [1.0] * 3, "test_accuracy": [0.9, 0.91, 0.92]}
    finish(first, [0.5] * 3, **more)
    finish(second, [0.5, None, None], **more)
    fail(third, "RuntimeError: 50 % of {it}")
    _, found = papers(study)
    rows = both("fit-1")
    assert [row[5] for row in rows] == list(found["optimizers"]["verdict"])
    assert rows[-1][5] == "failed" and rows[-1][3] == "–" and rows[-1][4] == ""
    assert r"50 % of \{it\}" in Path("paper/tables/fit-1.md").read_text()
    assert r"50 \% of \{it\}" in Path("paper/tables/fit-1.tex").read_text()
    answers = dict(both("checklist"))
    assert "1 setting failed" in answers["Number of training and evaluation runs"]
    assert "2 seeds diverged" in answers["Number of training and evaluation runs"]


def test_one_optimizer_without_test_data(here):
    study = resolved({"fit": {**LINE, "optimizers": {"sgd": {"lr": [0.01, 0.05]}}}}, seeds=1)
    for run, loss in zip(table.runs(study), [5.69997e-11, None], strict=True):
        finish(run, [loss])
    made, found = papers(study)
    assert both("fit-1") == [["GD", "lr 0.01", "5.7×10⁻¹¹", "2 (1 diverged)", "1"]]
    assert numbers("5.7×10⁻¹¹") == pytest.approx([found["best"]["train_loss"][0]], rel=1e-3)
    assert "compared in pairs" not in told(made)


def test_scaling_alone(here):
    study = resolved({"fit": {**SCALING, "gpus": [1, 2]}})
    for run in table.runs(study):
        timed(run, [4.0 / run.gpus, 4.1 / run.gpus, 4.2])
    made, found = papers(study)
    rows, cells = both("fit-1"), found["scaling"]
    assert len(rows) == len(cells)
    for shown, (_, cell) in zip(rows, cells.iterrows(), strict=True):
        assert shown[0] == cell["scaling"] and shown[2] == str(cell["gpus"])
        for at, column in ((3, "seconds"), (4, "speedup"), (5, "efficiency")):
            assert numbers(shown[at]) == pytest.approx(three(cell, column), rel=1e-3)
    assert "Handmade 1 (2 cores)" in told(made) and "Karp and Flatt 1990" in told(made)
    assert "Choice of settings" not in told(made)


def found_search(study, best=True):
    """The files of a finished search of three trials."""
    (one,) = search.every(study)
    trials = [
        {"number": n, "state": "complete" if best else "pruned", "status": "ok",
         "value": 0.5 + n / 10, "val_loss": 1.0, "val_accuracy": 0.5 + n / 10, "epochs": 2,
         "seconds": 1.0, "worker": 0, "host": "here", "intermediate": [],
         "parameters": {"lr": 0.0123456 * (n + 1), "optimizer": "sgd"}}
        for n in range(3)
    ]  # fmt: skip
    content = {
        "trials": trials,
        "best": 2 if best else None,
        "retrained_pruned": [],
        "metric": one.metric,
    }
    Path(one.folder, "best").mkdir(parents=True)
    Path(one.folder, "trials.json").write_text(json.dumps(content))
    rows = [
        {"exercise": "fit", "dataset": "digits", "model": "mlp", "optimizer": "sgd", "seed": seed,
         "epoch": 2, "val_accuracy": 0.7 + seed / 100, "test_accuracy": 0.6 + seed / 100,
         "test_loss": 1.0, "status": "ok"}
        for seed in range(3 if best else 0)
    ]  # fmt: skip
    Path(one.folder, "best/metrics.tsv").write_text(metrics.text(rows))


SPACE = {
    "optimizer": {"type": "categorical", "choices": ["sgd"]},
    "lr": {"type": "float", "low": 1e-5, "high": 1, "log": True},
}


@pytest.mark.parametrize("best", [True, False])
def test_a_search_alone(here, best):
    exercise = {"kind": "search", "datasets": ["digits"], "space": SPACE, "trials": 3}
    study = resolved({"fit": exercise})
    found_search(study, best)
    made, found = papers(study)
    (shown,), (_, cell) = both("fit-search"), next(found["search"].iterrows())
    if best:
        assert shown[1:4] == ["3 / 0 / 0 / 0", "lr 0.03704, optimizer sgd", "70.00"]
        expected = three(cell, "retrained_test_accuracy", 100)
        assert numbers(shown[4]) == pytest.approx(expected, abs=0.0051)
    else:
        assert shown[1:] == ["0 / 3 / 0 / 0", "–", "–", "–", "0"]
    assert both("fit-space")[1] == ["lr", "1e-05 to 1 (logarithmic)"]
    assert "the accuracy (searches)" in told(made)


def test_claims_have_the_digits_of_the_table(here):
    claims = [
        {"claim": NASTY, "value": {"optimizer": "sgd"}, "figure": "val_accuracy",
         "published": 0.9},
        {"claim": "none", "unanswered": NASTY},
    ]  # fmt: skip
    study = swept(claims=claims)
    made, found = papers(study)
    shown, cells = tables_of(made)["fit-claims"].rows, found["claims"]
    assert shown[0][0] == NASTY and shown[1] == ("none", "", "", f"not answered: {NASTY}")
    assert shown[0][2].startswith(cells["measured"][0])
    assert numbers(shown[0][2]) == pytest.approx(
        three({**cells.iloc[0], "measured": float(cells["measured"][0])}, "measured")
    )


# -- numbers and texts ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values", "text"),
    [
        ("test_accuracy", (0.9272, 0.9268, 0.9276), "92.72 (92.68–92.76)"),
        ("test_accuracy", (-0.002, -0.0029, -0.0012), "−0.20 (−0.29 to −0.12)"),
        ("test_loss", (1e20, math.nan, math.nan), "1×10²⁰"),
        ("test_loss", (math.inf, math.nan, math.nan), "∞"),
        ("test_loss", (-1.066e-12, -2, 1), "−1.066×10⁻¹² (−2 to 1)"),
        ("test_loss", (math.nan, math.nan, math.nan), "–"),
    ],
)
def test_numbers_are_written_for_a_reader(column, values, text):
    assert estimate(column, *values) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"a_b 5% & #1 $x$ {y}", r"a\_b 5\% \& \#1 $\mathdollar$x$\mathdollar$ \{y\}"),
        ("~ ^ \\", r"$\sim$ \textasciicircum{} \textbackslash{}"),
        ("é ï ş ǖ å ß", r"\'{e} \"{\i} \c{s} \={\"{u}} \aa{} \ss{}"),
        ("− × \u03b1 Ω \u039c", r"$-$ $\times$ $\alpha$ $\Omega$ $M$"),
        ("10⁻¹² x₁₀", r"10$^{-12}$ x$_{10}$"),
        ("学学 🙂", "{[}U+5B66 U+5B66] {[}slightly smiling face]"),
        ("--x '' `` ?` [a", "-{}-x '{}' `{}` ?{}` {[}a"),
        ("ﬁ ½ ą \uff21", "fi 1/2 a A"),
        ("line\ntwo\x00\u202e", "line two"),
        ("a" * 16 + "/b.py", r"aaaaaaaa\allowbreak{}" * 2 + r"/\allowbreak{}b.\allowbreak{}py"),
    ],
)  # fmt: skip
def test_texts_in_latex(text, expected):
    assert in_latex(text) == expected


def strange():
    return st.text(st.one_of(st.characters(), st.sampled_from("%&#$_{}~^\\-`'?![]*|<>\" éß学🙂−")))


@settings(max_examples=100, deadline=None)
@given(strange())
def test_any_text_in_latex_is_ascii_and_balanced(text):
    found = in_latex(text)
    assert found.isascii() and found.isprintable()
    bare = re.sub(r"\\([%&#$_{}\\]|char34|[a-zA-Z]+|[`'^~\"=.])", "", found)
    assert not set("%&#\\~") & set(bare.replace("~", "", text.count("\u00a0")))
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    outside = re.sub(r"\$[^$]*\$", "", bare)
    assert not set("^_") & set(outside)
    assert not re.search("--|``|''", re.sub("[–—“”„]", "", outside)) or set("–—“”„") & set(text)


@settings(max_examples=100, deadline=None)
@given(strange())
def test_any_text_in_markdown_is_read_back(text):
    found = in_markdown(text)
    assert re.sub(r"\\([\\`*_{}\[\]<>#|~&$\-+=.)])", r"\1", found) == plain(text)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|<*_`]", found)
    assert not re.match(r"[-+=#]|\d+[.)](\s|$)", found)


# -- the files -----------------------------------------------------------------------------------


def test_the_program_writes_all_of_it_with_embedded_fonts(here, capsys):
    exercise = {**LINE, "title": NASTY, "optimizers": {"sgd": {"lr": [0.01]}}}
    study = resolved({"fit": exercise}, seeds=1)
    finish(*table.runs(study), [0.1])
    finished(study)
    words = ["--study", "results/hand/study.yaml"]
    assert program.main(words) == 0
    assert "results/hand/paper/paper.tex" in capsys.readouterr().out
    folder = Path("results/hand/paper")
    drawn = {str(one.file) for one in results.pictures(study, "fit")}
    assert {str(one.relative_to(folder)) for one in folder.rglob("*.pdf")} == drawn
    assert all(
        (folder / f"tables/{name}.{end}").is_file()
        for name in ("fit-1", "checklist")
        for end in ("tex", "md")
    )
    content = (folder / "figures/fit/loss-sgd.pdf").read_bytes()
    assert b"/FontFile2" in content and b"/Type3" not in content
    Path("file").write_text("")
    assert program.main([*words, "--output-folder", "file"]) == 1
    assert capsys.readouterr().err.startswith("error: file")
    before = {one: one.read_bytes() for one in folder.rglob("*.*")}
    assert program.main(words) == 0
    assert {one: one.read_bytes() for one in folder.rglob("*.*")} == before


def test_what_is_missing_is_said_in_one_line(compared, capsys):
    (chosen, *_), command = table.confirmed(compared).values(), "; snakemake --configfile a.yaml"

    def refused(study=compared):
        with pytest.raises(UserError) as caught:
            write.finished(study, "a.yaml")
        told = str(caught.value)
        assert told.startswith("the study hand is not finished: ") and "\n" not in told
        assert told.endswith(f"{command} --cores all")
        return told.removeprefix("the study hand is not finished: ").partition(";")[0]

    assert refused() == "there is no results/hand/study.yaml"
    file = save(compared)
    assert refused() == "there is no results/hand/tables/best.tsv and 6 more"
    finished(compared)
    for study in (compared, reading.load(file)):
        assert write.finished(study, "a.yaml")[0] == table.every(compared)
    changed = {**compared, "exercises": {"fit": {**compared["exercises"]["fit"], "title": "B"}}}
    assert refused(changed) == "it has changed since its results were made"
    Path(chosen.run.folder, "metrics.tsv").unlink()
    assert refused() == f"there is no {chosen.run.folder}/metrics.tsv"
    Path(table.units(compared)[0].file).unlink()
    assert "confirmed.json" in refused()
    assert program.main(["--study", str(file)]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def typeset(folder):
    """Typeset a paper as its reader would; nothing may be wrong or run off the page."""
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=120, check=False)
    log = Path(folder, "paper.log").read_text(encoding="latin-1")
    assert done.returncode == 0, log[-2000:]
    wide = [float(one) for one in re.findall(r"Overfull \\hbox \(([\d.]+)pt", log)]
    assert max(wide, default=0) < 2, log
    return log


@PDFLATEX
@pytest.mark.slow
def test_a_whole_paper_is_typeset(here):
    study = swept(title=NASTY, claims=[{"claim": NASTY, "unanswered": NASTY}])
    finished(study)
    words = ["--study", "results/hand/study.yaml", "--output-folder", "elsewhere"]
    assert program.main(words) == 0
    assert "LaTeX Warning: File" not in typeset("elsewhere")


@PDFLATEX
def test_any_text_is_typeset(here):
    """Every character below U+3000 that has a name, and tables of long words and many rows."""
    signs = "".join(map(chr, range(32, 0x3000)))
    lines = [signs[at : at + 400] for at in range(0, len(signs), 400)]
    long = Table(
        "long", NASTY, ("a", NASTY), [(NASTY, f"{'w' * 90} {n}") for n in range(99)], [NASTY]
    )
    wide = Table("wide", "", ("word",) * 6, [("x" * 40, "0.7052 (0.3469–1.434)", "") * 2])
    Path("tables").mkdir()
    for one in (long, wide):
        Path(f"tables/{one.name}.tex").write_text(latex.table(one))
    Path("body.tex").write_text(latex.body([*lines, long, wide]))
    Path("paper.tex").write_text(latex.paper(NASTY, ["body"], [NASTY]))
    typeset(".")
    assert markdown.table(long).count("\n| ") == 101


def test_a_long_table_is_broken_over_pages_and_keeps_its_rows():
    rows = [[f"lr_{n}", f"0.{n:03}"] for n in range(99)]
    one = Table("long", "It is long.", ("setting", "loss"), rows)
    assert "longtable" in latex.table(one)
    assert of_latex(latex.table(one)) == of_markdown(markdown.table(one)) == rows


@pytest.mark.parametrize("value", [0.949167, 0.5, 1.0])
def test_figures_round_as_the_page(value):
    assert float(figure("val_accuracy", value)) == pytest.approx(100 * value, abs=0.005001)


def test_a_sign_that_the_font_lacks_is_shown_as_missing(here, recwarn):
    picture = looks.nothing("title", "a \u5b66 é − ×")
    pdf(picture, Path("a.pdf"))
    assert picture.axes[0].texts[0].get_text() == "a \ufffd é − ×"
    assert not recwarn.list
