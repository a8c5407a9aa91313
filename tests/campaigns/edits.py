"""Random edits of a study: of its values and keys, and of the text of its file."""

import copy
import datetime
import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import yaml

LONG = "long-" * 60
FREE_TEXTS = (
    *(
        "",
        " ",
        "x",
        "a b",
        LONG,
        "{run}",
        "{wildcards.x}",
        "$HOME",
        "$\\alpha$",
        "$x",
        "%s",
        "100 %",
    ),
    *(
        "a\nb",
        "a\tb",
        "\x1b[31mred",
        "<b>&amp;</b>",
        "</script>",
        "'",
        '"',
        "`id`",
        "\\",
        "\\n",
        "*",
    ),
    *(
        "Größe",
        "学習",
        "🙂",
        "e\u0301",
        "\u202eabc",
        "../up",
        "/abs",
        "a/b",
        ".",
        "..",
        "-x",
        "#",
        "~",
    ),
    *("null", "true", "on", "064", "1:30", "1e5", "2024-01-01", "0x1F", "1_000", ".inf", "=", "<<"),
)
NUMBERS = (
    *(
        0,
        -0.0,
        1,
        -1,
        2,
        3,
        0.5,
        1e-5,
        1e-320,
        1e-12,
        0.999,
        1.5,
        7,
        64,
        100,
        360,
        1077,
        1078,
        5000,
    ),
    *(10**5, 10**6, 10**9, 2**31, 2**63, 10**30, 1e308, 1e16, math.nan, math.inf, -math.inf),
)
OTHERS = (
    *(None, True, False, [], {}, [[]], [None], [1, 1], ["a"], [0], [1, 2], [[1, 2]], [{"a": 1}]),
    *({"a": 1}, {1: 2}, {"name": "cosine"}, datetime.date(2024, 1, 1), "full", "none", "auto"),
    *("cpu", "cosine", "adam", "digits", "line", "mlp", "cnn", "1e-3", "0.5 points", "1%", "-1%"),
)
# Values of each kind that a study may well hold, so that an edit is often accepted.
SENSIBLE = {
    "seeds": (1, 2, 5), "threads": (1, 2), "epochs": ([1], [2, 3], [1000]),
    "batch_sizes": ([1], ["full"], [7, 64], [1077], [4]), "gpus": ([1], [2], [1, 2], [1, 3]),
    "device": ("cpu", "auto", "cuda"), "precision": ("float32", "float64", "bfloat16"),
    "replicates": ("auto", "together", "separate"), "confirm": (0, 4, 10), "extend": (0, 1, 20),
    "vary": (["weights"], ["order"], ["weights", "order"], ["split"], ["subset"]),
    "margin": ({}, {"accuracy": "1 point"}, {"loss": "5%"}, {"accuracy": 0.01, "loss": 0.1}),
    "metric": ("auto", "accuracy", "loss", "val_loss", "val_accuracy"),
    "target_accuracy": (0, 0.5, 1), "evaluate_every": (1, 2, 100),
    "train_loss_examples": (1, 10, 10**6), "models": (["softmax"], ["mlp"], ["cnn"], ["linear"]),
    "datasets": (["digits"], ["line"], ["digits", "line"]), "title": FREE_TEXTS,
    "schedules": (["constant"], ["cosine"], ["step"], ["one_cycle"], ["warmup"],
                  ["warmup_cosine,warmup=0.5"], [{"name": "step", "drops": 9}],
                  ["one_cycle,warmup=0.01"], ["warmup,warmup=1"], ["step,gamma=0"]),
    "trials": (1, 3, 30), "workers": (1, 2, 9), "retrain": ("budget", "full"),
    "retrain_pruned": (0, 3), "epoch_examples": (10, 500, 10**5), "batch_size": (1, 64, "full"),
    "validation_examples": (1, 50, 10**5), "seed": (0, 7), "network": ("mlp", "cnn", "softmax"),
    "sampler": ({"name": "tpe"}, {"name": "random"}, {"name": "gp"},
                {"name": "tpe", "multivariate": True, "group": True}),
    "pruner": ({"name": "none"}, {"name": "hyperband"}, {"name": "successive_halving"}),
    "scaling": (["strong"], ["weak"]), "lr_scaling": ("linear", "sqrt", "none"),
    "kind": ("sweep", "search", "scaling"), "subset": (1, 10, 100, 1437, 10**6),
    "validation": (0, 0.1, 0.999, 1, 50, 10**6), "split_seed": (0, 3, 2**31),
}  # fmt: skip
KNOBS = {
    "lr": (0, 1e-320, 0.01, 1, 1e30, 1e308), "momentum": (0, 0.5, 0.999999), "dampening": (0, 0.5),
    "weight_decay": (0, 0.1, 1e308), "betas": ([0, 0], [0.0, 0.999], [0.9, 0]), "eps": (1e-320, 1),
    "alpha": (0, 0.5), "amsgrad": (True, False), "centered": (True, False), "lr_decay": (0, 1e308),
    "momentum_decay": (0, 5), "initial_accumulator_value": (0, 1), "rho": (0, 0.5),
    "etas": ([0.5, 1.2], [1.1, 1.2], [0.1, 0.2], [0.5, 1]), "step_sizes": ([1, 1], [1e-6, 50]),
    "nesterov": (True, False), "ns_steps": (1, 99), "d": (1, 10), "beta2_decay": (-1, -0.1),
    "history_size": (1, 1000),
}  # fmt: skip
TEXT_PIECES = (
    *(
        "\t",
        "  ",
        "\n",
        ": ",
        ":",
        "- ",
        "#",
        "'",
        '"',
        "{",
        "}",
        "[",
        "]",
        "&a ",
        "*a",
        "!!int ",
        "!",
    ),
    *(
        "|",
        ">",
        "%",
        "@",
        "---\n",
        "...\n",
        "<<: *a",
        "? ",
        "\\",
        "\r\n",
        "\x00",
        "\ufeff",
        "\u00a0",
    ),
)

Place = tuple[Any, Any]  # a mapping or a list, and a key or position in it


def places(value: Any, containers: type | tuple = (dict, list)) -> Iterator[Place]:
    """Every place below a value, the value of a key or an entry of a list."""
    keys = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in list(keys):
        if isinstance(value, containers):
            yield value, key
        if isinstance(item, dict | list):
            yield from places(item, containers)


def edge(random: Random) -> Any:
    return copy.deepcopy(random.choice(random.choice((FREE_TEXTS, NUMBERS, OTHERS))))


def new_value(study: Any, random: Random) -> str:
    """A value becomes one at an edge, or one of a wrong type."""
    where, key = random.choice(list(places(study)))
    where[key] = edge(random)
    return f"{key} = {where[key]!r:.80}"


def sensible_value(study: Any, random: Random) -> str:
    """A key that the section may have gets a value that it may well take."""
    sections = [study, *_sections(study, "exercises"), *_sections(study, "datasets")]
    where, key = random.choice(sections), random.choice(list(SENSIBLE))
    own = [name for name in where if name in SENSIBLE]
    key = random.choice(own) if own and random.random() < 0.5 else key
    where[key] = copy.deepcopy(random.choice(SENSIBLE[key]))
    return f"{key} = {where[key]!r:.80}"


def _sections(study: Any, key: str) -> list[dict]:
    found = study.get(key) if isinstance(study, dict) else None
    found = found.values() if isinstance(found, dict) else ()
    return [one for one in found if isinstance(one, dict)]


def knob(study: Any, random: Random) -> str:
    """An optimizer gets a knob with values at its edge."""
    grids = [s["optimizers"] for s in _sections(study, "exercises")
             if isinstance(s.get("optimizers"), dict) and s["optimizers"]]  # fmt: skip
    if not grids:
        return new_value(study, random)
    grid = random.choice(grids)
    optimizer = random.choice(list(grid))
    own = [name for name in known(optimizer) if name in KNOBS]
    name = random.choice(own if own and random.random() < 0.9 else list(KNOBS))
    values = random.sample(KNOBS[name], random.randint(1, 2))
    if isinstance(grid[optimizer], dict):
        grid[optimizer][name] = copy.deepcopy(values)
    return f"{optimizer}: {name} = {values}"


def known(optimizer: Any) -> list[str]:
    """The knobs of an optimizer of the catalogue."""
    from optlab.catalogue import optimizers

    return list(optimizers.knobs_of(optimizer) or ()) if optimizer in optimizers.OPTIMIZERS else []


def other_optimizer(study: Any, random: Random) -> str:
    """An exercise has another optimizer beside its own, with its usual rates or a knob."""
    from optlab.catalogue import optimizers

    grids = [s["optimizers"] for s in _sections(study, "exercises")
             if isinstance(s.get("optimizers"), dict)]  # fmt: skip
    name = random.choice(list(optimizers.OPTIMIZERS))
    if not grids:
        return new_value(study, random)
    random.choice(grids)[name] = {}
    return f"{name} too"


def misspell(study: Any, random: Random) -> str:
    """A key loses, doubles or exchanges a letter."""
    found = [place for place in places(study, dict) if isinstance(place[1], str) and place[1]]
    where, key = random.choice(found)
    at = random.randrange(len(key))
    wrong = random.choice(
        (key[:at] + key[at + 1 :], key[:at] + key[at] + key[at:], key[:at] + "x" + key[at + 1 :])
    )
    renamed = {wrong if name == key else name: value for name, value in where.items()}
    where.clear()
    where.update(renamed)
    return f"{key} is written {wrong}"


def rename(study: Any, random: Random) -> str:
    """A name of the user's own becomes any text."""
    sections = [s for s in ("exercises", "datasets", "models") if isinstance(study.get(s), dict)]
    sections = [study[s] for s in sections if study[s]]
    name = random.choice(FREE_TEXTS)
    if not sections or random.random() < 0.3:
        study["study"] = name
        return f"study = {name!r:.80}"
    where = random.choice(sections)
    old = random.choice(list(where))
    where[name] = where.pop(old)
    return f"{old} is called {name!r:.80}"


def remove(study: Any, random: Random) -> str:
    where, key = random.choice(list(places(study)))
    del where[key]
    return f"{key} is removed"


def twice(study: Any, random: Random) -> str:
    """An entry of a list, or a section under another name, is there twice."""
    where, key = random.choice(list(places(study)))
    if isinstance(where, list):
        where.insert(key, copy.deepcopy(where[key]))
    else:
        where[f"{key}2"] = copy.deepcopy(where[key])
    return f"{key} is there twice"


def exchange(study: Any, random: Random) -> str:
    """The value of one place is put into another."""
    (one, a), (other, b) = random.choices(list(places(study)), k=2)
    other[b] = copy.deepcopy(one[a])
    return f"{b} has the value of {a}"


def wrap(study: Any, random: Random) -> str:
    """A value becomes a list of it, or a list its first entry."""
    where, key = random.choice(list(places(study)))
    value = where[key]
    where[key] = value[0] if isinstance(value, list) and value else [value]
    return f"{key} = {where[key]!r:.80}"


EDITS: tuple[Callable[[Any, Random], str], ...] = (
    *(new_value, sensible_value, sensible_value, sensible_value, knob, knob, other_optimizer),
    *(misspell, rename, remove, twice, exchange, wrap),
)


def of_study(study: Any, random: Random) -> tuple[str, list[str]]:
    """The text of a study after one to three edits, and the edits in words."""
    study, words = copy.deepcopy(study), []
    for _ in range(random.choice((1, 1, 1, 2, 2, 3))):
        if isinstance(study, dict) and study:
            words.append(random.choice(EDITS)(study, random))
    return yaml.safe_dump(study, sort_keys=False, allow_unicode=True), words


def of_text(text: str, random: Random) -> tuple[bytes, list[str]]:
    """The bytes of a study's file after one or two edits of its text, and these in words."""
    content, words = text, []
    for _ in range(random.randint(1, 2)):
        content, word = _edited(content, random)
        words.append(word)
    data = content.encode()
    match random.randrange(8):
        case 0:
            data, word = content.encode("latin-1", "replace"), "in Latin-1"
        case 1:
            data, word = content.encode("utf-16"), "in UTF-16"
        case 2:
            data, word = data[: random.randrange(len(data))], "cut off"
        case 3:
            at = random.randrange(len(data))
            data, word = data[:at] + random.randbytes(4) + data[at + 4 :], "four random bytes"
        case _:
            word = ""
    return data, [*words, *filter(None, [word])]


def _edited(text: str, random: Random) -> tuple[str, str]:
    lines = text.split("\n")
    line = random.randrange(len(lines))
    match random.randrange(5):
        case 0:
            del lines[line]
            return "\n".join(lines), f"without line {line + 1}"
        case 1:
            lines.insert(line, lines[random.randrange(len(lines))])
            return "\n".join(lines), f"another line before line {line + 1}"
        case 2:
            lines[line] = random.choice((" ", "  ", "\t")) + lines[line]
            return "\n".join(lines), f"line {line + 1} is indented"
        case 3:
            at, piece = random.randrange(len(text)), random.choice(TEXT_PIECES)
            return text[:at] + piece + text[at:], f"{piece!r} at character {at}"
        case _:
            key, colon, _ = lines[line].partition(": ")
            word = random.choice(FREE_TEXTS[-14:])
            lines[line] = f"{key}{colon}{word}" if colon else lines[line]
            return "\n".join(lines), f"line {line + 1} says {word}"
