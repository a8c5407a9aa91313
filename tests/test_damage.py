"""Results and data that are not what was written are named, set aside, and made again."""

import os
import random
import shutil
from pathlib import Path

import pytest
from handmade import CLASSES, confirm, finish, resolved, save
from handmade import describe as describe_run

import status
import tables
from optlab import results
from optlab.data import prepare
from optlab.errors import DamagedError
from optlab.results import reading
from optlab.runs import metrics, record
from optlab.study import table
from optlab.study.confirmation import file_of
from optlab.training import datasets


def flip(file, at=None, bit=1):
    """Change one bit of a file."""
    content = bytearray(Path(file).read_bytes())
    at = random.Random(str(file)).randrange(len(content)) if at is None else at
    content[at] ^= bit
    Path(file).write_bytes(content)


@pytest.fixture
def study(here):
    """A finished study with records, one optimizer of which is confirmed."""
    grid = {"sgd": {"lr": [0.1, 1]}, "adam": {"lr": [0.1]}}
    found = resolved({"fit": {**CLASSES, "optimizers": grid, "confirm": 4}})
    for number, run in enumerate(table.runs(found)):
        finish(run, [0.5 + number] * 3, val_accuracy=[0.9] * 3, test_accuracy=[0.9] * 3)
        describe_run(run, {"seeds": [{"seed": seed} for seed in range(3)], "wall": {"total": 3}})
    low, _, adam = table.runs(found)
    for run in (low, adam):
        confirm(found, run, [0.91, 0.92, 0.93, 0.94])
    return found


def made(found):
    return tables.main(["--study", str(save(found)), "--output-folder", "tables"])


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def twice(file):
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines + lines[1:]))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: flip(folder / "metrics.tsv"),
        lambda folder: flip(folder / "metrics.tsv", at=400),  # not in a row that tables read
        lambda folder: cut(folder / "metrics.tsv"),
        lambda folder: twice(folder / "metrics.tsv"),
        lambda folder: (folder / "metrics.tsv").write_bytes(b""),
        lambda folder: (folder / "metrics.tsv").write_bytes(bytes(700)),
        lambda folder: (folder / "run.json").write_text("{}"),
        lambda folder: flip(folder / "run.json", at=-8),  # a digit of the hash
    ],
)
def test_a_damaged_run_is_named_set_aside_and_no_table_made(study, capsys, spoil):
    one, two, _ = table.runs(study)
    for run in (one, two):
        spoil(Path(run.folder))
    assert status.standing(one).state == "failed"
    with pytest.raises(DamagedError):
        _ = results.load(Path(save(study)).parent).runs
    assert Path(one.folder, "metrics.tsv").exists()  # reading in a notebook changes nothing
    assert made(study) == 1
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and not Path("tables").exists()
    for run, line in zip((one, two), told, strict=True):
        assert line.startswith(f"error: {run.folder}/metrics.tsv: damaged: ")
        assert line.endswith("set aside as *.damaged: the next call makes it again")
        assert sorted(os.listdir(run.folder)) == ["metrics.tsv.damaged", "run.json"]


def test_exchanged_runs_are_damaged(study, capsys):
    one, two, _ = (Path(run.folder, "metrics.tsv") for run in table.runs(study))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    assert made(study) == 1
    assert capsys.readouterr().err.count("damaged: not the metrics that run.json describes") == 2


def test_damaged_confirmation_seeds_are_confirmed_again(study, capsys):
    unit = table.units(study)[0]
    run = next(iter(table.confirmed(study).values())).run
    assert run.unit == unit.path
    flip(Path(run.folder, "metrics.tsv"))
    assert made(study) == 1
    assert f"{run.folder}/metrics.tsv: damaged" in capsys.readouterr().err
    # Snakemake knows no more of them than this file.
    assert not Path(unit.file).exists() and Path(f"{unit.file}.damaged").exists()


def test_lost_confirmation_seeds_are_confirmed_again(study, capsys):
    run = next(iter(table.confirmed(study).values())).run
    shutil.rmtree(run.folder)
    assert made(study) == 1
    assert "there is no such file; has this run been trained?" in capsys.readouterr().err
    assert not Path(file_of(run)).exists()


# -- prepared data ---------------------------------------------------------------------------


@pytest.fixture
def prepared(here):
    output = Path("results/data/digits-0.json")
    prepare.prepare("digits", {"source": "digits"}, output, None)
    return output


@pytest.mark.parametrize("bit", [1, 64])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_changed_values_of_the_same_shape_are_damage(prepared, share, bit):
    datasets.load(prepared)
    file = prepared.with_suffix(".pt")
    flip(file, at=int(share * file.stat().st_size), bit=bit)
    with pytest.raises(DamagedError) as error:
        datasets.load(prepared)
    error.value.set_aside()
    assert not file.exists() and Path(f"{file}.damaged").exists()


def test_intact_tensors_are_hashed_once_for_each_state_of_their_file(prepared, monkeypatch):
    datasets.load(prepared)
    hashed = []
    ours = datasets.files.arrays_hash
    monkeypatch.setattr(datasets.files, "arrays_hash", lambda a: hashed.append(1) or ours(a))
    datasets.load(prepared)
    assert hashed == []
    file = prepared.with_suffix(".pt")
    os.utime(file)
    datasets.load(prepared)
    datasets.load(prepared)
    assert hashed == [1]


def test_a_description_of_other_tensors_is_damage(prepared):
    prepare.prepare("line", {"source": "line"}, Path("results/data/line-0.json"), None)
    shutil.copy("results/data/line-0.json", prepared)
    with pytest.raises(DamagedError, match=r"digits-0\.pt: damaged"):
        datasets.load(prepared)


def test_a_changed_description_is_damage(prepared):
    text = prepared.read_text()
    for damaged in (text.replace('"test": 360', '"test": 36'), text.replace("0.0625", "0.0635")):
        assert damaged != text
        prepared.write_text(damaged)
        with pytest.raises(DamagedError, match="not the description of a prepared data set"):
            datasets.load(prepared)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_record_of_which_any_byte_changed_is_damage(here, share):
    folder = Path("run")
    rows = [{**dict.fromkeys(metrics.COLUMNS, ""), "seed": 0}]
    record.write(folder, rows, {"seeds": [{"seed": 0}], "settings": {"lr": 0.125} | {"a" * 99: 1}})
    content = (folder / "metrics.tsv").read_bytes()
    assert record.describes("run", content)
    flip(folder / "run.json", at=int(share * (folder / "run.json").stat().st_size))
    assert not record.describes("run", content)


def test_verdicts_need_no_data(study):
    """How fine an accuracy is stands in the record of the run."""
    run = table.runs(study)[0]
    describe_run(run, {**record.read(run.folder), "sizes": {"test": 50}})
    assert reading.grain(run, "test_accuracy") == 0.02
    assert reading.grain(run, "val_accuracy") == 0


def test_status_looks_at_confirmation_seeds(study):
    unit = table.units(study)[0]
    run = next(iter(table.confirmed(study).values())).run
    assert status.unit_line(unit).endswith(": done")
    flip(Path(run.folder, "metrics.tsv"))
    assert "failed: " in status.unit_line(unit) and "is damaged" in status.unit_line(unit)
    Path(run.folder, "metrics.tsv").unlink()
    Path(run.folder, "metrics.tsv").mkdir()
    assert "is not complete" in status.unit_line(unit)
