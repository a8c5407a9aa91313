"""A finished study as an archive: what is in it, its hashes, and what another person does."""

import gzip
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from handmade import CLASSES, finish, resolved, save
from test_planning import Checkout

import archive as program
from optlab import archive, errors
from optlab.data import identity
from optlab.study import table

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def lab(here):
    """A finished study beside another, with prepared data, in a laboratory of a few files."""
    for name in ("workflow/scripts/a.py", "workflow/__pycache__/a.pyc", "Snakefile", "notes.txt"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    study = resolved({"fit": {**CLASSES, "optimizers": {"sgd": {"lr": [0.1]}}}})
    for run in table.runs(study):
        finish(run, [0.2] * 3)
    save(study)
    Path("results/hand/state").mkdir()
    passing = ("results/hand/state/x.json", "results/hand/.study.yaml.1", "results/hand/x.damaged")
    for name in (*passing, "results/other.txt"):
        Path(name).write_text("")
    description = Path(identity.prepared_path("digits", study["datasets"]["digits"]))
    description.parent.mkdir()
    description.write_text("{}")
    description.with_suffix(".pt").write_bytes(bytes(2000))
    Path("study.yaml").write_text("study: hand")
    return study


def made(study, largest=10**6):
    found = archive.chosen(study, "study.yaml", largest)
    archive.write(study, "study.yaml", found, Path("out.tar.gz"))
    return found


def test_an_archive_has_the_study_its_data_and_the_code_and_nothing_else(lab):
    names = [str(file) for file in made(lab).files]
    metrics = f"{table.runs(lab)[0].folder}/metrics.tsv"
    data = sorted(map(str, Path("results/data").iterdir()))
    own = ["Snakefile", "study.yaml", "workflow/scripts/a.py", "results/hand/study.yaml"]
    assert sorted(names) == sorted([*own, metrics, *data])
    with tarfile.open("out.tar.gz") as tar:
        tar.extractall("opened")
    folder = Path("opened/optlab-hand")
    for name in names:
        assert (folder / name).read_bytes() == Path(name).read_bytes()
        times = [Path(place, name).stat().st_mtime for place in (folder, ".")]
        assert times[0] == pytest.approx(times[1], abs=1e-6)
    assert archive.check(folder) == f"{folder}: {len(names) + 1} files, all as they were"
    subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert "snakemake --configfile study.yaml -n" in (folder / "ARCHIVE.md").read_text()


def test_large_tensors_are_left_out_and_their_description_is_not(lab):
    found = made(lab, largest=1999)
    (tensors,) = found.left_out
    assert tensors.suffix == ".pt" and tensors.with_suffix(".json") in found.files
    assert made(lab, largest=2000).left_out == []


def test_what_snakemake_remembers_of_others_stays_behind(lab):
    import base64

    paths = ["results/hand/study.yaml", "results/other.txt", f"results/hand/{'long/' * 60}x"]
    Path(paths[2]).parent.mkdir(parents=True)
    Path(paths[2]).write_text("")
    for path in paths:
        coded = base64.urlsafe_b64encode(path.encode()).decode()
        parts = [coded[i : i + 254] for i in range(0, len(coded), 254)]
        file = Path(".snakemake/metadata", *(f"@{part}" for part in parts[:-1]), parts[-1])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    found = [file for file in made(lab).files if file.parts[0] == ".snakemake"]
    assert len(found) == 2 and any("@" in str(file) for file in found)


def test_a_file_outside_is_refused_in_one_line(lab, tmp_path_factory):
    file = tmp_path_factory.mktemp("other") / "mine.npz"
    np.savez(file, x=np.zeros(1))
    lab["datasets"]["mine"] = {**lab["datasets"]["digits"], "file": str(file)}
    with pytest.raises(errors.UserError, match=r"mine.npz: lies outside this folder") as found:
        archive.chosen(lab, "study.yaml", 10**6)
    assert "\n" not in str(found.value)


def spoiled(change):
    """The archive with other members: a function of a name and a content, None leaves one out."""
    content = io.BytesIO()
    with tarfile.open("out.tar.gz") as tar, tarfile.open(fileobj=content, mode="w:gz") as other:
        for member in tar:
            if member.isfile():
                text = change(member.name, tar.extractfile(member).read())
                if text is not None:
                    member.size = len(text)
                    other.addfile(member, io.BytesIO(text))
    Path("out.tar.gz").write_bytes(content.getvalue())


def test_each_fault_is_a_line(lab, capsys):
    def faults(path="out.tar.gz"):
        assert program.main(["--check", path]) == 1
        told = capsys.readouterr().err.splitlines()
        assert all(line.startswith(f"error: {path}") for line in told)
        return [line.removeprefix(f"error: {path}: ") for line in told]

    made(lab)
    assert program.main(["--check", "out.tar.gz"]) == 0
    assert capsys.readouterr().out.startswith("out.tar.gz: ")
    changed = {"study.yaml": b"other", "workflow/scripts/a.py": None, "Snakefile": None}
    spoiled(lambda name, text: changed.get(name.partition("/")[2], text))
    assert sorted(faults()) == [
        "Snakefile: missing",
        "study.yaml: changed: not the content of which SHA256SUMS has the hash",
        "workflow/scripts/a.py: missing",
    ]
    Path("cut.tar.gz").write_bytes(Path("out.tar.gz").read_bytes()[:-100])
    assert "damaged, or not such an archive" in faults("cut.tar.gz")[0]
    Path("none.tar.gz").write_bytes(gzip.compress(b"nothing"))
    assert "damaged, or not such an archive" in faults("none.tar.gz")[0]
    assert "cannot be read: No such file" in faults("nowhere.tar.gz")[0]
    spoiled(lambda name, text: None if "SUMS" in name else text)
    assert faults() == ["not the archive of a study: there is no SHA256SUMS in it"]
    Path("empty").mkdir()
    assert "no hashes of an archive can be read here" in faults("empty")[0]


def test_a_folder_without_the_laboratory_is_one_line(here, write, capsys):
    assert program.main(["--study", write()]) == 1
    assert "error: there is no Snakefile here" in capsys.readouterr().err


@pytest.mark.slow
def test_an_opened_archive_plans_nothing_and_is_continued(tmp_path):
    made = Checkout(tmp_path / "Größe é").make()
    command = [sys.executable, "workflow/scripts/archive.py", "--study", "study.yaml"]

    def archived():
        return subprocess.run(command, cwd=made.folder, capture_output=True, text=True)

    told = archived().stderr
    assert told.startswith("error: the study is not finished: ") and told.count("\n") == 1
    made.call()
    done = archived()
    assert done.returncode == 0, done.stderr
    file = tmp_path / "tiny.tar.gz"
    shutil.copy(made.folder / "results/tiny.tar.gz", file)
    shutil.rmtree(made.folder)
    (tmp_path / "else where").mkdir()
    subprocess.run(["tar", "xzf", file], cwd=tmp_path / "else where", check=True)
    opened = Checkout(tmp_path / "else where/optlab-tiny")
    assert opened.planned() == ({}, [])
    assert archive.check(opened.folder)
    opened.edit("study.yaml", ("lr: [0.001, 0.01]", "lr: [0.001, 0.01, 0.02]"))
    jobs, runs = opened.planned()
    assert jobs["train"] == 1 and "lr=0.02" in runs[0]
    opened.edit("study.yaml", ("seeds: 1", "seeds: 2"))  # known from what Snakemake remembers
    assert opened.planned()[0]["train"] == 9
