"""What a killed Snakemake leaves ends by itself, and no two processes do the same work."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from optlab import files, locks
from optlab.data import prepare
from optlab.machine import alive, owner

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, LAUNCHER = ROOT / "workflow/scripts", ROOT / "warm/launcher.py"
TRAIN = "--dataset digits --model softmax --device cpu --output run --state state.json --epochs"
SEARCH = """\
study: tiny
seeds: 1
device: cpu
exercises:
  search:
    kind: search
    datasets: [digits]
    trials: 4
    workers: 2
    epochs: EPOCHS
    batch_size: 64
    pruner: {name: none}
    space:
      n_layers: {type: int, low: 1, high: 1}
      n_units: {type: int, low: 4, high: 8}
      optimizer: {type: categorical, choices: [sgd]}
      lr: {type: float, low: 0.01, high: 0.1}
"""


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
    return found


def identity_of(process):
    return {**alive.identity(), "pid": process.pid, "born": alive._born(process.pid)}


@pytest.fixture
def snakemake():
    """A process in the place of Snakemake."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def start(command, log, **environment):
    with Path(log).open("w") as stream:
        return subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, **environment}
        )


def train(epochs, log="log", launcher=True, **environment):
    program = [str(LAUNCHER)] if launcher else []
    words = [str(SCRIPTS / "train.py"), *TRAIN.split(), str(epochs)]
    return start([sys.executable, *program, *words], log, **environment)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [True, False], ids=["launcher", "program"])
def test_a_run_whose_snakemake_is_killed_saves_and_ends(launcher, snakemake, here):
    identity = json.dumps(identity_of(snakemake))
    process = train(1_000_000, launcher=launcher, OPTLAB_SNAKEMAKE=identity)
    until(lambda: "epoch" in Path("log").read_text())
    snakemake.kill()
    snakemake.wait()
    assert process.wait(30) == 1
    assert (
        Path("log")
        .read_text()
        .endswith("its Snakemake is gone, so this process ends\nerror: interrupted\n")
    )
    assert Path("state.json.pt").exists() and not Path("state.json.lock").exists()


@pytest.mark.parametrize("stated", [None, "{", "far", "alive"])
def test_what_the_user_or_another_machine_started_goes_on(stated, snakemake, monkeypatch):
    monkeypatch.delenv(owner.NAME, raising=False)
    alive_, gone = identity_of(snakemake), {**identity_of(snakemake), "born": 0, "place": "far"}
    if stated:
        known = {"far": json.dumps(gone), "alive": json.dumps(alive_)}
        monkeypatch.setenv(owner.NAME, known.get(stated, stated))
    asked, before = [], signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
    monkeypatch.setattr(owner, "PAUSE", 0.01)
    try:
        owner.follow()
        time.sleep(0.2)
        assert not asked
        snakemake.kill()
        snakemake.wait()
        time.sleep(0.2)
        assert bool(asked) is (stated == "alive")
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_of_two_calls_of_a_run_the_second_waits_and_trains_nothing(here):
    """The first one is stopped meanwhile, as one that an earlier call has left and that is slow."""
    first = train(600, "first")
    until(lambda: "epoch" in Path("first").read_text())
    first.send_signal(signal.SIGTSTP)
    second = train(600, "second")
    until(lambda: "waiting for the process that trains this run\n" in Path("second").read_text())
    first.send_signal(signal.SIGCONT)
    assert (first.wait(120), second.wait(60)) == (0, 0)
    assert "epoch" not in Path("second").read_text()
    assert not Path("state.json.lock").exists()


@pytest.mark.slow
def test_a_call_that_waits_can_be_interrupted(here):
    opened = locks.lock(Path("state.json.lock"))
    process = train(3)
    until(lambda: "waiting" in Path("log").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    assert Path("log").read_text().endswith("error: interrupted\n")
    assert Path("state.json.lock").exists()  # it is not this call's
    os.close(opened)


def test_a_lock_is_that_of_its_process_and_follows_no_link(here):
    Path("target").write_text("")
    Path("link").symlink_to("target")
    with pytest.raises(OSError, match="link"):
        locks.lock(Path("link"))
    code = "import sys; from pathlib import Path; from optlab import locks;"
    code += "print(locks.lock(Path('mine')), flush=True); sys.stdin.read()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(SCRIPTS)}, **pipes
    )
    holder.stdout.readline()
    assert locks.lock(Path("mine")) is None
    assert not locks.remove_left(Path("mine")) and Path("mine").exists()
    holder.kill()
    holder.communicate()
    os.close(locks.lock(Path("mine")))
    assert locks.remove_left(Path("mine")) and not Path("mine").exists()


def test_what_a_killed_process_was_writing_is_removed_with_the_next_call(here):
    code = "import os, signal; from pathlib import Path; from optlab import files\n"
    code += "with files.replacing(Path('run.json')) as temporary:\n"
    code += "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}

    def left():
        return [file.name for file in Path().iterdir() if file.name.startswith(".run.json.")]

    for clean in (
        lambda: files.write(Path("run.json"), "{}"),
        lambda: files.remove(Path("run.json")),
    ):
        subprocess.run([sys.executable, "-c", code], env=environment, check=False)
        assert len(left()) == 1
        with files.replacing(Path("run.json")) as ours:
            ours.write_text("")  # of a process that lives
            clean()
            assert left() == [ours.name]


def test_a_killed_preparation_leaves_nothing_beyond_the_next(here):
    code = "import os, signal; from optlab.data import prepare; from pathlib import Path\n"
    code += "prepare._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
    code += "prepare.prepare('line', {'source': 'line'}, Path('data/line-1.json'), None)"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    (killed,) = Path("data").glob(".*")
    other = Path("data/.line-12-01234567")  # of another data set
    shutil.copytree(killed, other)
    prepare.prepare("line", {"source": "line"}, Path("data/line-1.json"), None)
    assert sorted(Path("data").iterdir()) == [
        other,
        *map(Path, ("data/line-1.json", "data/line-1.pt")),
    ]


def test_the_owner_is_the_snakemake_that_stated_itself_last(monkeypatch):
    monkeypatch.delenv(owner.NAME, raising=False)
    owner.state()
    assert json.loads(os.environ[owner.NAME]) == alive.identity()


@pytest.mark.slow
def test_a_search_goes_on_after_its_snakemake_was_killed(here):
    for name in ("workflow", "warm", "profiles", "Snakefile"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, name)
    Path("study.yaml").write_text(SEARCH.replace("EPOCHS", "150"))
    call = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml"]
    process = start(call, "first")
    journal = "results/tiny/search/search/digits/journal-*.log"
    until(lambda: [f for f in here.glob(journal) if f.read_text().count('"worker"') > 1], 120)
    jobs = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    until(lambda: not [job for job in jobs if job.is_running()], 30)
    subprocess.run([*call, "--unlock"], check=True, timeout=60)
    assert start(call, "second").wait(300) == 0, Path("second").read_text()
    trials = json.loads(Path("results/tiny/search/search/digits/trials.json").read_text())["trials"]
    states = [trial["state"] for trial in trials]
    assert states.count("complete") == 4 and states.count("failed") <= 2
    assert not [*here.glob("results/**/.*"), *here.glob("results/**/*.lock")]
    assert not [*here.glob("results/**/*alive*")]
