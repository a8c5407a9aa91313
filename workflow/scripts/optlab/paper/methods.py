"""The methods of a study in words: from its configuration and the records of its runs."""

from collections.abc import Iterator, Mapping
from typing import Any

from optlab.catalogue import axes, networks, optimizers, tasks
from optlab.catalogue.knobs import SHOWN
from optlab.figures import words
from optlab.page.cards import title
from optlab.page.wording import listed
from optlab.paper.data_sets import data
from optlab.paper.document import Block, Heading, Table
from optlab.paper.facts import Facts, joined
from optlab.paper.numbers import signed
from optlab.study import table
from optlab.study.run import CONFIRMATION
from optlab.training.settings import USUAL
from optlab.values import text

SWEEP, SCALING, SEARCH = "sweep", "scaling", "search"
VARIED = {
    "weights": "the initial weights",
    "order": "the order of the examples and all that is drawn while training",
    "split": "which examples are held out for validation",
    "subset": "the subset of the examples",
}


def blocks(facts: Facts) -> list[Block]:
    """The methods, with a table of the values tried in each exercise."""
    kinds = {one["kind"] for one in facts.study["exercises"].values()}
    found: list[Block] = [Heading("Methods"), data(facts), models(facts)]
    found.append(training(facts))
    for name in facts.study["exercises"]:
        found += [tried(facts, name)]
    found += choice(facts) if kinds & {SWEEP, SEARCH} else []
    found += [*statistics(facts, kinds), hardware(facts)]
    return [one for one in found if one]


def models(facts: Facts) -> str:
    """The networks, with their options and sizes."""
    return " ".join(["Networks.", *(f"{_model(facts, one)}." for one in facts.used("models"))])


def _model(facts: Facts, name: str) -> str:
    own = facts.study["models"].get(name, {"network": name})
    network = own["network"]
    options = {**networks.of(network).options, **{k: v for k, v in own.items() if k != "network"}}
    searched = [one.space for one in facts.searches if one.network == name]
    is_only_searched = searched and not any(run.model == name for run in facts.runs)
    shown = [f"{k} {words.plain(signed(text(v)).replace('_', ', '))}" for k, v in options.items()]
    parts = [] if network == name else [f"the network {words.plain(network)}"]
    parts += ["its layers are searched"] if is_only_searched else shown
    parts += [facts.weights(name)]
    told = "; ".join(filter(None, parts))
    return words.plain(name) + (f": {told}" if told else "")


def training(facts: Facts) -> str:
    """Seeds, device and precision."""
    numbers = sorted(set(facts.stated("seeds")))
    seeds = f"{' or '.join(map(str, numbers))} seed{'' if numbers == [1] else 's'}"
    vary = facts.stated("vary") or [list(USUAL)]
    names = list(dict.fromkeys(VARIED[one] for some in vary for one in some))
    found = [f"Training. Each setting is trained with {seeds}"]
    found[0] += ", depending on the exercise." if len(numbers) > 1 else "."
    found += _losses(facts)
    found.append(
        f"A seed varies {joined(names)}; seed k gives every optimizer of an exercise the same. "
        f"Weights and arithmetic: {joined(facts.stated('precision'))}. Device: "
        f"{joined(facts.stated('device'))}; threads of a process: "
        f"{joined([text(n) for n in facts.stated('threads')])}. A run diverges if its loss is not "
        "finite or more than 1000 times the first; diverged seeds are counted and left out of "
        "means."
    )
    return " ".join(found)


def _losses(facts: Facts) -> list[str]:
    """The losses that the exercises name; the usual ones are said with the data sets."""
    named = [one for one in facts.stated("loss") if one]
    if not named:
        return []
    names = [tasks.LOSSES.get(one, tasks.column(one)) for one in dict.fromkeys(named)]
    return [f"Where an exercise names a loss, it is {joined(names)}."]


# -- the values tried --------------------------------------------------------------------------


def tried(facts: Facts, exercise: str) -> Table:
    """The values of the hyperparameters that an exercise tries."""
    one = facts.study["exercises"][exercise]
    caption = f"{title(facts.study, exercise)}: the hyperparameters. {_plan(one)}"
    if one["kind"] == SEARCH:
        drawn = [(name, _drawn(given)) for name, given in one["space"].items()]
        return Table(f"{exercise}-space", caption, ("parameter", "values"), drawn)
    names = list(one["optimizers"])
    rows = [
        (label, *_values(name, one["optimizers"][name], _beyond(facts, exercise, name)))
        for label, name in zip(words.names(names), names, strict=True)
    ]
    head = ("optimizer", "values tried", "class", "settings")
    return Table(f"{exercise}-grid", caption, head, rows)


def _plan(one: Mapping[str, Any]) -> str:
    """Epochs, batches and what else an exercise states."""
    if one["kind"] == SEARCH:
        words_of = f"{one['trials']} trials of {one['epochs']} epochs in batches of "
        words_of += f"{one['batch_size']}; sampler {one['sampler']['name']} (Optuna), pruner "
        return f"{words_of}{one['pruner']['name']}; seed {one['seed']}."
    parts = [
        "" if "minutes" in one else f"{_several(one['epochs'])} epochs",
        f"batch size {_several(one['batch_sizes'])}",
        f"processes {_several(one['gpus'])}" if one["gpus"] != [1] else "",
    ]
    for name, values in axes.given(one).items():
        if values != [axes.AXES[name].default]:
            parts.append(f"{axes.key(name).replace('_', ' ')} {_several(values)}")
    if one["kind"] == SCALING:
        parts.append(
            f"{_several(one['scaling'])} scaling, learning-rate scaling {one['lr_scaling']}"
        )
    return ", ".join(filter(None, parts)) + "."


def _several(values: list[Any]) -> str:
    return joined([words.plain(text(value)) for value in values])


def _values(name: str, grid: Mapping[str, list[Any]], beyond: list[str]) -> tuple[str, str, str]:
    defaults = optimizers.complete(name, {})
    shown = {
        knob: values
        for knob, values in grid.items()
        if knob in SHOWN or len(values) > 1 or text(values[0]) != text(defaults.get(knob))
    }
    parts = [
        f"{knob} {listed([words.plain(text(v)) for v in some], 20)}" for knob, some in shown.items()
    ]
    parts += [f"beyond the grid: lr {', '.join(beyond)}"] if beyond else []
    number = 1
    for values in grid.values():
        number *= len(values)
    cls = optimizers.of(name).cls.replace(":", ".") if ":" not in name else words.plain(name)
    return "; ".join(parts) or "its defaults", cls, str(number + len(beyond))


def _beyond(facts: Facts, exercise: str, optimizer: str) -> list[str]:
    """The learning rates that were tried beyond an end of the grid."""
    found = table.confirmed(facts.study, exercise).values()
    added = (run for one in found for run in one.added if run.optimizer == optimizer)
    return list(dict.fromkeys(text(run.knobs["lr"]) for run in added))


def _drawn(given: Mapping[str, Any]) -> str:
    each = ", for each layer" if given.get("per_layer") else ""
    if given["type"] == "categorical":
        return ", ".join(words.plain(text(one)) for one in given["choices"]) + each
    log = " (logarithmic)" if given.get("log") else ""
    return f"{text(given['low'])} to {text(given['high'])}{log}{each}"


# -- choice, statistics, hardware --------------------------------------------------------------


def choice(facts: Facts) -> Iterator[str]:
    """How settings are chosen, and confirmed."""
    told = joined([*_deciding(facts, SWEEP, ""), *_deciding(facts, SEARCH, " (searches)")])
    text_ = (
        f"Choice of settings. Settings are chosen on validation data by {told} after the last "
        "epoch (by the training loss where there are no validation data), never on test data."
    )
    rates = [one for one in facts.stated("extend") if one]
    if rates:
        text_ += (
            f" Where the best learning rate is at an end of its grid, up to {max(rates)} further "
            "rates are tried beyond it."
        )
    confirmed = {run.seeds for run in facts.confirmations}
    if confirmed:
        ends = sorted({min(confirmed), max(confirmed)})
        text_ += (
            f" The chosen setting of each optimizer is trained again with "
            f"{' to '.join(map(str, ends))} confirmation seeds, numbered from {CONFIRMATION}, that "
            "took no part in the choice; optimizers are compared on these alone."
        )
    elif _compared(facts):
        text_ += " Optimizers are compared on the seeds that chose their settings."
    yield text_


def _deciding(facts: Facts, kind: str, where: str) -> list[str]:
    """The metrics that decide in the exercises of a kind, in words."""
    called = {"auto": "the accuracy (of data without classes the loss)"}
    names = [tasks.column(one.removeprefix("val_")) for one in facts.stated("metric", (kind,))]
    named = {one: tasks.metric_named(one) for one in dict.fromkeys(names)}
    return [
        called.get(one, f"the {metric.label if metric else one}") + where
        for one, metric in named.items()
    ]


def _compared(facts: Facts) -> bool:
    """Whether an exercise compares optimizers."""
    exercises = facts.study["exercises"].values()
    return any(one["kind"] == SWEEP and len(one["optimizers"]) > 1 for one in exercises)


def statistics(facts: Facts, kinds: set[str]) -> Iterator[str]:
    """The intervals, tests and verdicts, with what they cite."""
    found = [
        "Statistics. Intervals of means are 95 % Student t intervals over seeds (Student 1908)."
    ]
    if _compared(facts):
        found.append(
            "Optimizers are compared in pairs, by differences over common seeds. p-values and "
            "intervals of differences are anytime-valid (Wang and Ramdas 2023): seeds may be added "
            "after a look at the results. All pairs of a problem are one family (Holm 1979); the "
            "level is 5 %."
        )
        found.append(_margins(facts))
        found.append(
            "Verdicts hold for what the seeds vary (Bouthillier et al. 2021), on this test set."
        )
    if SCALING in kinds:
        found.append(
            "Times and speed-ups are geometric means, with intervals from the logarithms; serial "
            "shares are those of Amdahl's law (Amdahl 1967) and of Karp and Flatt 1990."
        )
    if any("value" in claim for claims in facts.stated("claims") for claim in claims):
        found.append(
            "A published figure agrees if it lies in the 95 % prediction interval of a further run "
            "(Hahn 1969)."
        )
    if table.races(facts.study)[0]:
        found.append("Times to targets over problems are performance profiles (Dahl et al. 2023).")
    yield " ".join(filter(None, found))


def _margins(facts: Facts) -> str:
    found = [one for one in facts.stated("margin") if one]
    told = [", ".join(f"{key} {value}" for key, value in one.items()) for one in found]
    if not told:
        return "No margin is stated, so nothing is called equivalent."
    return f"Differences below the margin ({joined(told)}) are equivalent."


def hardware(facts: Facts) -> str:
    """Machines, versions and time."""
    found = ["Hardware and software."]
    if facts.machines:
        found.append(f"Runs were made on {joined(facts.machines)}.")
    for label, name in (("Python", "python"), ("PyTorch", "torch"), ("Code version", "commit")):
        versions = facts.versions(name)
        found += [f"{label}: {joined(versions)}."] if versions else []
    found += [f"All jobs together took {facts.time}."] if facts.time else []
    return " ".join(found) if len(found) > 1 else ""
