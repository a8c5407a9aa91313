"""Texts as data sets: what is prepared, known before that, and refused."""

import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
import pytest
import torch
from handmade import resolved

from optlab.catalogue.datasets import SOURCES, built_in
from optlab.data import identity, known, prepare, texts, windows
from optlab.errors import DataError, UserError
from optlab.machine.resources import Problem
from optlab.study import names

CORPUS = "\n".join(topics[name] for name in sorted(topics))
SHORT = {"context": 9}  # windows of ten symbols


def prepared(definition, name="mine"):
    """The description and the arrays by name."""
    path = Path(identity.prepared_path(name, definition))
    prepare.prepare(name, definition, path, None)
    tensors = torch.load(path.with_suffix(".pt"), weights_only=True)
    return json.loads(path.read_text()), {key: t.numpy() for key, t in tensors.items()}


def written(content, **keys):
    """The definition of a text file with this content."""
    content = content.encode() if isinstance(content, str) else content
    Path("mine.txt").write_bytes(content)
    return {**built_in("text"), "file": "mine.txt", **keys}


def decoded(description, arrays, part):
    """The windows of a part as texts, each with the symbol after it."""
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    assert np.array_equal(x[:, 1:], y[:, :-1])  # y is x shifted by one
    whole = np.concatenate([x, y[:, -1:]], axis=1)
    return [windows.decoded(row, description) for row in whole]


def test_the_embedded_text_is_the_documentation_of_this_python(here):
    description, arrays = prepared(built_in("python_docs"), "python_docs")
    assert description["task"] == "next_token" and description["shape"] == [128]
    assert description["vocabulary"] == "".join(sorted(set(CORPUS)))
    assert description["classes"] == len(set(CORPUS))
    count = len(CORPUS) // 129
    sizes = description["sizes"]
    assert sizes["test"] == round(count / 10) and sum(sizes.values()) == count
    assert sizes["validation"] == round((count - sizes["test"]) / 9)
    found = {part: decoded(description, arrays, part) for part in sizes}
    expected = [CORPUS[at : at + 129] for at in range(0, count * 129, 129)]
    for part, size in sizes.items():  # one after another, each in an order of its own
        mine, expected = expected[:size], expected[size:]
        assert sorted(found[part]) == sorted(mine) and found[part] != mine
    digest = hashlib.sha256(CORPUS.encode()).hexdigest()
    if digest == texts.MEASURED:
        entry = SOURCES["python_docs"]
        assert (len(CORPUS), entry.examples, entry.trained) == (465_048, 3_245, sizes["train"])
        assert description["label"] == "Python documentation"
    assert {a.dtype for a in arrays.values()} == {np.dtype(np.uint8)}


def test_another_python_has_another_data_set_and_says_so(here, monkeypatch):
    definition = built_in("python_docs")
    usual = identity.prepared_path("python_docs", definition)
    monkeypatch.setattr(texts, "corpus", lambda: CORPUS[:-1] + "§")
    texts.corpus_digest.cache_clear()
    try:
        assert identity.prepared_path("python_docs", definition) != usual
        description, _ = prepared(definition, "python_docs")
        version = sys.version.split()[0]
        assert description["label"] == f"Python documentation (of Python {version})"
        (note,) = description["notes"]
        assert (
            note
            == f"the text is that of Python {version}; our figures are of that of Python 3.11.7"
        )
        assert known.source(definition).notes == (note,)
        assert description["vocabulary"].endswith("…") and "§" in description["vocabulary"]
    finally:
        texts.corpus_digest.cache_clear()


TEXT = "".join(chr(97 + n * n % 23) for n in range(1000)) + "the rest."


@pytest.mark.parametrize(
    ("content", "kind", "dtype", "vocabulary"),
    [
        (TEXT, "characters", np.uint8, "".join(sorted(set(TEXT)))),
        ("é" * 500 + "z" * 500, "characters", np.uint8, "zé"),
        ("é" * 500 + "z" * 500, "bytes", np.uint8, sorted({*"é".encode(), *b"z"})),
        (bytes(range(256)) * 4, "bytes", np.uint8, list(range(256))),
        ("\ufeff" + TEXT, "characters", np.uint8, "".join(sorted(set(TEXT)))),
        ("".join(map(chr, range(200, 1200))), "characters", np.int16,
         "".join(map(chr, range(200, 1200)))),
        ("".join(map(chr, range(60_000, 100_000))), "characters", np.int32,
         "".join(map(chr, range(60_000, 100_000)))),
        ("a\r\nb\n" * 300, "characters", np.uint8, "\n\rab"),
    ],
)  # fmt: skip
def test_a_text_can_be_read_back(content, kind, dtype, vocabulary, here):
    definition = written(content, symbols=kind, **SHORT)
    description, arrays = prepared(definition)
    assert description["vocabulary"] == vocabulary and description["symbols"] == kind
    assert {a.dtype for a in arrays.values()} == {np.dtype(dtype)}
    whole = Path("mine.txt").read_bytes()
    whole = whole if kind == "bytes" else whole.decode("utf-8-sig")
    cut = [whole[at : at + 10] for at in range(0, len(whole) // 10 * 10, 10)]
    found = [one for part in description["sizes"] for one in decoded(description, arrays, part)]
    assert sorted(found) == sorted(cut)


@pytest.mark.parametrize(
    ("keys", "sizes"),
    [
        ({}, (80, 10, 10)),
        ({"validation": 0}, (90, 0, 10)),
        ({"validation": 0.5}, (45, 45, 10)),
        ({"validation": 7, "test": 3}, (90, 7, 3)),
        ({"test": 0}, (89, 11, 0)),
        ({"test": 0.25, "validation": 0}, (75, 0, 25)),
        ({"subset": 27}, (24, 3, 10)),
        ({"subset": 27, "validation": 9, "test": 1}, (18, 9, 1)),
    ],
)
def test_parts_are_known_beforehand_and_follow_each_other(keys, sizes, here):
    text = "".join(f"window {n:02} " for n in range(100)) + "rest"
    definition = written(text, **SHORT, **keys)
    assert known.sizes(definition) == sizes[:2]
    found = known.source(definition)
    assert (found.examples, found.shape, found.task) == (100 - sizes[2], (9,), "next_token")
    description, arrays = prepared(definition)
    assert tuple(description["sizes"].values()) == sizes
    last = [
        sorted(int(one[7:9]) for one in decoded(description, arrays, part))
        for part, size in description["sizes"].items()
        if size
    ]
    learned, kept = 100 - sizes[2], sizes[0] + sizes[1]
    spread = [number * learned // kept for number in range(kept)]  # a subset is from all parts
    assert [number for part in last for number in part] == [*spread, *range(learned, 100)]


def test_a_default_that_is_spelled_out_is_the_same_data_set(here):
    definition = built_in("python_docs")
    usual = identity.prepared_path("d", definition)
    spelled = {**definition, "symbols": "characters", "context": 128, "test": 0.1}
    assert identity.prepared_path("d", spelled) == usual
    for key, value in {"symbols": "bytes", "context": 64, "test": 0.2, "subset": 9}.items():
        assert identity.prepared_path("d", {**definition, key: value}) != usual
    file = identity.prepared_path("d", written(TEXT, **SHORT))
    assert identity.prepared_path("d", written(TEXT + "!", **SHORT)) != file


BAD = {
    "not UTF-8": (
        b"good\nso far \xff and on" * 9, {},
        "mine.txt: is not UTF-8 (byte 0xff at position 12, in line 2); save it as UTF-8, or use "
        "symbols: bytes",
    ),
    "UTF-16": ("good".encode("utf-16"), {}, "mine.txt: is UTF-16; save it as UTF-8, or use"),
    "empty": (b"", {}, "mine.txt: is empty"),
    "empty bytes": (b"", {"symbols": "bytes"}, "mine.txt: is empty"),
    "too short": (
        TEXT[:29], {},
        "mine.txt: has 29 symbols, too few for 3 windows of 10 (context + 1); use a context of at "
        "most 8, or a longer text",
    ),
    "no text at all": (TEXT[:2], {}, "too few for 3 windows of 10 (context + 1); use a longer"),
    "subset": (TEXT, {"subset": 92}, "subset: 92 examples asked for, but there are 90"),
    "validation": (TEXT, {"validation": 90}, "validation: 90 examples asked for, but there are"),
    "test": (TEXT, {"test": 100}, "test: 100 examples asked for, but there are 100 windows; ask"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_text_that_cannot_be_used_is_told_in_one_line(name, here):
    content, keys, message = BAD[name]
    definition = written(content, **SHORT, **keys)
    with pytest.raises(DataError) as error:
        prepare.prepare("mine", definition, Path("out.json"), None)
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not Path("out.json").exists()
    (told,) = names.data_set("mine", definition)  # and before anything is prepared
    assert message in ": ".join([*told[0], told[1]])


def test_a_single_symbol_is_nothing_to_predict(here):
    with pytest.raises(DataError, match=r"^mine.txt: holds one symbol only, again and again$"):
        prepare.prepare("mine", written("a" * 100, **SHORT), Path("out.json"), None)


@pytest.mark.parametrize(
    ("definition", "key", "message"),
    [
        ({"source": "text"}, "file", "source text needs the path of your text"),
        ({"source": "text", "file": "gone.txt"}, "file", "there is no file gone.txt"),
        ({"source": "python_docs", "file": "mine.txt"}, "file", "only sources "),
        ({"source": "python_docs", "symbols": "words"}, "symbols", "'words' is not known; allowed"),
        ({"source": "python_docs", "context": 0}, "context", "0 is not allowed; a whole"),
        ({"source": "python_docs", "context": 1.5}, "context", "1.5 is not allowed; a whole"),
        ({"source": "python_docs", "test": 1.5}, "test", "1.5 is neither a number of examples"),
        ({"source": "python_docs", "split_seed": 1}, "split_seed", "a text is divided in its ord"),
        ({"source": "python_docs", "context": 200_000}, "", "python_docs: has 46"),
        ({"source": "digits", "context": 9}, "context", "only sources python_docs, text take it"),
        ({"source": "digits", "test": 0.5}, "test", "only sources python_docs, text take it"),
    ],
)  # fmt: skip
def test_mistakes_in_a_study_are_told_in_one_line(definition, key, message, here):
    Path("mine.txt").write_text(TEXT)
    exercise = {"datasets": ["mine"], "models": ["gpt"], "optimizers": {"sgd": {"lr": [0.1]}}}
    with pytest.raises(UserError) as error:
        resolved({"one": exercise}, datasets={"mine": definition})
    assert f"datasets.mine.{key}: {message}".replace(".: ", ": ") in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("what", ["split", "subset"])
def test_seeds_draw_nothing_of_a_text(what, here):
    exercise = {"datasets": ["part"], "models": ["gpt"], "optimizers": {"sgd": {"lr": [0.1]}},
                "vary": ["weights", "order", what]}  # fmt: skip
    part = {"source": "python_docs", "subset": 500}
    with pytest.raises(UserError) as error:
        resolved({"one": exercise}, datasets={"part": part})
    words = f"exercises.one.vary.2: {what}: the data set part is a text, which is divided in its"
    assert words in str(error.value) and "\n" not in str(error.value)


def test_what_a_job_asks_for_is_known_before_a_text_is_prepared(here):
    definition = written(TEXT * 50, context=49)
    found = Problem.of("gpt", {"units": 32}, "data/gone.json", definition)
    assert found.shape == (49,) and found.examples == known.sizes(definition)[0]
    longer = Problem.of("gpt", {"units": 32}, "data/gone.json", {**definition, "context": 99})
    assert longer.work.products > 2 * found.work.products
    assert math.isclose(longer.examples * 100, found.examples * 50, rel_tol=0.01)


def test_the_program_takes_the_keys_of_a_text(here):
    written(TEXT)
    program = Path(identity.__file__).parents[2] / "prepare_data.py"
    options = ["--symbols", "bytes", "--context", "9", "--test", "5", "--validation", "0.1"]
    done = subprocess.run(
        [sys.executable, program, "--source", "text", "--file", "mine.txt", *options,
         "--output", "out.json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    description = json.loads(Path("out.json").read_text())
    definition = {**built_in("text"), "file": "mine.txt", "symbols": "bytes", "context": 9,
                  "test": 5, "validation": 0.1}  # fmt: skip
    trained, held_out = known.sizes(definition)
    assert description["sizes"] == {"train": trained, "validation": held_out, "test": 5}
    words = identity.arguments("mine", definition, None)
    assert words[words.index("--context") :][:2] == ["--context", "9"]
