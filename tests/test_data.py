"""Data sets: what is prepared, that it is reproducible, and the errors for broken data.

The published MNIST archives are used where the environment variable OPTLAB_ARCHIVES names a folder
that holds them.
"""

import errno
import glob
import hashlib
import json
import os
import pickle
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from optlab.data import archives, identity, prepare
from optlab.errors import DamagedError, DataError, UserError
from optlab.training import datasets

SCRIPTS = Path(identity.__file__).resolve().parents[2]
ARCHIVES = os.environ.get("OPTLAB_ARCHIVES")
needs_mnist = pytest.mark.skipif(
    not ARCHIVES or not any(Path(ARCHIVES).rglob("train-images-idx3-ubyte.gz")),
    reason="OPTLAB_ARCHIVES does not name a folder with the MNIST archives",
)


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    identity._remembered_digest.cache_clear()


def definition(source, **keys):
    plain = {"file": None, "validation": None, "split_seed": 0, "subset": None}
    return {"source": source, **plain, **keys}


def prepared(name, archive_folder=None, **keys):
    """Prepare into results/data and return (path of the description, description, tensors)."""
    what = definition(**keys)
    output = Path(identity.prepared_path(name, what))
    prepare.prepare(name, what, output, archive_folder)
    tensors = torch.load(str(output.with_suffix(".pt")), mmap=True, weights_only=True)
    return output, json.loads(output.read_text()), tensors


def image_arrays(train=60, test=20, classes=4, seed=0):
    """Random 6x5 images, the classes in unequal numbers."""
    random = np.random.default_rng(seed)

    def labels(count):
        return np.minimum(np.arange(count) % (classes + 2), classes - 1)

    return {
        "x_train": random.integers(0, 256, (train, 6, 5), dtype=np.uint8),
        "y_train": labels(train),
        "x_test": random.integers(0, 256, (test, 6, 5), dtype=np.uint8),
        "y_test": labels(test),
    }


def saved(arrays, file="mine.npz"):
    np.savez(file, **arrays)
    return file


def files_under(folder):
    return sorted(str(f.relative_to(folder)) for f in Path(folder).rglob("*") if f.is_file())


def refused(*fragments):
    """The block must raise a one-line DataError that holds all the fragments."""
    pattern = "".join(f"(?=.*{re.escape(fragment)})" for fragment in fragments)
    return pytest.raises((DataError, DamagedError), match=rf"\A{pattern}[^\n]+\Z")


def rows(tensor):
    return [row.tobytes() for row in tensor.numpy()]


# What is prepared


def test_line_keeps_its_order_and_has_no_other_parts():
    output, description, tensors = prepared("line", source="line")
    assert tensors["x_train"].tolist() == [[1], [2], [3], [4]]
    assert tensors["y_train"].tolist() == [[0], [-1], [-2], [-3]]
    assert set(tensors) == {"x_train", "y_train"}
    assert {t.dtype for t in tensors.values()} == {torch.float32}
    assert description["task"] == "regression" and description["classes"] is None
    data = datasets.load(output)
    assert data.validation is None and data.test is None and data.shape == (1,)
    assert data.inputs(data.train.x) is data.train.x


def test_digits_sizes_stratification_and_scale():
    output, description, tensors = prepared("digits", source="digits")
    assert description["sizes"] == {"train": 1077, "validation": 360, "test": 360}
    assert description["shape"] == [1, 8, 8] and description["scale"] == 1 / 16
    assert "stratified" in description["split"] and "seed 0" in description["split"]
    counts = {p: torch.bincount(tensors[f"y_{p}"]) for p in datasets.PARTS}
    everything = sum(counts.values())
    assert everything.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    for part, size in description["sizes"].items():
        assert (counts[part] - everything * size / 1797).abs().max() < 2, part
    all_rows = [row for part in datasets.PARTS for row in rows(tensors[f"x_{part}"])]
    assert len(set(all_rows)) == len(all_rows) == 1797  # no image is in two parts
    data = datasets.load(output)
    inputs = data.inputs(data.train.x[:100])
    assert inputs.dtype == torch.float32 and inputs.min() >= 0 and inputs.max() == 1
    assert data.train.x.dtype == torch.uint8 and data.train.x.max() == 16  # stored as it was


def test_training_order_is_random():
    """The first examples of training and validation are a fair sample, not sorted by anything."""
    _, _, tensors = prepared("digits", source="digits")
    for part in datasets.PARTS:
        first = torch.bincount(tensors[f"y_{part}"][:100], minlength=10)
        assert first.min() > 0 and first.max() < 25, part
        assert rows(tensors[f"x_{part}"]) != sorted(rows(tensors[f"x_{part}"]))


def test_preparing_twice_gives_the_same_bytes():
    output, _, _ = prepared("digits", source="digits")
    first = [output.read_bytes(), output.with_suffix(".pt").read_bytes()]
    again = Path("elsewhere/other.json")
    prepare.prepare("digits", definition("digits"), again, None)
    assert [again.read_bytes(), again.with_suffix(".pt").read_bytes()] == first
    assert files_under("elsewhere") == ["other.json", "other.pt"]


def test_seed_changes_the_validation_split_and_not_the_test_set():
    zero, one = (prepared("digits", source="digits", split_seed=s)[2] for s in (0, 1))
    assert set(rows(zero["x_validation"])) != set(rows(one["x_validation"]))
    assert torch.equal(zero["x_test"], one["x_test"])


def test_subset_is_stratified_and_leaves_the_test_set_alone():
    _, description, tensors = prepared("digits", source="digits", subset=400)
    assert description["sizes"] == {"train": 300, "validation": 100, "test": 360}
    assert "400" in description["label"] and "cut to 400 of 1,437" in description["split"]
    both = torch.bincount(torch.cat([tensors["y_train"], tensors["y_validation"]]))
    assert both.min() >= 38 and both.max() <= 42


@pytest.mark.parametrize(
    ("validation", "train", "held_out"),
    [(None, 50, 10), (7, 53, 7), (0.25, 45, 15), (0.001, 59, 1), (0, 60, 0)],
)
def test_validation_size_of_an_npz_file(validation, train, held_out):
    file = saved(image_arrays())
    _, description, tensors = prepared("mine", source="npz", file=file, validation=validation)
    assert description["sizes"] == {"train": train, "validation": held_out, "test": 20}
    assert ("x_validation" in tensors) == (held_out > 0)


def test_order_of_the_rows_in_a_file_does_not_matter():
    arrays = image_arrays()
    arrays["x_train"][10:20] = arrays["x_train"][0]  # equal images, several labels
    random, mixed = np.random.default_rng(1), {}
    for part in ("train", "test"):
        order = random.permutation(len(arrays[f"x_{part}"]))
        for name in (f"x_{part}", f"y_{part}"):
            mixed[name] = arrays[name][order]
    _, one, first = prepared("mine", source="npz", file=saved(arrays))
    _, two, second = prepared("mine", source="npz", file=saved(mixed, "mixed.npz"))
    assert one == two
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_may_be_last_or_first(channels):
    arrays = image_arrays()
    found = []
    for axes in ((0, 1, 2, 3), (0, 3, 1, 2)):
        for part in ("train", "test"):
            grey = image_arrays()[f"x_{part}"]
            colour = np.stack([grey + np.uint8(c) for c in range(channels)], axis=3)
            arrays[f"x_{part}"] = colour.transpose(axes)
        found.append(prepared("mine", source="npz", file=saved(arrays))[2]["x_train"])
    assert found[0].shape == (50, channels, 6, 5) and found[0].is_contiguous()
    assert torch.equal(*found)


def test_floats_make_a_regression():
    x = np.linspace(-1, 1, 30)
    arrays = {"x_train": x, "y_train": x**2, "x_test": x[:6] + 0.01, "y_test": x[:6]}
    output, description, tensors = prepared("curve", source="npz", file=saved(arrays))
    assert description["task"] == "regression" and description["label"] == "curve"
    assert description["sizes"] == {"train": 25, "validation": 5, "test": 6}
    assert tensors["x_train"].shape == (25, 1) and tensors["y_train"].dtype == torch.float32
    assert torch.allclose(tensors["y_train"], tensors["x_train"] ** 2)  # rows stayed together
    assert datasets.load(output).scale == 1.0


# Where it is prepared


def test_path_follows_the_content_and_not_the_place_of_a_file():
    file = Path(saved(image_arrays()))
    path = identity.prepared_path("mine", definition("npz", file=str(file)))
    assert re.fullmatch(r"results/data/mine-[0-9a-f]{12}\.json", path)
    shutil.copy(file, "copy.npz")
    assert identity.prepared_path("mine", definition("npz", file="copy.npz")) == path
    saved(image_arrays(seed=1), str(file))
    assert identity.prepared_path("mine", definition("npz", file=str(file))) != path


@pytest.mark.parametrize("change", [{"split_seed": 1}, {"validation": 5}, {"subset": 100}])
def test_path_follows_the_definition(change):
    paths = {
        identity.prepared_path("d", definition("digits", **keys)) for keys in ({}, change, change)
    }
    assert len(paths) == 2


def test_digest_is_cached_and_a_damaged_cache_is_no_harm():
    what = definition("npz", file=saved(image_arrays()))
    path = identity.prepared_path("mine", what)
    cache = Path("results/data/.digests.json")
    (entry,) = json.loads(cache.read_text()).values()
    assert entry["sha256"] == hashlib.sha256(Path("mine.npz").read_bytes()).hexdigest()
    forged = cache.read_text().replace(entry["sha256"], "0" * 64)
    for content, same in ((forged, False), ("{", True), ("[1]", True), ('{"a": 1}', True)):
        cache.write_text(content)
        identity._remembered_digest.cache_clear()
        assert (identity.prepared_path("mine", what) == path) == same, content
    assert files_under("results") == ["data/.digests.json"]


def test_results_folder_that_cannot_be_written_is_no_harm_to_a_parse():
    Path("results").write_text("a file where the folder should be")
    assert identity.prepared_path("mine", definition("npz", file=saved(image_arrays())))


def test_parse_imports_nothing_heavy():
    code = (
        "import sys; from optlab.data import identity; "
        "print(*{'numpy', 'torch', 'torchvision', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=SCRIPTS, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


# Broken data


def changed(**replaced):
    return lambda arrays: {**arrays, **{k: f(arrays[k]) for k, f in replaced.items()}}


def without(name):
    return lambda arrays: {k: v for k, v in arrays.items() if k != name}


def with_nan(x):
    x = x.astype(np.float64)
    x[3, 0, 0] = np.nan
    return x


def as_float(x):
    return x.astype(np.float64)


BROKEN = {
    "missing": (without("x_test"), ["array x_test is missing", "it holds x_train"]),
    "objects": (changed(y_train=lambda y: y.astype(object)), ["y_train", "Python objects"]),
    "strings": (changed(y_train=lambda y: y.astype(str)), ["y_train", "must be integers"]),
    "complex": (changed(x_train=lambda x: x * 1j), ["x_train", "complex128", "must be uint8"]),
    "int images": (changed(x_train=lambda x: x.astype(int)), ["x_train", "int64", "must be uint8"]),
    "flat": (changed(x_train=lambda x: x.reshape(60, 30)), ["x_train", "[60, 30]", "[N, H, W]"]),
    "channels": (
        changed(x_test=lambda x: np.stack([x] * 4, axis=3)),
        ["x_test", "[20, 6, 5, 4]", "1 or 3"],
    ),
    "one-hot": (
        changed(y_test=lambda y: np.eye(4, dtype=int)[y]),
        ["y_test", "labels must be [N]"],
    ),
    "lengths": (changed(y_train=lambda y: y[1:]), ["x_train has 60 rows and y_train 59"]),
    "test shape": (changed(x_test=lambda x: x[:, :4]), ["x_train", "x_test", "[1, 4, 5]"]),
    "test type": (changed(x_test=as_float), ["x_train is stored as uint8", "x_test as float32"]),
    "nan": (changed(x_train=with_nan, x_test=as_float), ["x_train", "NaN", "first in row 3"]),
    "too big": (changed(y_train=lambda y: y + 1e300), ["y_train", "infinite", "60 of 60"]),
    "negative": (changed(y_train=lambda y: y - 1), ["y_train", "-1", "counted from 0"]),
    "test label": (changed(y_test=lambda y: y + 1), ["y_test", "the label 4", "0..3"]),
    "no class 0": (changed(y_train=lambda y: y + 1), ["y_train", "no example of class 0"]),
    "far label": (changed(y_train=lambda y: y + 10**12 * (y == 3)), ["y_train", "of class 3"]),
    "one class": (changed(y_train=lambda y: y * 0), ["y_train", "a single class"]),
    "empty": (changed(x_test=lambda x: x[:0], y_test=lambda y: y[:0]), ["x_test", "is empty"]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_array(kind):
    spoil, fragments = BROKEN[kind]
    what = definition("npz", file=saved(spoil(image_arrays())))
    with refused("mine.npz: ", *fragments):
        prepare.prepare("mine", what, Path("out/mine.json"), None)
    assert os.listdir("out") == []


def truncate(file):
    file.write_bytes(file.read_bytes()[:1000])


def flip(file):
    content = bytearray(file.read_bytes())
    content[300] ^= 255  # within x_train
    file.write_bytes(content)


def single(file):
    with file.open("wb") as stream:
        np.save(stream, np.arange(3))


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (truncate, "not a .npz file, or a truncated one"),
        (flip, "array x_train is damaged"),
        (single, "holds a single array"),
        (lambda f: f.write_bytes(b""), "not a .npz file"),
        (lambda f: f.write_text("x,y\n1,2\n"), "not a .npz file"),
        (lambda f: f.write_bytes(pickle.dumps({"x_train": 1})), "not a .npz file"),
        (lambda f: f.unlink(), "cannot be read: No such file"),
        (lambda f: (f.unlink(), f.mkdir()), "cannot be read: Is a directory"),
    ],
)
def test_broken_file(spoil, fragment):
    file = Path(saved(image_arrays()))
    spoil(file)
    with refused("mine.npz: ", fragment):
        prepare.prepare("mine", definition("npz", file=str(file)), Path("out/mine.json"), None)
    assert os.listdir("out") == []


def test_missing_file_is_reported_when_the_workflow_is_read():
    with refused("gone.npz: cannot be read: No such file"):
        identity.prepared_path("mine", definition("npz", file="gone.npz"))


@pytest.mark.parametrize(
    ("keys", "fragments"),
    [
        ({"validation": 60}, ["validation: 60 examples asked for", "there are 60"]),
        ({"validation": 58}, ["validation: 58 of 60", "no example of some classes"]),
        ({"subset": 61}, ["subset: 61 examples asked for", "there are 60"]),
        ({"subset": 5}, ["the subset of 5 examples has 1 examples of class 0", "needs 2"]),
        ({"validation": 1.0}, ["validation: 1.0", "fraction below 1"]),
        ({"validation": -1}, ["validation: -1"]),
        ({"validation": True}, ["validation: True"]),
        ({"subset": 0}, ["subset: 0", "1 or more"]),
        ({"split_seed": -1}, ["split_seed: -1"]),
        ({"file": None}, ["file: source npz needs the path"]),
        ({"source": "digits"}, ["file: only sources", " read a file; source digits has its own"]),
        ({"source": "imagenet"}, ["source: unknown source 'imagenet'", "mnist"]),
        ({"source": "line", "file": None, "subset": 2}, ["line has four examples"]),
    ],
)
def test_impossible_definition(keys, fragments):
    what = definition(**{"source": "npz", "file": saved(image_arrays()), **keys})
    with refused(*fragments):
        prepare.prepare("mine", what, Path("out/mine.json"), None)
    assert not Path("out").exists() or os.listdir("out") == []


def test_class_with_a_single_example_cannot_be_split():
    arrays = image_arrays()
    arrays["y_train"][0] = 4
    what = definition("npz", file=saved(arrays))
    with refused("data set mine: the training data has 1 examples of class 4", "needs 2 or more"):
        prepare.prepare("mine", what, Path("out/mine.json"), None)
    prepare.prepare("mine", {**what, "validation": 0}, Path("out/mine.json"), None)


# Writing


@contextmanager
def file_size_limit(size):
    """The nearest thing to a full disk that needs no privileges."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk_leaves_nothing_behind():
    with file_size_limit(50_000), refused("out/d.json: ", "no room left on the disk"):
        prepare.prepare("digits", definition("digits"), Path("out/d.json"), None)
    assert os.listdir("out") == []


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_failure_at_the_last_step_leaves_nothing_behind(stop, monkeypatch):
    def replace(old, new, rename=os.replace):
        if str(new).endswith(".json"):
            raise stop
        rename(old, new)

    monkeypatch.setattr(prepare.os, "replace", replace)
    with pytest.raises((DataError, KeyboardInterrupt)):
        prepare.prepare("line", definition("line"), Path("out/l.json"), None)
    assert os.listdir("out") == []


def test_output_folder_that_cannot_be_made():
    Path("out").write_text("a file where the folder should be")
    with refused("out/l.json: cannot be written"):
        prepare.prepare("line", definition("line"), Path("out/l.json"), None)


# Reading it back


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists the mappings")
def test_load_is_memory_mapped():
    output = Path("out/d.json").absolute()
    prepare.prepare("digits", definition("digits"), output, None)
    data = datasets.load(output)
    assert str(output.with_suffix(".pt")) in Path("/proc/self/maps").read_text()
    assert [len(s.x) for s in (data.train, data.validation, data.test)] == [1077, 360, 360]
    assert data.classes == 10 and data.label == "Digits" and data.train.x.is_contiguous()


@pytest.mark.parametrize(
    ("spoil", "fragment"),
    [
        (lambda json_, pt: pt.unlink(), "is missing"),
        (lambda json_, pt: pt.write_bytes(pt.read_bytes()[:5000]), ": damaged"),
        (lambda json_, pt: pt.write_bytes(b""), ": damaged"),
        (lambda json_, pt: pt.write_bytes(pickle.dumps(print)), ": damaged"),
        (
            lambda json_, pt: torch.save({"x_train": torch.ones(3)}, pt),
            ": damaged: not the tensors",
        ),
        (lambda json_, pt: json_.write_text("{}"), "not the description"),
        (lambda json_, pt: json_.write_text("{"), "not the description"),
        (lambda json_, pt: json_.unlink(), "cannot be read"),
        (
            lambda json_, pt: json_.write_text(json_.read_text().replace("1077", "1076")),
            "not the description",
        ),
    ],
)
def test_prepared_file_that_is_spoilt(spoil, fragment):
    output, _, _ = prepared("digits", source="digits")
    spoil(output, output.with_suffix(".pt"))
    with refused("digits-", fragment):
        datasets.load(output)


def test_data_errors_are_user_errors():
    assert issubclass(DataError, UserError)


# Published data sets


@needs_mnist
def test_mnist_from_archives_that_stay_untouched():
    def state():
        return {f: (f.stat().st_size, f.stat().st_mtime_ns) for f in Path(ARCHIVES).rglob("*")}

    before = state()
    output, description, tensors = prepared("mnist", ARCHIVES, source="mnist")
    assert state() == before
    assert files_under("results/data") == [output.name, output.with_suffix(".pt").name]
    assert description["sizes"] == {"train": 50_000, "validation": 10_000, "test": 10_000}
    assert description["shape"] == [1, 28, 28] and description["scale"] == 1 / 255
    assert tensors["x_train"].dtype == torch.uint8 and tensors["y_train"].dtype == torch.int64
    official = torch.tensor([5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
    held_out = torch.bincount(tensors["y_validation"])
    assert (held_out - official / 6).abs().max() < 1
    assert torch.equal(torch.bincount(tensors["y_train"]) + held_out, official)
    assert torch.bincount(tensors["y_test"]).tolist()[:2] == [980, 1135]


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_keys):
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("mnist", "MNIST/raw/train-images-idx3-ubyte.gz"),
        ("fashion_mnist", "t10k-labels-idx1-ubyte.gz"),
        ("cifar10", "cifar-10-python.tar.gz"),
    ],
)
def test_damaged_archive_is_named_and_not_replaced(source, file, no_network):
    damaged = Path("archives", file)
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"cut off")
    with refused(f"archives/{file}: damaged or incomplete", "replace or remove it"):
        prepare.prepare("x", definition(source), Path("out/x.json"), "archives")
    assert damaged.read_bytes() == b"cut off" and os.listdir("out") == []


@pytest.mark.parametrize("folder", [None, "archives"])
def test_error_without_a_network_says_what_to_do(folder, no_network, capfd):
    Path("archives").mkdir()
    with refused(
        "CIFAR10 could not be downloaded",
        "cifar-10-python.tar.gz",
        "config key 'archives'",
        "OPTLAB_ARCHIVES",
    ):
        prepare.prepare("c", definition("cifar10"), Path("out/c.json"), folder)
    assert os.listdir("out") == [] and os.listdir("archives") == []


def test_folder_of_archives_that_is_not_there(no_network):
    with refused("archives: nowhere is not a folder"):
        prepare.prepare("m", definition("mnist"), Path("out/m.json"), "nowhere")


@needs_mnist
def test_mnist_archives_in_a_flat_folder_are_not_taken_for_fashion_mnist(no_network):
    source = next(Path(ARCHIVES).rglob("train-images-idx3-ubyte.gz")).parent
    flat = Path("flat")
    flat.mkdir()
    for file in source.glob("*.gz"):
        (flat / file.name).symlink_to(file.resolve())
    fetched = archives.read("MNIST", str(flat), Path("temporary"))
    assert fetched.x_train.shape == (60_000, 1, 28, 28)
    with refused("FashionMNIST could not be downloaded", "FashionMNIST/raw"):
        archives.read("FashionMNIST", str(flat), Path("other"))


# The command line


def command(*words, **keys):
    return subprocess.Popen(
        [sys.executable, str(SCRIPTS / "prepare_data.py"), *words],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keys,
    )  # fmt: skip


def test_program_prints_one_line():
    words = "--source digits --name numbers --subset 400 --validation 0.1 --output out/n.json"
    with command(*words.split()) as program:
        stdout, stderr = program.communicate()
    assert program.returncode == 0, stderr
    assert re.fullmatch(r"numbers: 360 train, 40 validation, 360 test examples; .*\n", stdout)
    assert stderr == "" and files_under("out") == ["n.json", "n.pt"]


def test_program_reports_an_error_in_one_line():
    file = saved(without("y_test")(image_arrays()))
    with command("--source", "npz", "--file", file, "--output", "out/n.json") as program:
        stdout, stderr = program.communicate()
    assert program.returncode == 1 and stdout == ""
    assert re.fullmatch(r"error: mine\.npz: array y_test is missing .*\n", stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_that_is_stopped_leaves_nothing_behind(number):
    os.mkfifo("pipe.npz")  # the program waits forever to read it
    with command("--source", "npz", "--file", "pipe.npz", "--output", "out/n.json") as program:
        deadline = time.monotonic() + 30
        # Its folder: before that it tries whether files can be written, and knows no signals yet.
        while not any(map(os.path.isdir, glob.glob("out/.n-*"))) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(files_or_folders("out")) == 1
        program.send_signal(number)
        _, stderr = program.communicate()
    assert program.returncode == 128 + number, stderr
    assert stderr == "" and os.listdir("out") == []


def files_or_folders(folder):
    return os.listdir(folder) if Path(folder).is_dir() else []
