"""Several processes against one: real processes, started by torchrun, that meet through Gloo."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from handmade import settings

from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.data import prepare
from optlab.errors import UserError
from optlab.machine import devices
from optlab.training import batch_norm, loop, networks
from optlab.training.batches import Batches
from optlab.training.checkpoints import Checkpoints
from optlab.training.datasets import load
from optlab.training.world import World

TESTS = Path(__file__).parent
TRAIN = TESTS.parents[0] / "workflow/scripts/train.py"
STEPS = 50


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "digits.json"
    prepare.prepare("digits", {"source": "digits"}, path, None)
    return path


# -- the same weights as one process ---------------------------------------------------------


NORMS = """
from torch import nn

class Images(nn.Sequential):
    "Layers whose averages differ, one without weights, and one that is used twice."
    def __init__(self, shape, outputs, vectors=True):
        twice = nn.BatchNorm2d(4, affine=False)
        layers = [nn.Conv2d(1, 4, 3), twice, nn.ReLU(), twice]
        layers += [nn.Unflatten(1, (2, 2)), nn.BatchNorm3d(2), nn.Flatten()]
        last = [nn.BatchNorm1d(144, momentum=None, eps=1e-3)] if vectors else []
        super().__init__(*layers, *last, nn.Linear(144, outputs))

class Theirs(nn.Sequential):
    def __init__(self, shape, outputs):
        super().__init__(nn.Flatten(), nn.SyncBatchNorm(64), nn.Linear(64, outputs))
"""


def norms(folder):
    """Networks with BatchNorm; the last batches are of 7, 2 and 1 examples."""
    file = folder / "norms.py"
    file.write_text(NORMS)
    more = {"batch_size": 100, "epochs": 3, "precision": "float64", "sync_batch_norm": True}
    found = []
    for name, last, options in (
        ("Images", 7, {}),
        ("Images", 2, {}),
        ("Images", 1, {"vectors": False}),
        ("Theirs", 7, {}),
    ):
        net = {"network_options": options, "network_builder": f"{file}:{name}"}
        run = settings("mlp", "momentum", {"lr": 0.01}, epoch_examples=100 + last, **more)
        run = replace(run, **net, sync_batch_norm=name != "Theirs")
        found.append((f"{name} {last}", run, 6))
    single = replace(found[0][1], precision="float32")
    return [*found, ("Images float32", single, 6)]


def judged(folder):
    """A loss and metrics of one's own; the last batch of two, which some ranks have no share of."""
    file = folder / "judged.py"
    file.write_text(
        "from torch.nn.functional import multi_margin_loss as loss, softmax\n"
        "def sure_score(output, y):\n    return softmax(output, 1).max(1).values.median()\n"
    )
    more = {"batch_size": 100, "epochs": 3, "epoch_examples": 202, "precision": "float64"}
    run = settings("mlp", "momentum", {"lr": 0.01}, {"hidden": [8]}, **more)
    named = ["top_3_accuracy", f"{file}:sure_score"]
    own = replace(run, loss=f"{file}:loss", metrics=named)
    return [("own loss", own, 9), ("smoothed", replace(run, label_smoothing=0.2), 9)]


def jobs(examples):
    """Every optimizer that takes mini-batches, in both precisions, and a convolution."""
    size = (examples - 1) // 3  # three batches and one of a single example
    assert examples % size in (1, 2, 3)
    found = []
    for name in OPTIMIZERS:
        if name == "lbfgs":
            continue
        for precision in ("float64", "float32"):
            more = {"batch_size": size, "epochs": 20, "precision": precision}
            run = settings("mlp", name, {}, {"hidden": [16]}, **more)
            found.append((f"{name} {precision}", run, STEPS))
    more = {"batch_size": size, "epochs": 3, "precision": "float64"}
    cnn = settings("cnn", "adam", {"lr": 0.001}, {"dropout": 0.0}, **more)
    axes = {"clip_norm": 0.5, "accumulation": 3, "ema": 0.9, "label_smoothing": 0.1}
    axes["augment"] = "flip+crop=1+cutout=3+mixup"
    for axis, value in axes.items():
        run = settings("mlp", "momentum", {"lr": 0.1}, {"hidden": [16]}, **more, **{axis: value})
        found.append((axis, run, 8))
    full = {"batch_size": "full", "epochs": 10, "precision": "float64"}
    full_run = settings("softmax", "sgd", {"lr": 0.5}, **full)
    changed = settings("softmax", "sgd", {"lr": 0.5}, augment="flip+mixup", **full)
    found.append(("augment full", changed, 10))
    return [*found, ("cnn", cnn, 8), ("full", full_run, 10)]


@pytest.fixture(scope="module")
def every_job(digits):
    own = judged(digits.parent)
    return [*jobs(len(load(digits).train.x)), *norms(digits.parent), *own]


def run_of(jobs, wanted):
    return next(run for name, run, _ in jobs if name == wanted)


@pytest.fixture(scope="module")
def alone(digits, every_job):
    """Weights and figures of one process after its steps."""
    data = load(digits)
    torch.set_num_threads(1)
    found = {}
    for name, run, steps in every_job:
        trainer = loop.Trainer(run, data, [0])
        trainer.steps = steps
        (outcome,) = trainer.run(lambda seed, row: None, Checkpoints(None, ""))
        found[name] = (outcome.model.state_dict(), figures(outcome))
    return found


def figures(outcome):
    """The training loss and all other metrics of each evaluation."""
    return [x for row in outcome.evaluations for x in (row.train_loss, *row.more.values())]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_together_give_the_weights_of_one(digits, here, alone, every_job, processes):
    torch.save(every_job, "jobs")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += [f"--nproc-per-node={processes}", str(TESTS / "ranks.py")]
    command += [str(digits), "jobs", "weights"]
    ours = {"OMP_NUM_THREADS": "1", "OPTLAB_STARTED": "0"}  # as `processes.launch` starts them
    subprocess.run(command, check=True, timeout=240, env=os.environ | ours)
    together = torch.load("weights")
    for name, (weights, losses) in alone.items():
        if name == "muon float32":  # bfloat16 inside: rounding is magnified
            continue
        others, other_losses = together[name]
        exact = "float32" not in name
        for key, value in weights.items():
            scale = max(float(value.abs().max()), 1e-3) if not exact else 1.0
            far = (others[key] - value).abs().max().item()
            assert far <= (1e-10 if exact else 1e-3 * scale), (name, key, far)
        assert other_losses == pytest.approx(losses, rel=1e-9 if exact else 1e-3), name


def test_one_process_trains_batch_norm_as_a_plain_loop_does(digits, alone, every_job):
    """So, with the test above, two do."""
    data = load(digits)
    run = run_of(every_job, "Images 7")
    model = networks.build(run, data, 0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    batches = Batches(run, data, 0)
    for epoch in range(1, 4):
        for x, y in batches.epoch(epoch):
            model.train()
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    weights, _ = alone["Images 7"]
    assert list(weights) == list(model.state_dict())
    for key, value in model.state_dict().items():
        assert torch.allclose(weights[key], value, rtol=0, atol=1e-12), key


# Network, examples of an epoch, batch size, processes, whether synchronised; what is said.
FITS = [
    ("Images", 202, 100, 2, True, None),
    ("Images", 204, 100, 2, False, None),
    ("Images", 203, 100, 2, False, "another batch_size, such as 99, or sync_batch_norm: true"),
    ("Images", 201, 100, 2, True, "the last batch has 1 of 201 in batches of 100 shared by 2"),
    ("Images", 201, 100, 2, True, "; use another batch_size, such as 99"),
    ("Images", 201, 100, 1, False, "1 of 201 in batches of 100; use another batch_size, such as"),
    ("Images", 3, 3, 2, False, "3 of 3 in batches of 3 shared by 2 processes; use sync_batch_norm"),
    ("Images", 4, 1, 1, False, "1 of 4 in batches of 1; use another batch_size, such as 2"),
    ("Theirs", 202, 100, 2, False, None),
    ("Pixels", 201, 100, 2, False, None),
    ("Pixels", 201, 100, 1, False, None),
]


@pytest.mark.parametrize(("net", "examples", "size", "processes", "synchronised", "said"), FITS)
def test_a_last_batch_that_batch_norm_cannot_take_is_refused_before_the_first_step(
    digits, every_job, net, examples, size, processes, synchronised, said
):
    usual = run_of(every_job, "Images 7")
    run = replace(usual, epoch_examples=examples, batch_size=size, sync_batch_norm=synchronised)
    if net == "Theirs":
        run = replace(run, network_builder=usual.network_builder.replace("Images", net))
    elif net == "Pixels":
        run = replace(run, network_options={"vectors": False})
    data, world = load(digits), World(0, processes)
    model = networks.build(run, data, 0)
    before, drawn = deepcopy(model.state_dict()), torch.get_rng_state()
    reason = batch_norm.refuses(model, Batches(run, data, 0, world), run, processes)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    if said is None:
        assert reason is None
    else:
        assert said in reason and "\n" not in reason
        with pytest.raises(
            UserError, match=r"^BatchNorm needs 2 examples a step( and process)?, but the last "
        ):
            loop.Trainer(run, data, [0], world)


def test_what_is_refused_is_what_pytorch_refuses(digits, every_job):
    """One example: vectors are refused, pixels are not, as the network itself does."""
    data = load(digits)
    for vectors in (True, False):
        run = replace(
            run_of(every_job, "Images 7"), network_options={"vectors": vectors}, batch_size=1
        )
        model, batches = networks.build(run, data, 0), Batches(run, data, 0)
        x, _ = next(batches.epoch(1))
        raises = pytest.raises(ValueError, match="more than 1 value") if vectors else nullcontext()
        with raises:
            model(x)
        assert (batch_norm.refuses(model, batches, run, 1) is not None) == vectors


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [100, 399, "full"])
def test_shares_cover_each_epoch_exactly_and_never_overlap(digits, processes, size):
    data = load(digits)
    run = settings("softmax", "sgd", {"lr": 0.5}, batch_size=size)
    whole = list(Batches(run, data, 3).epoch(2))
    shares = [
        list(Batches(run, data, 3, World(rank, processes)).epoch(2)) for rank in range(processes)
    ]
    assert {len(batches) for batches in shares} == {len(whole)}
    for number, (x, y) in enumerate(whole):
        parts = [batches[number] for batches in shares]
        assert torch.equal(torch.cat([part[0] for part in parts]), x)
        assert torch.equal(torch.cat([part[1] for part in parts]), y)
        if processes > 1:
            assert {part[2] for part in parts} == {len(x)}
            assert max(len(p[0]) for p in parts) - min(len(p[0]) for p in parts) <= 1


def test_an_epoch_may_be_taken_up_in_its_middle(digits):
    data = load(digits)
    run = settings("softmax", "sgd", {"lr": 0.5})
    whole = list(Batches(run, data, 0).epoch(1))
    rest = list(Batches(run, data, 0).epoch(1, skip=5))
    assert len(rest) == len(whole) - 5
    assert all(torch.equal(a[0], b[0]) for a, b in zip(rest, whole[5:], strict=True))


# Of torchrun, of a Kubernetes job, of MPI, and of SLURM in the shell of an allocation.
OTHERS = {
    **{"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "192.0.2.1", "MASTER_PORT": "9", "TORCHELASTIC_RUN_ID": "none"},
    **{"PET_NNODES": "2", "PET_NODE_RANK": "1", "PET_RDZV_ENDPOINT": "192.0.2.1:9"},
    **{"PET_NPROC_PER_NODE": "8", "PET_RDZV_BACKEND": "c10d", "PET_MAX_RESTARTS": "3"},
    **{"OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "3", "PMI_SIZE": "4", "PMI_RANK": "3"},
    **{"SLURM_NTASKS": "4", "SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "SLURM_JOB_NUM_NODES": "2"},
    **{"SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "1", "SLURM_STEP_NUM_TASKS": "4"},
}


# -- as a run of the study -------------------------------------------------------------------


def command(digits, folder, *more):
    words = ["--data", str(digits), "--model", "softmax", "--lr", "0.5", "--device", "cpu"]
    return [sys.executable, str(TRAIN), *words, "--output", str(folder), *more]


def rows(folder):
    with (folder / "metrics.tsv").open() as stream:
        return [{**row, "seconds": None} for row in csv.DictReader(stream, delimiter="\t")]


def ranks_of(process):
    """The training processes below torchrun, by rank."""
    found = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == process.pid:
                variables = (status.parent / "environ").read_bytes().split(b"\0")
                rank = next((v for v in variables if v.startswith(b"RANK=")), None)
                if rank:
                    found[int(rank[5:])] = int(status.parent.name)
    return found


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def alive(pid):
    """Whether a process runs; one that has ended and waits for its parent does not."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@pytest.fixture
def long_run(digits, here):
    """A run of two processes that would go on for hours, once it trains."""
    more = ("--epochs", "1000000", "--gpus", "2", "--state", "state.json")
    with (here / "log").open("w") as log:
        process = subprocess.Popen(command(digits, here / "run", *more), stdout=log, stderr=log)
    wait_until(lambda: "epoch" in (here / "log").read_text())
    yield process
    if process.poll() is None:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_only_the_first_process_writes_and_all_are_counted(digits, here):
    one, two = here / "one", here / "two"
    subprocess.run(command(digits, one, "--epochs", "2"), check=True, timeout=60)
    more = ("--epochs", "2", "--gpus", "2", "--timed")
    done = subprocess.run(
        command(digits, two, *more), check=True, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.count("results: ") == 1 and "Traceback" not in done.stderr
    for first, second in zip(rows(one), rows(two), strict=True):
        assert (first.pop("gpus"), second.pop("gpus")) == ("1", "2")
        assert float(second["val_loss"]) == pytest.approx(float(first["val_loss"]), rel=1e-4)
    record = json.loads((two / "run.json").read_text())
    parts = record["steps"]
    assert parts["measured"] >= 20 and parts["communication"]["median"] > 0
    assert parts["step"]["median"] > parts["forward_backward"]["median"] > 0
    assert record["hardware"]["oversubscribed"] is (len(os.sched_getaffinity(0)) < 2)
    assert record["wall"]["start_up"] > 0.5


def test_a_killed_process_ends_the_run_with_a_clear_error_and_no_process_left(long_run, here):
    ranks = wait_until(lambda: len(r := ranks_of(long_run)) == 2 and r)
    os.kill(ranks[1], signal.SIGKILL)
    assert long_run.wait(timeout=30) == 1
    last = (here / "log").read_text().splitlines()[-1]
    assert last == "error: process 1 of 2 was killed (SIGKILL); the others were ended"
    assert "was killed" in json.loads((here / "state.json").read_text())["message"]
    wait_until(lambda: not any(map(alive, ranks.values())), 10)


def test_no_process_outlives_the_one_that_started_it(long_run):
    ranks = wait_until(lambda: len(r := ranks_of(long_run)) == 2 and r)
    long_run.kill()
    long_run.wait()
    wait_until(lambda: not any(map(alive, ranks.values())), 10)


@pytest.mark.slow
def test_two_runs_at_once_and_a_port_in_use(digits, here):
    with socket.socket() as usual:
        usual.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # somebody else has it: as good
            usual.bind(("", 29500))
            usual.listen()
        both = [
            subprocess.Popen(command(digits, here / name, "--epochs", "3", "--gpus", "2"))
            for name in ("a", "b")
        ]
        assert [process.wait(timeout=120) for process in both] == [0, 0]
    assert rows(here / "a") == rows(here / "b")


def test_a_mistake_is_told_once(digits, here):
    more = ("--batch-size", "5000", "--gpus", "2")
    done = subprocess.run(
        command(digits, here / "x", *more), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if "error" in line.lower()]
    assert len(errors) == 1 and "a batch of 5000 is more than" in errors[0]
    done = subprocess.run(
        command(digits, here / "x", "--batch-size", "2", "--gpus", "4"),
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr == "error: a batch of 2 cannot be shared by 4 processes\n"


NETS = """
import torch
from torch import nn

class Norm(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, outputs))
        self.unused = nn.Linear(3, 3)

    def forward(self, x):
        return self.body(x)

class Fails(Norm):
    def forward(self, x):
        import os
        if os.environ.get("RANK") == "1" and self.training:
            raise ValueError("a mistake of mine")
        return super().forward(x)
"""


@pytest.mark.slow
def test_networks_of_the_users_own(digits, here):
    """Averages over each process's examples, unused parameters, and an error of one process."""
    (here / "nets.py").write_text(NETS)
    more = ("--model", "nets.py:Norm", "--gpus", "2", "--epochs", "2")
    done = subprocess.run(
        command(digits, here / "a", *more), check=True, capture_output=True, text=True, timeout=60
    )
    assert float(rows(here / "a")[-1]["test_accuracy"]) > 0.5
    assert json.loads((here / "a/run.json").read_text())["notes"] == [batch_norm.NOTE]
    assert done.stdout.count(batch_norm.NOTE) == 1
    more = ("--model", "nets.py:Fails", "--gpus", "2", "--epochs", "2")
    done = subprocess.run(
        command(digits, here / "b", *more), capture_output=True, text=True, timeout=60, cwd=here
    )
    assert done.returncode == 1
    assert done.stderr == "error: nets.py:18: ValueError: a mistake of mine\n"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="a name of its own for the machine needs root")
def test_a_machine_whose_name_leads_nowhere(digits, here):
    words = command(digits, here / "a", "--gpus", "2", "--epochs", "1")
    subprocess.run(
        ["unshare", "-u", "sh", "-c", 'hostname nosuchhost; exec "$@"', "-", *words],
        check=True,
        timeout=60,
    )


@pytest.mark.slow
def test_variables_of_another_launcher_are_not_ours(digits, here):
    environment = os.environ | OTHERS
    for gpus in ("1", "2"):
        words = command(digits, here / gpus, "--epochs", "1", "--gpus", gpus)
        done = subprocess.run(
            words, check=False, timeout=100, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads((here / gpus / "run.json").read_text())["settings"]["gpus"] == int(gpus)
    assert [*here.rglob("metrics.tsv")] and not [*here.rglob("*meeting*")]


def nodes_of(digits, here, there, known="2", **more):
    """The first nodes of a run on several, as srun would start them."""
    started = []
    for node in range(there):
        slurm = {"SLURM_STEP_NUM_NODES": known, "SLURM_NODEID": str(node), "OPTLAB_NODES": "2"}
        words = command(digits, here / "run", "--gpus", "2", "--state", str(here / "state.json"))
        with (here / f"log-{node}").open("w") as log:
            environment = os.environ | OTHERS | slurm
            started.append(subprocess.Popen([*words, *more.get("words", ())], env=environment,
                                            stdout=log, stderr=log))  # fmt: skip
    return started


@pytest.mark.slow
def test_two_nodes_meet_and_leave_nothing(digits, here):
    """Both are this machine; a call that was killed has left its place."""
    (here / ".state.json.meeting/1-0-0").mkdir(parents=True)
    both = nodes_of(digits, here, 2, words=("--epochs", "2"))
    assert [node.wait(100) for node in both] == [0, 0], (here / "log-0").read_text()
    assert [row["gpus"] for row in rows(here / "run")] == ["2", "2", "2"]
    left = {file.name for file in here.iterdir()}
    assert left == {"run", "log-0", "log-1"}


def test_a_node_that_nobody_joins_says_so_in_a_line(digits, here):
    """In a second instead of a minute."""
    code = "import sys; sys.argv = sys.argv[1:]; sys.path.insert(0, sys.argv[0])\n"
    code += "from optlab.machine import nodes; nodes.SECONDS = 1; import train\n"
    code += "sys.argv = ['train.py', *sys.argv[1:]]; sys.exit(train.main())"
    words = command(digits, here / "run", "--gpus", "2", "--state", str(here / "state.json"))
    slurm = {"SLURM_STEP_NUM_NODES": "2", "SLURM_NODEID": "0", "OPTLAB_NODES": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(TRAIN.parent), *words[2:]],
        env=os.environ | slurm, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: gpus: of the 2 nodes of this run, 1 did not come within 1"
    )
    assert done.stderr.count("\n") == 1 and not [*here.glob(".state*")]


def test_a_node_that_waits_for_others_ends_at_once(digits, here):
    (node,) = nodes_of(digits, here, 1)
    wait_until(lambda: [*here.glob(".state.json.meeting/*/0")])
    node.terminate()
    assert node.wait(5) == 1
    assert (here / "log-0").read_text().endswith("error: interrupted\n")
    assert {file.name for file in here.iterdir()} == {"log-0", "state.json", "run"}


def test_processes_that_do_not_find_each_other_end_in_time_or_when_asked(here):
    code = "import sys; sys.path.insert(0, sys.argv[1]); from optlab.machine import processes\n"
    code += "processes.nodes.SECONDS = float(sys.argv[2])\n"
    code += "print('here', flush=True); processes.join('cpu')"
    member = {"OPTLAB_STARTED": "0", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1",
              "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}  # fmt: skip

    def start(seconds):
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        command = [sys.executable, "-c", code, str(TRAIN.parent), str(seconds)]
        process = subprocess.Popen(command, env=os.environ | member, **pipes)
        process.stdout.readline()
        return process

    late, asked = start(1), start(600)
    told = late.communicate(timeout=60)[1]
    assert told.endswith("error: process 1 of 2 could not connect to the others within 1.0 s\n")
    asked.terminate()
    asked.communicate(timeout=10)
    assert (late.returncode, asked.returncode) == (1, -signal.SIGTERM)


def test_nodes_that_srun_did_not_start_are_told(digits, here):
    (node,) = nodes_of(digits, here, 1, known="1")
    assert node.wait(60) == 1
    assert "error: OPTLAB_NODES=2, but srun has not started" in (here / "log-0").read_text()


@pytest.mark.slow
def test_torchrun_leaves_no_folder_behind(digits, here):
    (here / "temporary").mkdir()
    environment = os.environ | {"TMPDIR": str(here / "temporary"), "OPTLAB_WARM": "0"}
    words = command(digits, here / "a", "--epochs", "1", "--gpus", "2")
    subprocess.run(words, check=True, timeout=100, env=environment)
    left = [file.name for file in (here / "temporary").iterdir()]
    assert not [name for name in left if name.startswith("torchelastic")]
    assert not [*here.rglob("*torchrun*")]


# -- GPUs ------------------------------------------------------------------------------------


def test_runs_at_once_never_get_the_same_gpu(here, monkeypatch, holder):
    """Each job of Grid Engine has a folder of its own for temporary files."""
    names = [f"test-{os.getpid()}-{number}" for number in range(4)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(names))
    holders = []
    for number, count in enumerate((1, 2, 1)):
        monkeypatch.setenv("TMPDIR", str(here / str(number)))
        (here / str(number)).mkdir()
        holders.append(holder(count))
    first, second, third = holders
    taken = [process.stdout.readline().split() for process in (first, second, third)]
    assert sorted([*taken[0], *taken[1], *taken[2]]) == names
    late = holder(2)
    assert late.stdout.readline() == "waiting for 2 free GPU(s) of 4\n"
    second.kill()  # the lock goes with the process, however it ends
    assert late.stdout.readline().split() == taken[1]
    for process in (first, third, late):
        process.stdin.close()
        process.wait(timeout=10)
    for name in names:
        Path(f"/tmp/optlab-{os.getuid()}/gpu-machine-{name}").unlink()


def test_a_lock_of_a_gpu_follows_no_link(here, monkeypatch):
    name = f"test-{os.getpid()}-link"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", name)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    link = Path(f"/tmp/optlab-{os.getuid()}/gpu-machine-{name}")
    link.parent.mkdir(mode=0o700, exist_ok=True)
    link.symlink_to(here / "target")
    try:
        with pytest.raises(OSError, match="link"):
            devices.take(1)
    finally:
        link.unlink()
    assert not (here / "target").exists()


def test_more_gpus_than_there_are_is_told(here, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(
        UserError, match="gpus: it takes 2 GPU\\(s\\) and there are 1 here; use device"
    ):
        devices.take(2)
