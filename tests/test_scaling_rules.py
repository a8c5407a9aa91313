"""What Snakemake plans for a scaling exercise, and what its programs make of real runs."""

import shutil
from pathlib import Path

import pytest
from test_planning import Checkout

STUDY = """\
study: tiny
seeds: 1
device: cpu
exercises:
  speed:
    kind: scaling
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    batch_sizes: [50, 100]
    gpus: [1]
    optimizers:
      sgd: {lr: [0.1]}
  pick:
    datasets: [digits]
    models: [softmax]
    epochs: [1]
    optimizers:
      sgd: {lr: [0.1]}
"""

CHANGED = {"study": 1, "tables": 1, "page": 1, "figures_speed": 1}  # what another study makes again
DRAWN = ["figures_pick", "figures_speed"]


# A whole study: beside that of test_planning.py it would make the fast tests too slow.
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A study that is done, with one process a run; not to be changed."""
    checkout = Checkout(tmp_path_factory.mktemp("finished")).make()
    checkout.write("study.yaml", STUDY)
    checkout.call()
    return checkout


@pytest.fixture
def checkout(finished, tmp_path):
    folder = tmp_path / "moved é"
    shutil.copytree(finished.folder, folder, symlinks=True)
    return Checkout(folder)


def run(gpus, batch_size, lr="0.1"):
    return f"speed/sgd/digits+softmax/lr={lr}/batch_size={batch_size}+epochs=1+gpus={gpus}"


def test_finished_study_has_every_result(finished):
    kinds = [(row["scaling"], row["batch_size"]) for row in finished.table("scaling")]
    assert kinds == [(s, b) for s in ("strong", "weak") for b in ("50", "100")]
    for row in finished.table("scaling"):
        assert row["speedup"] == "1" and float(row["seconds"]) > 0
    measured = finished.table("scaling")[0]
    assert float(measured["step_seconds"]) > 0 and measured["oversubscribed"] in ("true", "false")
    pictures = finished.results("figures/speed/*.svg")
    assert {Path(name).stem for name in pictures} == {"time", "settings"}
    assert len(finished.table("runs")) == 3  # of both kinds of exercise
    assert [row["exercise"] for row in finished.table("best")] == ["pick"]
    assert "3 done, 0 running" in finished.status()
    # Also not for runs that are given all cores, which Snakemake tells every matrix library.
    logs = finished.results("logs/**/*.log")
    assert logs and not any("no warm start" in text for text in logs.values())


def test_moving_it_plans_nothing(checkout):
    assert checkout.planned() == ({}, [])


def test_prepared_data_is_not_missed_until_it_is_needed(checkout):
    shutil.rmtree(checkout.folder / "results/data")
    assert checkout.planned() == ({}, [])
    checkout.append("workflow/scripts/optlab/results/timed.py")
    assert checkout.planned() == (dict.fromkeys([*DRAWN, "tables", "page"], 1), [])


def test_more_processes_train_what_they_add(checkout):
    checkout.edit("study.yaml", ("gpus: [1]", "gpus: [1, 2]"))
    jobs, runs = checkout.planned()
    assert runs == sorted([run(2, 50), run(2, 100), run(2, 100, "0.2"), run(2, 200, "0.2")])
    assert jobs == {"train": 4, **CHANGED}
    assert "3 done, 0 running, 0 failed, 4 waiting" in checkout.status()


@pytest.mark.slow
def test_rule_of_the_rate_trains_only_weak_runs_of_several_processes(checkout):
    checkout.edit("study.yaml", ("gpus: [1]", "gpus: [1]\n    lr_scaling: sqrt"))
    assert checkout.planned() == (CHANGED, [])
    runs = []
    for rule in ("linear", "sqrt"):
        text = STUDY.replace("gpus: [1]", f"gpus: [1, 4]\n    lr_scaling: {rule}")
        checkout.write("study.yaml", text)
        runs.append(set(checkout.planned()[1]))
    linear, sqrt = runs
    assert linear - sqrt == {run(4, 200, "0.4"), run(4, 400, "0.4")}
    assert sqrt - linear == {run(4, 200, "0.2"), run(4, 400, "0.2")}


def test_added_target_draws_and_trains_nothing(checkout):
    checkout.edit("study.yaml", ("gpus: [1]", "gpus: [1]\n    target_accuracy: 0.5"))
    assert checkout.planned() == (CHANGED, [])


@pytest.mark.parametrize(
    "module, jobs",
    [
        ("figures/scaling", DRAWN),
        ("figures/scaling_axes", DRAWN),
        ("results/scaling_laws", [*DRAWN, "tables", "page"]),
        ("results/timed", [*DRAWN, "tables", "page"]),
        ("figures/reader", [*DRAWN, "page"]),
    ],
)
def test_an_edit_makes_again_what_depends_on_it(checkout, module, jobs):
    checkout.append(f"workflow/scripts/optlab/{module}.py")
    assert checkout.planned() == (dict.fromkeys(jobs, 1), [])


def test_sweep_beside_it_is_left_alone(checkout):
    checkout.edit("study.yaml", ("batch_sizes: [50, 100]", "batch_sizes: [50]"))
    assert checkout.planned() == (CHANGED, [])


def test_target_of_the_exercise_makes_only_that(checkout):
    shutil.rmtree(checkout.folder / "results/tiny")
    jobs, runs = checkout.planned("speed")
    assert jobs == {"train": 2, "figures_speed": 1, "speed": 1}
    assert runs == sorted([run(1, 50), run(1, 100)])


@pytest.mark.slow
def test_a_study_of_scaling_alone(checkout):
    checkout.write("study.yaml", STUDY[: STUDY.index("  pick:")])
    jobs, runs = checkout.planned()
    assert (jobs, runs) == ({"study": 1, "tables": 1, "page": 1}, [])
    shutil.rmtree(checkout.folder / "results/tiny/tables")
    checkout.call()
    tables = {Path(name).stem for name in checkout.results("tables/*.tsv")}
    assert tables == {"claims", "runs", "scaling"} and len(checkout.table("runs")) == 2
