"""The answer page: its words are those of the tables, and it holds every run and curve."""

import base64
import html
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
from handmade import (
    CLASSES,
    LINE,
    SCALING,
    confirm,
    crowd,
    descend,
    fail,
    finish,
    resolved,
    save,
    timed,
)

import page as program
import watch
from optlab.errors import DamagedError
from optlab.figures.reader import Reader
from optlab.page import answers, curves, store, write, written
from optlab.page.so_far import SoFar
from optlab.page.wording import difference, interval, seconds
from optlab.results import tables
from optlab.runs import metrics
from optlab.study import table

NASTY = "<b>\"1\" & 'two'</b> </script> {{ x }} \u05e9\u05dc\u05d5\u05dd \U0001f600"


def pages(study):
    """The page of a study whose results are there, and the tables that it was made from."""
    tables.write_all(Path("tables"), tables.tables(study))
    runs = table.every(study)
    found = written.read(Path("tables"), runs)
    return write.page(study, found, runs), found


def words(text):
    """What a reader sees of a part of the page, without the meanings of terms."""
    text = re.sub(r'<span class="tip".*?</span>', "", text, flags=re.S)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def cards(text):
    return [words(one) for one in re.findall(r"<article.*?</article>", text, re.S)]


def unpacked(text):
    """The store of a page, and its curves."""
    blocks = [
        zlib.decompress(base64.b64decode(re.search(rf'id="{name}">([^<]*)<', text)[1]))
        for name in ("store", "curves")
    ]
    return json.loads(blocks[0]), np.frombuffer(blocks[1], "<f4")


ACCURACIES = {"sgd": 0.90, "adam": 0.95, "momentum": 0.9502}


@pytest.fixture
def compared(here):
    """Three optimizers, ten confirmation seeds: two are equivalent, one is worse."""
    sweep = {**CLASSES, "optimizers": {name: {"lr": [0.01, 0.1, 1]} for name in ACCURACIES}}
    sweep |= {"title": "A comparison", "extend": 0}
    study = resolved({"fit": sweep}, confirm=10, margin={"accuracy": "1 point"})
    noise = 0.001 * np.random.default_rng(0).standard_normal((4, 10))
    for run in table.runs(study):
        near = ACCURACIES[run.optimizer] - 0.02 * abs(np.log10(run.knobs["lr"] / 0.1))
        finish(
            run, [0.5] * 3, val_accuracy=[near] * 3, test_accuracy=[near] * 3, val_loss=[1.0] * 3
        )
    for number, (name, mean) in enumerate(ACCURACIES.items()):
        run = next(r for r in table.runs(study) if r.optimizer == name and r.knobs["lr"] == 0.1)
        confirm(study, run, [float(f"{value:.4f}") for value in mean + noise[number]])
    return study


def test_a_card_has_the_figures_and_verdicts_of_the_table(compared):
    text, found = pages(compared)
    (card,) = cards(text)
    rows = found["optimizers"].set_index("optimizer")
    first = found["optimizers"].iloc[0]
    assert first["optimizer"] == "momentum" and first["verdict"] == "the best, with equivalent ones"
    mean, low, high = (100 * first[f"test_accuracy{end}"] for end in ("", "_low", "_high"))
    assert card.startswith("A comparison softmax on digits Momentum lr 0.1")
    assert "● The best, with equivalent ones." in card
    assert f"test accuracy {mean:.2f} % [{low:.2f}, {high:.2f}], 10 seeds" in card
    assert "Equivalent (1) Adam" in card
    lost = abs(100 * rows.loc["sgd", "difference"])
    assert f"Worse (1) SGD (−{lost:.2g} points)" in card
    assert "warning" not in card


def test_the_store_holds_each_run_with_its_curves(compared):
    text, found = pages(compared)
    content, curves = unpacked(text)
    runs = table.every(compared)
    assert content["path"] == [run.path for run in runs] == list(found["runs"]["path"])
    assert content["values"]["lr"] == [run.knobs["lr"] for run in runs]
    assert content["values"]["val_accuracy"] == list(found["runs"]["val_accuracy"])
    assert sum(content["chosen"]) == 3
    for run, (start, points, mask) in zip(runs, content["places"], strict=True):
        last = {row["seed"]: row for row in metrics.read(Path(run.folder, "metrics.tsv"))}
        bits = [bit for bit in range(4) if mask >> bit & 1]
        names = [content["figures"][bit] for bit in bits]
        assert names == ["train_loss", "val_loss", "val_accuracy"]
        block = curves[start : start + points * (1 + 3 * len(bits))].reshape(-1, points)
        assert list(block[0]) == [0, 2]
        for row, name in zip(block[1::3], names, strict=True):
            values = [float(one[name]) for one in last.values()]
            assert row[-1] == pytest.approx(np.mean(values), rel=1e-6)


def test_many_evaluations_are_thinned_with_their_ends(here):
    for number in (1, 5, 24, 25, 300, 100_001):
        shown = curves.sampled(number)
        assert shown[0] == 0 and shown[-1] == number - 1 and len(shown) <= max(24, 1)
        assert (np.diff(shown) > 0).all()
    assert list(curves.sampled(24)) == list(range(24))
    assert 1 in curves.sampled(1000) and curves.sampled(1000)[-3] > 500


def test_the_pairs_are_those_of_the_table(compared):
    text, found = pages(compared)
    (pairs,) = unpacked(text)[0]["pairs"].values()
    assert pairs["names"] == ["Momentum", "Adam", "SGD"]
    codes = {"better": "b", "worse": "w", "equivalent": "e", "open": "o"}
    expected = [
        (row["optimizer"], row["other"], codes[row["verdict"]])
        for _, row in found["pairs"].iterrows()
    ]
    names = ["momentum", "adam", "sgd"]
    assert [(names[a], names[b], code) for a, b, code, *_ in pairs["rows"]] == expected


def test_of_very_many_optimizers_the_page_has_the_pairs_of_the_first(here, monkeypatch):
    monkeypatch.setattr(store, "MATRIX", 7)
    number = 8
    text, found = pages(crowd(number))
    (pairs,) = unpacked(text)[0]["pairs"].values()
    assert len(found["pairs"]) == number * (number - 1) // 2
    assert not pairs["whole"] and len(pairs["names"]) == number
    assert [(one, other) for one, other, *_ in pairs["rows"]] == [(0, n) for n in range(1, number)]
    assert len(text) < 1_000_000  # most of it is BokehJS, which is packed


def test_texts_of_the_user_are_text(here):
    sweep = {**LINE, "title": NASTY, "optimizers": {"sgd": {"lr": [0.01, 0.1]}}}
    sweep["claims"] = [{"claim": NASTY, "unanswered": NASTY}]
    study = resolved({"fit": sweep})
    for run in table.runs(study):
        descend(run, 0.99)
    text, _ = pages(study)
    shown = NASTY.replace("{{ x }}", "{{ x }}")
    assert cards(text)[0].startswith(shown)
    body = text[: text.index('<script type="application/octet-stream"')]
    assert '<b>"1' not in body and "</script>" not in body
    assert body.count(html.escape(NASTY, quote=False).split("\u05e9")[0][:8]) >= 2
    assert unpacked(text)[0]["problems"][0]["title"] == f"{shown}: linear on line"


def test_nothing_is_loaded_from_anywhere(compared):
    text, _ = pages(compared)
    before, _, _ = text.partition("<script>")
    policy = html.unescape(re.search(r'Policy" content="([^"]*)"', before)[1])
    assert policy.startswith("default-src 'none'") and policy.endswith("connect-src 'none'")
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", text[: len(before)])
    assert not re.findall(r"url\(|@import", before)
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)=", text)


def test_what_only_diverged_is_no_answer(here):
    sweep = {**CLASSES, "optimizers": {"sgd": {"lr": [1, 10]}, "adam": {"lr": [1]}}}
    study = resolved({"fit": sweep}, confirm=0, extend=0)
    for run in table.runs(study):
        finish(run, [None] * 3)
    text, _ = pages(study)
    (card,) = cards(text)
    assert "No answer" in card and "No seed of any" in card
    assert unpacked(text)[0]["values"]["status"] == ["diverged"] * 3


def test_a_failed_run_is_said_with_its_reason(compared):
    run = table.runs(compared)[0]
    fail(run, "ValueError: no <such> thing")
    content, _ = unpacked(pages(compared)[0])
    assert content["values"]["status"].count("failed") == 1
    assert content["values"]["reason"][0] == "ValueError: no <such> thing"
    assert content["places"][0][1:] == [0, 0]


@pytest.mark.parametrize(
    ("times", "answer"),
    [
        ([1.0, 1.1, 0.9], "No speed-up shown"),
        ([0.5, 0.51, 0.49], "2 processes: 2 × as fast"),
        ([3.0, 3.1, 2.9], "More processes do not pay"),
    ],
)
def test_scaling_says_whether_more_processes_pay(here, times, answer):
    study = resolved({"scale": {**SCALING, "gpus": [1, 2], "batch_sizes": [64]}})
    one, two = sorted(table.runs(study), key=lambda run: run.gpus)[:2]
    for run in table.runs(study):
        timed(run, [1.0, 1.02, 0.98] if run.gpus == 1 else times)
    assert (one.gpus, two.gpus) == (1, 2)
    text, found = pages(study)
    (card,) = cards(text)
    assert answer in card
    strong = found["scaling"].query("scaling == 'strong' and gpus == 2").iloc[0]
    assert f"{strong['speedup']:.4g}" in card


def test_a_study_that_runs_has_what_is_finished(compared):
    save(compared)
    every = table.runs(compared)
    for run in every[2:]:
        Path(run.folder, "metrics.tsv").rename(Path(run.folder, "hidden"))
    found = SoFar(compared)
    before = found.look()
    text = found.page()
    (card,) = cards(text)
    assert "So far, 0 of 9 runs." in card  # by records, which are not there
    assert unpacked(text)[0]["path"] == [run.path for run in every[:2]]
    assert "connect-src &#39;self&#39;" in text and 'id="progress"' in text
    for run in every[2:]:
        Path(run.folder, "hidden").rename(Path(run.folder, "metrics.tsv"))
    assert found.look() == before  # no record has come
    assert cards(found.page()) == cards(pages(compared)[0])


def test_a_run_that_is_just_written_is_awaited(compared):
    """Its metrics are new and its record is not: neither is set aside, and the page stays."""
    found = SoFar(compared)
    with watch.server(0, Path("results/hand")) as serving:
        watch.renew(serving, found)
        page, version = serving.page, serving.version
        assert b"<article" in page
        found.look = lambda: "another"
        whole = found.page
        file = Path(table.runs(compared)[0].folder, "metrics.tsv")

        def damaged():
            raise DamagedError(f"{file}: damaged", [file])

        found.page = damaged
        watch.renew(serving, found)
        assert (serving.page, serving.version) == (page, version) and file.exists()
        found.page = whole
        watch.renew(serving, found)
        assert serving.version == "another"


def test_the_end_is_told_in_utc():
    times = ["2026-01-01T01:30:00+0200", "2025-12-31T23:10:00+0000"]
    sweep = {**LINE, "optimizers": {"sgd": {"lr": [0.01, 0.1]}}}
    runs = table.runs(resolved({"fit": sweep}))
    said = write.facts(runs, [{"finished": time, "wall": {"total": 30.0}} for time in times])
    assert said == ["2 runs of up to 3 seeds", "finished 2025-12-31 23:30 UTC", "60 s of computing"]


def test_nothing_finished_is_said(here):
    sweep = {**LINE, "optimizers": {"sgd": {"lr": [0.01]}}}
    found = SoFar(resolved({"fit": sweep}))
    found.look()
    (card,) = cards(found.page())
    assert card == "fit Not yet – So far, 0 of 1 run."
    assert found.progress == {"share": 0.0, "text": "0 of 1 run have ended, 0 running"}


def test_the_program_writes_the_page(compared):
    save(compared)
    tables.write_all(Path("tables"), tables.tables(compared))
    words = ["--study", "results/hand/study.yaml", "--tables", "tables", "--output", "p/index.html"]
    assert program.main(words) == 0
    assert Path("p/index.html").read_text(encoding="utf-8").count("<article") == 1


def test_a_damaged_run_is_set_aside(compared, capsys):
    save(compared)
    run = table.runs(compared)[0]
    tables.write_all(Path("tables"), tables.tables(compared))
    Path(run.folder, "metrics.tsv").write_text("damaged")
    words = ["--study", "results/hand/study.yaml", "--tables", "tables", "--output", "index.html"]
    assert program.main(words) == 1
    assert "not a metrics file" in capsys.readouterr().err
    assert Path(run.folder, "metrics.tsv.damaged").exists() and not Path("index.html").exists()


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        ("runs", "sgd", "sg", "it has other runs than the study"),
        ("best", "val_accuracy\t", "val_acuracy\t", "it has no column 'val_accuracy'"),
        ("optimizers", "\t10\t", "\t1O\t", "holds other than numbers"),
        ("pairs", "\tequivalent\t", "\tequal\t", "'verdict' holds other words"),
        ("pairs", "\n", "\t\t\t\n\t\n\t\t\t\t\t", "damaged"),
        ("claims", "", "", ""),
    ],
)
def test_a_damaged_table_is_named_and_set_aside(compared, capsys, name, old, new, problem):
    save(compared)
    tables.write_all(Path("tables"), tables.tables(compared))
    file = Path(f"tables/{name}.tsv")
    if name == "claims":
        file.write_bytes(b"\xff\xfe\0\0")
    else:
        text = file.read_text()
        at = text.rindex(old) if name == "runs" else text.index(old)
        file.write_text(text[:at] + new + text[at + len(old) :])
    words = ["--study", "results/hand/study.yaml", "--tables", "tables", "--output", "index.html"]
    assert program.main(words) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: tables/{name}.tsv: damaged: ") and problem in line
    assert Path(f"tables/{name}.tsv.damaged").exists()


def test_tables_that_are_not_there_are_named(compared, capsys):
    save(compared)
    words = ["--study", "results/hand/study.yaml", "--tables", "nowhere", "--output", "index.html"]
    assert program.main(words) == 1
    line = "error: nowhere/best.tsv: there is no such table; tables.py writes it\n"
    assert capsys.readouterr().err == line


def test_numbers_are_words():
    assert interval("test_accuracy", 0.9, 0.95) == "[90.00, 95.00]"
    assert interval("loss", float("nan"), 1) == ""
    assert difference("test_accuracy", -0.015) == "−1.5 points"
    assert difference("test_loss", 0.123) == "+0.12"
    assert [seconds(value) for value in (0.0123, 5, 100, 7200)] == [
        "12.3 ms",
        "5 s",
        "2 min",
        "2 h 0 min",
    ]


def test_curves_are_those_of_the_figures(compared):
    """The same reader, so that the page and an SVG never disagree."""
    runs = table.every(compared)
    (line,) = Reader(compared, runs).lines(runs[:1], "val_accuracy")
    content, curves = unpacked(pages(compared)[0])
    start, points, _ = content["places"][0]
    assert list(curves[start + 7 * points : start + 8 * points]) == pytest.approx(list(line.mean))


def test_a_verdict_of_a_claim_has_a_kind():
    kinds = {"holds": "best", "does not hold: x": "worse", "open: y": "open", "agrees": "best"}
    kinds |= {"differs": "worse", "not answered: z": "plain"}
    assert {verdict: answers.claim_kind(verdict) for verdict in kinds} == kinds
