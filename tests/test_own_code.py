"""Code of the user's own and of other packages: how it is found, and on what it depends."""

import importlib.util
import json
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from optlab import custom
from optlab.custom import reach
from optlab.errors import UserError
from optlab.runs import record
from optlab.study import reading, table

ROOT = Path(__file__).parents[1]


@pytest.fixture
def files(here, monkeypatch):
    """Write files, and forget the modules that a test imports."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(**texts):
        for name, text in texts.items():
            file = here / name.replace("__", "/").replace("_py", ".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        reach._closure.cache_clear()

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_finds_its_neighbours_and_is_registered_before_it_runs(files):
    files(
        my__net_py="""\
            from dataclasses import dataclass, field
            from parts import SIZE
            import deep.more as more

            @dataclass
            class Options:
                sizes: list[int] = field(default_factory=lambda: [SIZE, more.SIZE])
            """,
        my__parts_py="SIZE = 3",
        my__deep____init___py="",
        my__deep__more_py="SIZE = 4",
    )
    Path("my/deep/__init__.py").touch()
    options = custom.load("my/net.py:Options")
    assert options().sizes == [3, 4]
    assert custom.load("./my/net.py:Options") is options  # imported once


def test_a_file_in_a_package_is_a_module_of_it(files):
    Path("lab/nets").mkdir(parents=True)
    for name in ("lab/__init__.py", "lab/nets/__init__.py"):
        Path(name).touch()
    Path("lab/sizes.py").write_text("SIZE = 5")
    Path("lab/nets/one.py").write_text("from ..sizes import SIZE\nfrom . import two")
    Path("lab/nets/two.py").write_text("")
    assert custom.load("lab/nets/one.py:SIZE") == 5
    assert custom.load("lab.nets.one:SIZE") == 5
    expected = {"lab/nets/one.py", "lab/nets/two.py", "lab/sizes.py", "lab/__init__.py",
                "lab/nets/__init__.py"}  # fmt: skip
    assert set(reach.files(["lab/nets/one.py:SIZE"])) == expected
    assert set(reach.files(["lab.nets.one:SIZE"])) == expected


def test_neighbours_of_the_same_name_are_those_beside_each_file(files):
    files(a__net_py="from same import WHERE", a__same_py="WHERE = 'a'",
          b__net_py="from same import WHERE", b__same_py="WHERE = 'b'")  # fmt: skip
    assert [custom.load(f"{place}/net.py:WHERE") for place in "ab"] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import gone_entirely", "No module named 'gone_entirely'"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit(3)"),
        ("x = 1", "there is no 'Net' in my/net.py"),
    ],
)
def test_what_cannot_be_imported_is_one_line(text, words, files):
    files(my__net_py=text)
    with pytest.raises(UserError) as found:
        custom.load("my/net.py:Net")
    assert words in str(found.value) and "\n" not in str(found.value)


def test_files_that_are_reached_and_others(files):
    files(my__net_py="import near, math, torch\ndef f():\n    import late",
          my__near_py="from pack import inner", my__late_py="", my__other_py="import net",
          my__pack__inner_py="")  # fmt: skip
    Path("my/pack/__init__.py").touch()
    assert reach.files(["my/net.py:f"]) == [
        "my/net.py", "my/near.py", "my/late.py", "my/pack/__init__.py", "my/pack/inner.py",
    ]  # fmt: skip
    files(my__net_py="this is no Python")
    assert reach.files(["my/net.py:f"]) == ["my/net.py"]
    assert reach.files(["optlab.parts.networks.mlp:build", "torch.optim:SGD"]) == []


def test_packages_count_by_name_and_version(files):
    version = metadata.version("torchvision")
    specs = ["torchvision.models:resnet18", "torch.optim:SGD", "json:load", "my/net.py:Net"]
    assert reach.packages(specs) == {"torchvision": version}


def test_another_version_of_a_package_trains_again(files, monkeypatch):
    def text():
        content = {"study": "v", "exercises": {"fit": {
            "datasets": ["digits"], "models": ["torchvision.models:alexnet"],
            "optimizers": {"sgd": {"lr": [0.1]}}}}}  # fmt: skip
        (run,) = table.runs(reading.resolve(content))
        return run.text()

    before = text()
    monkeypatch.setattr(reach, "_version", lambda top: "99.0" if top == "torchvision" else "")
    assert text() != before and '"99.0"' in text()


# Networks as they come


def trained(model, options, folder):
    """Two steps on eight images of 3 x 32 x 32, as the workflow trains a run of a study."""
    generator = np.random.default_rng(0)
    x = generator.integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
    y = np.arange(8) % 4
    np.savez("small.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    content = {
        "study": "theirs", "seeds": 1, "device": "cpu",
        "datasets": {"small": {"source": "npz", "file": "small.npz", "validation": 0}},
        "models": {"net": {"network": model, **options}},
        "exercises": {"fit": {"datasets": ["small"], "models": ["net"], "epochs": [1],
                              "batch_sizes": [4], "optimizers": {"adam": {"lr": [0.001]}}}},
    }  # fmt: skip
    study = reading.resolve(content)
    (run,) = table.runs(study)
    scripts = ROOT / "workflow/scripts"
    from optlab.data import identity

    prepare = identity.arguments("small", study["datasets"]["small"], None)
    subprocess.run([sys.executable, str(scripts / "prepare_data.py"), *prepare,
                    "--output", run.data], check=True, capture_output=True)  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(scripts / "train.py"), "--settings", run.text(), "--output", folder],
        capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(Path(folder, "run.json").read_text()), run


NETWORKS = {
    "torchvision.models:resnet18": ({}, 11_178_564),
    "torchvision.models:mobilenet_v3_small": ({"dropout": 0.1}, None),
    "timm.models.resnet:resnet10t": ({}, None),
    "timm:create_model": ({"model_name": "resnet10t"}, None),
}


@pytest.mark.slow
@pytest.mark.parametrize("model", NETWORKS)
def test_published_networks_train_without_an_edit(model, here):
    top = model.partition(".")[0].partition(":")[0]
    if importlib.util.find_spec(top) is None:
        pytest.skip(f"{top} is not installed")
    options, weights = NETWORKS[model]
    found, run = trained(model, options, "out")
    assert found["seeds"][0]["status"] == "ok" and found["seeds"][0]["last_step"] == 2
    assert found["settings"]["packages"].keys() == {top}
    if weights:
        net = custom.load(model)(num_classes=4)
        assert sum(p.numel() for p in net.parameters()) == weights
        values = net.state_dict().values()
        assert found["seeds"][0]["weights"] == sum(value.numel() for value in values)
    assert record.kept(Path("out"), found["fingerprint"])[1]
    assert run.code == []
