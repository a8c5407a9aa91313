"""The catalogue as text, for ``train.py --list``."""

import json
from collections.abc import Mapping
from typing import Any

from optlab.catalogue.datasets import BUILT_IN, SOURCES
from optlab.catalogue.networks import NETWORKS
from optlab.catalogue.optimizers import OPTIMIZERS
from optlab.catalogue.schedules import OPTIONS, SCHEDULES


def listing() -> str:
    """Optimizers, schedules, networks and data sets, each with its options and their defaults."""
    lines = ["optimizers, their learning rates where none is given, and their other knobs:"]
    for name, entry in OPTIMIZERS.items():
        rates = ", ".join(f"{rate:g}" for rate in entry.grid)
        lines.append(f"  {name:<10} lr {rates}{_values(entry.knobs)}")
    lines += ["  or your own: path/to/file.py:Class, package.module:Class", "", "schedules:"]
    lines += [f"  {name:<14}{_values(o, '')}" for name, o in SCHEDULES.items()]
    lines += [f"    {option}: {words}" for option, words in OPTIONS.items()]
    lines += ["", "networks and their options:"]
    lines += [f"  {name:<10}{_values(e.options, '')}" for name, e in NETWORKS.items()]
    lines += ["  or your own: path/to/file.py:name", "", "data sets:"]
    lines += [f"  {name}" for name in BUILT_IN]
    lines.append("  or your own, by prepare_data.py, with these keys (in brackets, if you like):")
    for name, source in SOURCES.items():
        if keys := [*source.needs, *(f"[{key}]" for key in source.takes)]:
            lines.append(f"  {name:<14}{', '.join(keys)}")
    return "\n".join(line.rstrip() for line in lines)


def _values(options: Mapping[str, Any], before: str = "; ") -> str:
    found = ", ".join(
        f"{name}={json.dumps(value, separators=(',', ':'))}" for name, value in options.items()
    )
    return before + found if found else ""
