"""The cards of scaling exercises: whether more processes pay."""

import math
from collections.abc import Iterator, Mapping

import pandas as pd

from optlab.page.cards import (
    ASK,
    BAD,
    GOOD,
    PLAIN,
    Card,
    Line,
    Study,
    Tables,
    begin,
    rows_of,
)
from optlab.page.wording import interval, listed, number
from optlab.study.run import Run
from optlab.values import counted


def cards(study: Study, exercise: str, tables: Tables, known: Mapping[str, Run]) -> Iterator[Card]:
    every = rows_of(tables, "scaling", exercise)
    for (dataset, model), rows in every.groupby(["dataset", "model"], sort=False):
        card = begin(study, exercise, dataset, model)
        measured = rows[rows["scaling"].isin(["strong", "weak"]) & (rows["gpus"] > 1)]
        things = "GPUs" if (rows["device"] == "cuda").any() else "processes"
        _fastest(card, measured[measured["speedup"].notna()], things)
        if (rows["oversubscribed"].astype(str).str.lower() == "true").any():
            card.warnings.append("more processes than cores: they waited for one another")
        if rows.get("other_work", pd.Series(dtype=object)).notna().any():
            card.warnings.append("some times were measured beside other work")
        yield card


def _fastest(card: Card, rows: pd.DataFrame, things: str) -> None:
    if not len(rows):
        card.verdict = "Nothing was timed with several processes."
        return
    strong = rows[rows["scaling"] == "strong"]
    best = strong if len(strong) else rows
    top = best.loc[best["speedup"].idxmax()]
    low, high = top["speedup_low"], top["speedup_high"]
    ends = interval("speedup", low, high)
    setting = f"{top['scaling']} scaling, batch size {top['batch_size']}"
    card.setting, card.evidence = setting, f"speed-up {number(top['speedup'])} {ends}".strip()
    many = f"{int(top['gpus'])} {things}"
    if low > 1 or (math.isnan(low) and top["speedup"] > 1):
        card.answer, card.kind = f"{many}: {top['speedup']:.3g} × as fast", GOOD
        card.verdict = f"The fastest of {counted(len(best), 'measurement')} with several {things}."
    elif high < 1:
        card.answer, card.kind = f"More {things} do not pay", BAD
        card.verdict = f"At best {many} have {top['speedup']:.2g} of the speed of one."
    else:
        card.answer, card.kind = "No speed-up shown", ASK
        card.verdict = f"At best {many} are about as fast as one."
    for (scaling, batch), group in rows.groupby(["scaling", "batch_size"], sort=False):
        texts = [
            f"{int(n)}: {s:.2f} ×" for n, s in zip(group["gpus"], group["speedup"], strict=True)
        ]
        card.lines.append(Line(PLAIN, f"{scaling}, batch {batch}", listed(texts)))
