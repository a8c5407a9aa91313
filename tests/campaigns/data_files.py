"""Files of the user's own: data of other shapes, types and contents; networks and optimizers.

Each file stands in a study. Where preparing or training refuses it, one line has to say so and name
the file; where nothing refuses it, the study has tables and pictures in the end.
"""

import io
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import bases
import numpy as np
import whole
from core import End, program

LENGTHS = (100, 600)

Arrays = dict[str, Any]

SHAPES = (
    *((6,), (1,), (), (2, 3), (0,), (8, 8), (8, 8, 1), (8, 8, 3), (3, 8, 8), (1, 8, 8), (5, 8, 8)),
    *((2, 2, 2, 2), (300,)),
)
TYPES = (
    *("float32", "float64", "float16", "longdouble", "uint8", "int8", "int32", "int64", "uint64"),
    *("bool", "complex64", "U3", "S3", "O", "datetime64[s]", ">f4", ">i8"),
)
TARGETS = {
    "classes": lambda n, r: np.arange(n) % 3,
    "two classes": lambda n, r: np.arange(n) % 2,
    "classes [N, 1]": lambda n, r: (np.arange(n) % 3)[:, None],
    "one-hot classes": lambda n, r: np.eye(3, dtype=int)[np.arange(n) % 3],
    "classes from 1": lambda n, r: np.arange(n) % 3 + 1,
    "classes with a gap": lambda n, r: (np.arange(n) % 2) * 2,
    "negative classes": lambda n, r: np.arange(n) % 3 - 1,
    "one class": lambda n, r: np.zeros(n, int),
    "a class for each": lambda n, r: np.arange(n),
    "classes as floats": lambda n, r: (np.arange(n) % 3).astype(float),
    "huge classes": lambda n, r: (np.arange(n) % 3) * 10**9,
    "numbers": lambda n, r: r.normal(size=n),
    "numbers [N, 2]": lambda n, r: r.normal(size=(n, 2)),
    "numbers [N, 2, 3]": lambda n, r: r.normal(size=(n, 2, 3)),
    "numbers [N, 0]": lambda n, r: np.zeros((n, 0)),
    "huge numbers": lambda n, r: r.normal(size=n) * 1e30,
    "texts": lambda n, r: np.array(["a", "b"])[np.arange(n) % 2],
    "flags": lambda n, r: np.arange(n) % 2 == 0,
    "numbers like nothing": lambda n, r: np.full(n, 1e-300),
    "a single number": lambda n, r: np.float64(3),
}
SIZES = ((100, 20), (7, 3), (1, 1), (2, 2), (3, 300), (100, 0), (0, 20), (30, 10))


class Case(NamedTuple):
    words: str
    files: dict[str, bytes]
    code: str
    study: str


def case(random: Random) -> Case:
    draws = np.random.default_rng(random.randrange(2**32))
    study, code, words = bases.OWN, bases.CODE, []
    what = random.random()
    arrays, kind = a_data_set(random, draws) if what < 0.7 else (plain(draws), "")
    content = written(arrays, random) if arrays is not None else b""
    if what < 0.45:
        words.append(kind)
    elif what < 0.7:
        content, kind = damaged(content, random)
        words.append(kind)
    else:
        code, kind = random.choice(CODES)
        words.append(kind)
    # A network that takes any shape, so that the data set alone decides.
    network, optimizers = random.choice(NETWORKS), random.choice(("", "sgd"))
    if what < 0.7:
        study = study.replace("models: [net]", f"models: [{network}]")
        words.append(f"network {network}")
    size = random.choice(("20", "full", "5", "1"))
    study = study.replace("batch_sizes: [20]", f"batch_sizes: [{size}]")
    validation = random.choice(("0.2", "0", "1", "0.9", "5"))
    study = study.replace("validation: 0.2", f"validation: {validation}")
    if optimizers:
        study = study.replace("adamw: {lr: [0.01]}", "sgd: {lr: [0.01]}\n      lbfgs: {lr: [1]}")
    words.append(f"batch {size}, validation {validation}")
    return Case("; ".join(words), {"mine.npz": content}, code, study)


NETWORKS = ("net", "softmax", "mlp", "linear", "cnn")


def plain(draws: Any) -> Arrays:
    x = draws.normal(size=(120, 6))
    y = np.arange(120) % 3
    return {"x_train": x[:100], "y_train": y[:100], "x_test": x[100:], "y_test": y[100:]}


def a_data_set(random: Random, draws: Any) -> tuple[Arrays, str]:
    shape, target = random.choice(SHAPES), random.choice(list(TARGETS))
    train, test = random.choice(SIZES[:1] * 8 + SIZES)
    kind = random.choice(TYPES[:5] * 2 + TYPES)
    x = draws.normal(size=(train + test, *shape)) * random.choice((1, 1, 1, 0, 1e20, 1e-30))
    with np.errstate(all="ignore"):
        x = (np.abs(x) * 50 if kind[0] in "uiO" else x).astype(kind)
    y = TARGETS[target](train + test, draws)
    arrays = {"x_train": x[:train], "x_test": x[train:]}
    arrays |= {"y_train": y[:train], "y_test": y[train:]} if y.ndim else {"y_train": y, "y_test": y}
    words = [f"x {kind} {list(shape)}", f"y {target}", f"{train} + {test} rows"]
    if random.random() < 0.3:
        words.append(spoil(arrays, random))
    return arrays, ", ".join(words)


def spoil(arrays: Arrays, random: Random) -> str:
    """One more thing is wrong with the arrays."""
    name = random.choice(list(arrays))
    array = np.array(arrays[name])
    match random.randrange(6):
        case 0 if array.size and array.dtype.kind == "f":
            value = random.choice((np.nan, np.inf, -np.inf))
            array.flat[random.randrange(array.size)] = value
            arrays[name] = array
            return f"{value} in {name}"
        case 1:
            del arrays[name]
            return f"no {name}"
        case 2:
            arrays[name] = array[:-1] if array.ndim else array
            return f"{name} is a row shorter"
        case 3:
            arrays["z"] = array
            return "one array more"
        case 4:
            arrays[name] = array[..., None]
            return f"{name} has an axis more"
        case _:
            arrays[name] = array.astype("O") if array.dtype.kind != "O" else array
            return f"{name} holds objects"


def written(arrays: Arrays, random: Random) -> bytes:
    file = io.BytesIO()
    random.choice((np.savez, np.savez_compressed))(file, **arrays)
    return file.getvalue()


def damaged(content: bytes, random: Random) -> tuple[bytes, str]:
    """The content of a file that is not whole, or another kind of file."""
    at = random.randrange(len(content))
    rows = b"x1,x2,y\n1,2,0\n3,4,1\n"
    kinds: dict[str, Callable[[], bytes]] = {
        "cut off": lambda: content[:at],
        "empty": lambda: b"",
        "a flipped bit": lambda: (
            content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :]
        ),
        "a zeroed block": lambda: (
            content[:at] + bytes(min(512, len(content) - at)) + content[at + 512 :]
        ),
        "random bytes": lambda: random.randbytes(300),
        "a table of comma-separated values": lambda: rows,
        "a text": lambda: "Größe\n".encode("latin-1"),
        "a .npy file": lambda: b"\x93NUMPY\x01\x00v\x00" + random.randbytes(200),
        "a pickle": lambda: (
            b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x01a\x94K\x01s."
        ),
        "zeros": lambda: bytes(2000),
    }
    kind = random.choice(list(kinds))
    return kinds[kind](), kind


def _code(old: str, new: str, words: str) -> tuple[str, str]:
    assert bases.CODE.count(old) == 1, old
    return bases.CODE.replace(old, new), words


_STEP = "        super().__init__(parameters, lr=lr * scale)\n"
_LAST = "torch.nn.Linear(width, outputs)"
CODES = (
    _code(
        "import torch\n", "import torch\nimport nothing_like_it\n", "an import that is not there"
    ),
    _code("def net(", "def net(:", "a mistake of syntax"),
    _code("def net(", "def another(", "no such function"),
    _code("class Step(", "class Another(", "no such class"),
    _code("class Step(torch.optim.SGD)", "class Step", "a class that is no optimizer"),
    _code("width=4", "height=4", "an unknown option"),
    _code("width=4", "width=-4", "a negative default, which is not used"),
    _code(", scale=1", "", "an unknown knob"),
    _code(_LAST, "torch.nn.Linear(width, outputs + 1)", "one output more"),
    _code(_LAST, "torch.nn.Linear(width, 1)", "one output"),
    _code(_LAST, "torch.nn.Linear(width + 1, outputs)", "layers that do not fit"),
    _code("    return torch.nn", "    return None\n    return torch.nn", "no network"),
    _code(
        "    return torch.nn", "    raise KeyError('mine')\n    return torch.nn", "raises KeyError"
    ),
    _code(
        "    return torch.nn", "    raise SystemExit(3)\n    return torch.nn", "ends the program"
    ),
    _code("    return torch.nn", "    print('hello')\n    return torch.nn", "prints"),
    _code("    return torch.nn", "    1 / 0\n    return torch.nn", "divides by zero"),
    _code("torch.nn.Flatten(), ", "torch.nn.Flatten(), torch.nn.Dropout(0.5), ", "dropout"),
    _code(
        "torch.nn.Flatten(), ", "torch.nn.Flatten(), torch.nn.LazyBatchNorm1d(), ", "lazy layers"
    ),
    _code(_LAST, _LAST + ".double()", "a layer in float64"),
    _code(_LAST, _LAST + ", torch.nn.Softmax(0), torch.nn.Threshold(2, float('nan'))", "gives NaN"),
    _code(_LAST, "torch.nn.Linear(width, outputs).requires_grad_(False)", "a frozen layer"),
    _code(
        "    return torch.nn", "    return torch.nn.Flatten()\n    return torch.nn", "no parameters"
    ),
    _code(
        _STEP, _STEP + "\n    def step(self):\n        raise ValueError('a {bad} step')\n", "raises"
    ),
    _code(_STEP, _STEP + "\n    def step(self, closure):\n        closure()\n", "needs a closure"),
    _code(_STEP, _STEP + "\n    def step(self, closure=None):\n        pass\n", "never steps"),
    _code(_STEP, "        pass\n", "an optimizer that is not set up"),
    _code(_STEP, _STEP + "        self.own = lambda: 1\n", "an attribute that cannot be saved"),
    _code("lr=lr * scale", "lr=-lr", "a negative rate"),
    _code(
        _STEP,
        _STEP + "\n    def state_dict(self):\n        raise RuntimeError('no state')\n",
        "no state to save",
    ),
    (bases.CODE, "nothing is wrong"),
    ("", "an empty file"),
    ("\x00", "a zero byte"),
    ("def net(shape, outputs, width):\n    return 'a network'\n" + "Step = 3\n", "no code at all"),
    ("from my import code\n" + bases.CODE, "imports itself"),
    (
        bases.CODE.replace("import torch", "import torch, sys\nsys.exit('bye')"),
        "ends at its import",
    ),
    (bases.CODE.replace("import torch", "import torch\nraise RuntimeError('a\\nb')"), "two lines"),
)


def judge(case: Case, folder: Path) -> End:
    bases.write_own(folder)
    (folder / "my/code.py").write_text(case.code, encoding="utf-8")
    for name, content in case.files.items():
        (folder / name).write_bytes(content)
    (folder / "study.yaml").write_text(case.study, encoding="utf-8")
    checked = program("status.py", "--study", "study.yaml", folder=folder)
    if checked.status or checked.fault:
        return checked.fault or End("refused in one line")
    refused = False
    for call in whole.calls(folder):
        called = program(*call.words, folder=folder, stdin=call.stdin, seconds=60)
        if whole.failed(called):  # the traceback of the user's own code is in the run's log
            refused = True
            continue
        if called.fault:
            return End(f"{called.fault.kind}: {call.words[0]}", called.fault.seen)
        if not called.status:
            continue
        # Where no data are prepared there is nothing to train, and the other runs go on.
        if call.words[0] == "prepare_data.py":
            return _named(called.told, "mine.npz")
        if call.words[0] != "train.py":
            late = "tables and pictures lost" if refused else "late failure"
            return End(late, f"{call.words[0]}: {called.told[-500:]}")
        refused = True
    return End("refused in one line" if refused else "ran")


def _named(told: str, file: str) -> End:
    lines = [line for line in told.splitlines() if line.startswith("error: ")]
    if len(lines) == 1 and (file in lines[0] or "data set mine" in lines[0]):
        return End("refused in one line")
    return End("does not name the file", told[-500:])
