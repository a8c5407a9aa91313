"""The data sets and their splits, in words."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from optlab.catalogue import tasks
from optlab.catalogue.datasets import SOURCES
from optlab.data import known
from optlab.errors import DataError
from optlab.figures import words
from optlab.paper.facts import Facts


def data(facts: Facts) -> str:
    """The data sets and their splits."""
    found = ["Data.", *(f"{_data_set(facts, name)}." for name in facts.used("datasets"))]
    given = [facts.study["datasets"][name] for name in facts.used("datasets")]
    texts = [one for one in given if SOURCES[one["source"]].task == tasks.NEXT_TOKEN]
    kinds = {_task(one) for one in given if one not in texts and _held_out(one)}
    how = {tasks.CLASSIFICATION: "stratified by class", tasks.REGRESSION: "at random"}
    if kinds:
        drawn = " (regressions: at random)" if len(kinds) > 1 else ""
        words = how[tasks.CLASSIFICATION if drawn else kinds.pop()]
        found.append(
            f"Validation examples are drawn from the training set, {words}{drawn}, with a fixed "
            "seed; the test set is the same for every seed."
        )
    last = "Texts are cut into windows in their order: the last ones are the test set, those before"
    found += [f"{last} them are for validation; none overlaps with another."] if texts else []
    return " ".join(found)


def _task(given: Mapping[str, Any]) -> str:
    """The task of a data set; a file may be gone since it was prepared."""
    try:
        return known.source(given).task
    except DataError:
        return SOURCES[given["source"]].task or tasks.CLASSIFICATION


def _data_set(facts: Facts, name: str) -> str:
    given = facts.study["datasets"][name]
    label = SOURCES[given["source"]].label
    where = {"file": "from the file", "folder": "from the folder", "test_file": "tested on"}
    more = [f"{said} {given[key]}" for key, said in where.items() if given.get(key)]
    more += ["inputs normalised to mean 0 and deviation 1"] if given.get("normalize") else []
    more += [f"a subset of {given['subset']:,} examples"] if given.get("subset") else []
    more += [f"split seed {given['split_seed']}"] if given.get("split_seed") else []
    same = not label or label.lower() == name.lower()
    called = words.plain(name if same else f"{name} ({label})")
    return f"{called}: {', '.join([facts.sizes(name), *more])}"


def _held_out(given: Mapping[str, Any]) -> bool:
    with suppress(DataError, OSError):  # the file may be gone
        if known.source(given).validation is not None:
            return False  # a validation set of its own
    stated = given.get("validation")
    return bool(SOURCES[given["source"]].validation if stated is None else stated)
