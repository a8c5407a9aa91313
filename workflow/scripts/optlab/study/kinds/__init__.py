"""The kinds of exercise. Each is a module that has

    TABLES                          the tables that it fills, each with its name in the report
    fill(exercise)                  fills in what the schema cannot
    mistakes(study, exercise)       what is wrong beyond the schema, before there are runs
    run_mistakes(exercise, runs)    what is wrong once its runs are known
    runs(study, name)               the runs that it trains, those left out included
    results(study, name)            the files that its tables and pictures are made from

`optlab.figures.plan` knows its pictures, `optlab.results.tables` the rows of its tables.
"""

from collections.abc import Mapping
from typing import Any

from optlab.study.kinds import scaling, search, sweep

KINDS: Mapping[str, Any] = {"sweep": sweep, "scaling": scaling, "search": search}


def of(exercise: Mapping[str, Any]) -> Any:
    """The kind of an exercise."""
    return KINDS[exercise["kind"]]
