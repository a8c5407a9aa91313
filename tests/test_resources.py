"""What a run is predicted to need; earlier runs know better."""

import json
from pathlib import Path

import pytest

from optlab.data import identity
from optlab.errors import UserError
from optlab.machine import resources
from optlab.machine.resources import Site
from optlab.study import reading, table

NOWHERE = Site()


@pytest.fixture(autouse=True)
def forget():
    identity.size.cache_clear()
    resources.earlier.cache_clear()


@pytest.fixture
def needs(here):
    """What the only run of a study needs, some settings of it replaced."""

    def needs(where=NOWHERE, **settings):
        exercise = {
            "datasets": ["mnist"],
            "models": ["cnn"],
            "optimizers": {"adam": {"lr": [0.001]}},
            **settings,
        }
        resolved = reading.resolve({"study": "s", "exercises": {"e": exercise}})
        (run,) = table.runs(resolved)
        return resources.of_run(run, resolved["datasets"][run.dataset], where)

    return needs


def test_time_grows_with_the_data_the_network_epochs_and_seeds(needs):
    small = needs(models=["softmax"]).seconds
    assert needs(datasets=["digits"], models=["softmax"]).seconds < small / 3
    assert needs().seconds > 20 * small
    assert needs(epochs=[20]).seconds == pytest.approx(2 * needs().seconds, rel=0.01)
    assert needs(seeds=6).seconds == pytest.approx(2 * needs(seeds=3).seconds, rel=0.01)
    assert needs(threads=4).seconds < needs().seconds / 2
    options = {"models": ["mlp"]}
    assert needs(batch_sizes=[10], **options).seconds > 2 * needs(**options).seconds


def test_memory_grows_with_the_data_the_batch_and_the_attempt(needs):
    assert needs(models=["linear"], datasets=["line"], batch_sizes=[4]).mem_mb(1) == 600
    assert 1000 < needs().mem_mb(1) < 3000
    assert needs(batch_sizes=["full"]).mem_mb(1) > 20_000
    assert needs().mem_mb(3) == 4 * needs().mem_mb(1)
    assert needs().runtime(2) == 2 * needs().runtime(1)
    assert needs().predicted(2) > needs().predicted(1)


def test_a_network_of_the_users_own_is_allowed_for(needs, here):
    (here / "nets.py").write_text("")
    assert needs(models=["nets.py:Net"]).seconds > needs(models=["mlp"]).seconds


@pytest.mark.parametrize(
    ("device", "gpus_per_node", "gpus", "nodes", "gpu", "gres"),
    [
        ("cpu", 4, 2, 1, 0, ""),
        ("auto", 0, 2, 1, 0, ""),
        ("auto", 4, 2, 1, 2, ""),
        ("cuda", 0, 2, 1, 2, ""),
        ("cuda", 4, 4, 1, 4, ""),
        ("cuda", 4, 8, 2, 0, "gpu:a100:4"),
        ("cuda", 4, 6, 2, 0, "gpu:a100:3"),
        ("cuda", 4, 9, 3, 0, "gpu:a100:3"),
    ],
)
def test_gpus_and_nodes_follow_the_device_and_the_site(
    needs, device, gpus_per_node, gpus, nodes, gpu, gres
):
    where = Site(gpus_per_node, "a100")
    found = needs(where, device=device, gpus=[gpus], seeds=1)
    assert (found.nodes, found.gpu, found.gres) == (nodes, gpu, gres)
    assert found.gpu_model == ("a100" if gpu else "")
    assert found.spread.startswith(f"srun --nodes={nodes} ") if nodes > 1 else not found.spread


def test_a_run_like_an_earlier_one_is_predicted_from_that(needs, here):
    before = needs()
    folder = Path("results/s/runs/e/adam/mnist+cnn/lr=0.1/batch_size=100+epochs=2+gpus=1")
    record = {
        "settings": {"epochs": 2, "seeds": 3},
        "seeds": [{}, {}, {}],
        "wall": {"training": 50.0, "evaluation": 10.0},
        "usage": {"peak_memory_mb": 5000.0},
    }
    (here / folder).mkdir(parents=True)
    (here / folder / "run.json").write_text(json.dumps(record))
    resources.earlier.cache_clear()
    after = needs()
    assert after.seconds == pytest.approx(2 + 10 * 10 * 3)
    assert after.mem_mb(1) == 6800
    resources.earlier.cache_clear()
    assert needs(batch_sizes=[50]).seconds == pytest.approx(before.seconds, rel=0.2)
    (here / folder / "run.json").write_text("{")
    resources.earlier.cache_clear()
    assert needs() == before


def test_a_prepared_data_set_says_its_size(needs, here):
    before = needs().seconds
    (here / "results/data").mkdir(parents=True)
    resolved = reading.resolve(
        {"study": "s", "exercises": {"e": {"datasets": ["mnist"], "models": ["cnn"],
                                           "optimizers": {"adam": None}}}}
    )  # fmt: skip
    file = Path(identity.prepared_path("mnist", resolved["datasets"]["mnist"]))
    file.write_text(json.dumps({"sizes": {"train": 5_000}, "shape": [1, 28, 28]}))
    identity.size.cache_clear()
    assert needs().seconds < before / 5


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"gpus_per_node": "many"}, "gpus_per_node=many"),
        ({"prepare_on": "moon"}, "prepare_on=moon; allowed: login, compute"),
    ],
)
def test_a_wrong_site_is_told(given, words):
    with pytest.raises(UserError, match=words):
        Site.of(given)
