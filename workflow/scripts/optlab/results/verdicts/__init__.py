"""Whether the claims of a study hold: what is published, what was measured, and the verdict.

`published` holds a published figure against ours, `differences` tests which of two settings is
better. Both see `samples`: a figure of one setting, a value a seed. `sweeps`, `scalings` and
`searches` find the samples that a claim of their kind of exercise is about.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from optlab.results.verdicts import samples, scalings, searches, sweeps
from optlab.study import claims
from optlab.study.claims import Claim

Study = Mapping[str, Any]
Row = dict[str, Any]
Judge = Callable[[Claim], Row]

NOT_ANSWERED = "not answered"

# The columns of claims.tsv.
COLUMNS = [
    *("exercise", "claim", "figure", "published"),
    *("measured", "measured_low", "measured_high", "predicted_low", "predicted_high", "verdict"),
]

# Kind of exercise -> what judges the claims of an exercise.
JUDGES: Mapping[str, Callable[[Study, str], Judge]] = {
    "sweep": sweeps.judge,
    "scaling": scalings.judge,
    "search": searches.judge,
}


def frame(study: Study) -> pd.DataFrame:
    """The table claims.tsv: a row for each claim, in the order of the study.

    Raises:
        UserError: a run or a search has not finished, or its files are damaged.
    """
    rows = [row for name in study["exercises"] for row in _of_exercise(study, name)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_exercise(study: Study, name: str) -> Iterator[Row]:
    """The rows of an exercise; its results are read only if a claim needs them."""
    exercise = study["exercises"][name]
    judge: Judge | None = None
    for claim in exercise.get("claims", ()):
        words = {"exercise": name, "claim": " ".join(claim["claim"].split())}
        if claims.kind(claim) == "unanswered":
            why = " ".join(claim["unanswered"].split())
            yield {**words, "verdict": f"{NOT_ANSWERED}: {why}"}
            continue
        judge = judge or JUDGES[exercise["kind"]](study, name)
        try:
            yield {**words, **judge(claim)}
        except samples.NotTrained as reason:
            yield {**words, "verdict": f"open: {reason}"}
