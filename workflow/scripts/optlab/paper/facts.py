"""What the records of a study's runs say: sizes, machines, versions, times."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optlab.errors import DataError
from optlab.figures import words
from optlab.page.cards import Study
from optlab.page.wording import seconds
from optlab.runs import record
from optlab.study import table
from optlab.study.kinds import search
from optlab.study.run import Run
from optlab.values import counted, text


def numbered(count: int, thing: str) -> str:
    """A number of things, its thousands apart."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def joined(names: Sequence[str]) -> str:
    """Names as a list in a sentence."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


@dataclass(frozen=True)
class Facts:
    """A finished study and what its records say.

    Attributes:
        runs: those of its grids, with those that were added beyond their ends.
    """

    study: Study
    runs: Sequence[Run]

    @cached_property
    def searches(self) -> list[search.Search]:
        return search.every(self.study)

    @cached_property
    def confirmations(self) -> list[Run]:
        """The runs on confirmation seeds."""
        return [one.run for one in table.confirmed(self.study).values() if one.seeds]

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        """Those of all runs, and of the retrained settings of searches."""
        folders = [run.folder for run in (*self.runs, *self.confirmations)]
        folders += [f"{one.folder}/best" for one in self.searches]
        return [found for folder in dict.fromkeys(folders) if (found := record.read(folder))]

    def sizes(self, dataset: str) -> str:
        """The numbers of examples of a data set, as its runs recorded them."""
        found: Mapping[str, int] = {}
        for run in self.runs:
            if run.dataset == dataset:
                found = record.read(run.folder).get("sizes", {})
            if found:
                break
        if not found:
            found = self._planned(dataset)
        names = {"train": "training", "validation": "validation", "test": "test"}
        parts = [f"{found[part]:,} {name}" for part, name in names.items() if found.get(part)]
        return f"{joined(parts)} examples" if parts else "sizes not recorded"

    def _planned(self, dataset: str) -> dict[str, int]:
        from optlab.data import known

        try:
            train, validation = known.sizes(self.study["datasets"][dataset])
        except (DataError, OSError):
            return {}
        return {"train": train, "validation": validation}

    def weights(self, model: str) -> str:
        """The number of weights of a network, on each data set where it differs."""
        found: dict[int, list[str]] = {}
        for run in self.runs:
            if run.model == model:
                for seed in record.seeds(run)[:1]:
                    places = found.setdefault(seed.get("weights", 0), [])
                    places += [run.dataset] if run.dataset not in places else []
        found.pop(0, None)
        several = len(found) > 1
        return joined(
            [
                numbered(count, "weight") + (f" on {joined(places)}" if several else "")
                for count, places in found.items()
            ]
        )

    @cached_property
    def machines(self) -> list[str]:
        """The processors and GPUs of the runs, each with its cores."""
        found: dict[str, None] = {}
        for one in self.records:
            machine = one.get("hardware", {})
            name = machine.get("gpu") or machine.get("cpu")
            cores = f" ({counted(machine['cores'], 'core')})" if "cores" in machine else ""
            if name:
                found[words.plain(f"{name}{cores}")] = None
        return list(found)

    def versions(self, name: str) -> list[str]:
        """The versions of Python, PyTorch (``torch``) or this code (``commit``) of the runs."""
        found = (one.get("versions", {}).get(name) for one in self.records)
        return list(dict.fromkeys(text(one) for one in found if one))

    @cached_property
    def time(self) -> str:
        """The seconds of all jobs together, in words; empty if none is recorded."""
        spent = sum(one.get("wall", {}).get("total", 0.0) for one in self.records)
        return seconds(spent) if spent else ""

    @cached_property
    def ends(self) -> tuple[str, str] | None:
        """The days on which the first and the last run finished."""
        days = sorted(one["finished"][:10] for one in self.records if one.get("finished"))
        return (days[0], days[-1]) if days else None

    def used(self, key: str) -> list[str]:
        """The data sets or models that the exercises use, in their order."""
        found: dict[str, None] = {}
        for one in self.study["exercises"].values():
            single = [one["network"]] if key == "models" and "network" in one else []
            found |= dict.fromkeys([*one.get(key, ()), *single])
        return list(found)

    def stated(self, key: str, kinds: Sequence[str] = ("sweep", "scaling", "search")) -> list[Any]:
        """The values of a key in the exercises of these kinds, each once."""
        found: list[Any] = []
        for one in self.study["exercises"].values():
            if one["kind"] in kinds and key in one and one[key] not in found:
                found.append(one[key])
        return found
