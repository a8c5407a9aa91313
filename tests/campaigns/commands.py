"""Command lines of every program: right ones, and ones with wrong words in them.

Each ends well or in one line for each mistake; one that cannot write its results says so before it
trains.
"""

import shutil
from functools import cache
from pathlib import Path
from random import Random
from typing import NamedTuple

import edits
import laboratory
import whole
from core import End, program

LENGTHS = (100, 1000)

EPOCHS = "1"
HOURS = "100000000"  # epochs of a run that must not begin
FOLDERS_IN_THE_WAY = ("/proc/nowhere", "study.yaml", "study.yaml/below", "/dev/null")

# What each option of `train.py` takes, for the most part.
TRAIN = {
    "--dataset": ("digits", "line", "mine", "mnst"),
    "--data": ("results/data/none.json", "study.yaml", "", "."),
    "--model": ("mlp", "softmax", "linear", "cnn", "my/code.py:net", "my/code.py:nothing", "my:x"),
    "--model-option": ("hidden=[8]", "dropout=0.5", "hidden=8", "hidden", "depth=3", "hidden=[]"),
    "--optimizer": (
        "adam",
        "momentum",
        "lbfgs",
        "muon",
        "rprop",
        "adm",
        "my/code.py:Step",
        ":",
        "Adam",
        "torch.optim.SGD",
        "torch.optim.Nothing",
        "RMS-Prop",
    ),
    "--learning-rate": ("0.1", "1e-3", "0", "-1", "nan", "inf", "1e308", "x"),
    "--knob": ("momentum=0.5", "betas=[0,0.9]", "betas=0.9", "lr=1", "x=1", "=", "eps=1e-8"),
    "--momentum": ("0.9", "2", "x", "[0.9]", ""),
    "--weight_decay": ("1e-4", "-1", "true"),
    "--betas": ("0.9,0.999", "[0.9,0.999]", "0.9", "a,", "[", ",,"),
    "--nesterov": ("true", "False", "1"),
    "--schedule": ("cosine", "step,drops=3", "warmup,warmup=2", "cosin", "one_cycle,warmup=0"),
    "--batch-size": ("10", "full", "0", "-1", "1.5", "100000", "1e3"),
    "--epochs": ("1", "2", "0", "1e3", "x"),
    "--seeds": ("1", "2", "0", "100001"),
    "--first-seed": ("0", "7", "-1", "1000001"),
    "--vary": ("weights", "order,split", "subset", "all", ""),
    "--subset": ("500", "5", "0", "100000"),
    "--subset-validation": ("100", "-1", "1000"),
    "--evaluate-every": ("1", "5", "0"),
    "--train-loss-examples": ("1", "100", "0"),
    "--precision": ("float32", "float64", "bfloat16", "float16"),
    "--replicates": ("auto", "together", "separate", "both"),
    "--device": ("cpu", "cuda", "auto", "gpu"),
    "--threads": ("1", "0", "2", "2000"),
    "--gpus": ("1", "0", "-2", "5000"),
    "--output": ("out", "results", *FOLDERS_IN_THE_WAY),
    "--exercise": ("hand", "a b", "1", ""),
    "--state": ("state.json", "results", ""),
    "--settings": ("{}", "null", "[]", "{", '{"study": 3}', '{"epochs": "x"}'),
    "--timed": (None,),
    "--list": (None,),
}
STUDY = {
    "--study": ("study.yaml", "none.yaml", ".", "my/code.py", "mine.npz", "/dev/null", ""),
    "--exercise": ("digits", "look", "digit", "", "tables"),
    "--dataset": ("digits", "few", "mnist", ""),
    "--output-folder": ("out", "study.yaml", "/proc/nowhere", "study.yaml/below"),
    "--output": (
        "out.json",
        "out.png",
        "out.svg",
        "out.xyz",
        "results",
        "/proc/no.svg",
        "none/a.svg",
    ),
    "--worker": ("0", "1", "-1", "x"),
    "--optimizer": ("adam", "sgd", "adm", ""),
    "--learning-rate": ("0.1", "0.3", "x", "nan"),
    "--batch-size": ("50", "full", "-1"),
    "--model": ("small", "mlp"),
    "--list": (None,),
    "--cores": ("1", "0", "x"),
    "--minutes": ("0.001", "0", "nan", "-1", "x", "1e-300"),
    "--seeds": ("1", "0", "x"),
    "--source": ("digits", "npz", "line", "mnst"),
    "--file": ("mine.npz", "none.npz", "study.yaml", "."),
    "--validation": ("0.1", "10", "0", "-1", "1.5", "x", "nan", "1e9"),
    "--split-seed": ("0", "3", "-1", "x", "99999999999"),
    "--subset": ("100", "5", "0", "-1", "100000", "x"),
    "--name": ("mine", "a/b", ""),
    "--archives": ("none", "study.yaml"),
    "--tables": ("results", "none", "study.yaml", ""),
    "--page": (None,),
    "--spread": ("", "none", "'"),
}
_SEARCH = ("--study", "--exercise", "--dataset")
OPTIONS = {
    "train.py": (),
    "tables.py": ("--study", "--output-folder"),
    "figures.py": ("--study", "--exercise", "--output-folder"),
    "page.py": ("--study", "--tables", "--output"),
    "check.py": ("--study", "--page"),
    "status.py": ("--study", "--cores"),
    "search.py": (*_SEARCH, "--worker", "--output"),
    "retrain.py": (*_SEARCH, "--output-folder"),
    "settle.py": ("--study", "--minutes", "--seeds"),
    "confirm.py": ("--output", "--spread"),
    "plot_curves.py": (
        *("--study", "--optimizer", "--output", "--list", "--exercise", "--dataset", "--model"),
        *("--batch-size", "--learning-rate"),
    ),
    "prepare_data.py": (
        *("--source", "--file", "--validation", "--split-seed", "--subset", "--name", "--archives"),
        "--output",
    ),
}


def prepare() -> None:
    """Make the finished studies once, for all processes that judge."""
    for study in ("chosen", "search"):
        finished(study)


class Case(NamedTuple):
    study: str
    name: str
    options: tuple[str, ...]
    stdin: str

    @property
    def words(self) -> str:
        source = f" <<< {self.stdin!r}" if self.stdin else ""
        return f"study {self.study}: {self.name} {' '.join(map(repr, self.options))}{source}"


def case(random: Random) -> Case:
    name = random.choice(["train.py", "train.py", *OPTIONS])
    takes = TRAIN if name == "train.py" else {key: STUDY[key] for key in OPTIONS[name]}
    # Programs that read a study need nearly all of their options.
    few = name in ("train.py", "plot_curves.py", "prepare_data.py", "settle.py")
    chosen = (
        random.sample(list(takes), random.randint(0, min(4, len(takes)))) if few else list(takes)
    )
    if not few and random.random() < 0.15:
        chosen.remove(random.choice(chosen))
    words: list[str] = []
    for option in chosen:
        values = takes[option]
        usual = random.random() < 0.6
        value = values[0] if usual else random.choice(values)
        if random.random() < 0.05:
            value = str(edits.edge(random)).replace("\x00", "")
        words += [option] if value is None else [option, value]
    if name == "train.py":
        words = _short(words)
    if random.random() < 0.05:
        words.insert(random.randrange(len(words) + 1), random.choice(("--nothing", "x", "--", "-")))
    stdin = random.choice(("", "{}", "null", "x", '{"runs": []}')) if name == "confirm.py" else ""
    study = "search" if name in ("search.py", "retrain.py") else random.choice(("chosen", "search"))
    return Case(study, name, tuple(words), stdin)


def _short(words: list[str]) -> list[str]:
    """A run of a moment, or, where its results cannot be written, of hours."""
    blocked = any(word in FOLDERS_IN_THE_WAY for word in words)
    words = (
        words
        if "--epochs" in words and not blocked
        else [*words, "--epochs", HOURS if blocked else EPOCHS]
    )
    return words if "--device" in words else [*words, "--device", "cpu"]


@cache
def finished(name: str) -> Path:
    """A finished study with the data set that `train.py` takes by default."""
    folder = laboratory.finished(name)
    program("train.py", "--epochs", "1", "--output", "first", folder=folder)
    return folder


def judge(case: Case, folder: Path) -> End:
    shutil.copytree(finished(case.study), folder, dirs_exist_ok=True, symlinks=True)
    called = program(case.name, *case.options, folder=folder, stdin=case.stdin, seconds=40)
    if called.fault:
        return End(f"{called.fault.kind}: {case.name}", called.fault.seen)
    if called.status and len(called.told.splitlines()) > 5:
        return End("many lines", called.told[-800:])
    if found := whole.unfinished(folder):
        return End("left over", f"{found}\n{called.told[-500:]}")
    return End("refused in one line" if called.status else "ran")
