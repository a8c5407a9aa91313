"""Whether a study's claims hold: what is published, what was measured, and the verdict.

A published figure is compared with the interval over the seeds. Statements about which setting is
better are tested as optimizers are: paired by seed, with Holm's correction over all pairs that a
claim implies. A setting with a diverged seed is worse than one without, whatever its figures.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from optlab.results import summary
from optlab.results.comparison import TOO_FEW, paired
from optlab.results.statistics import LEVEL, holm, paired_t_test
from optlab.results.summary import AUTO, sign
from optlab.study import claims
from optlab.study.claims import Claim, Settings
from optlab.study.run import AXES, Run
from optlab.values import text

AGREES, DIFFERS = "agrees", "differs"  # of a figure
HOLDS, FAILS, UNSHOWN = "holds", "does not hold", "no difference shown"  # of a statement

Summary: TypeAlias = pd.Series  # a row of `summary.summarise`

# The columns of claims.tsv.
COLUMNS = [
    *("exercise", "claim", "figure", "published"),
    *("measured", "measured_low", "measured_high", "verdict"),
]


def judge(claim: Claim, table: pd.DataFrame, metric: str = AUTO) -> dict[str, Any]:
    """The row of claims.tsv for a claim of an exercise with these runs and this metric.

    ``published`` and ``measured`` are numbers or settings in words; a measured number has the ends
    of its interval beside it.
    """
    judges: dict[str, Callable[[Claim, pd.DataFrame, str], dict[str, Any]]] = {
        "value": _value,
        "best": _best,
        "order": _order,
        "diverges_from": _diverges_from,
    }
    words = {"claim": " ".join(claim["claim"].split()), "figure": claim.get("figure", "")}
    return {**words, **judges[claims.kind(claim)](claim, table, metric)}


def _row(published: str, measured: str, verdict: str, **ends: Any) -> dict[str, Any]:
    return {"published": published, "measured": measured, **ends, "verdict": verdict}


def _value(claim: Claim, table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """A published figure: it agrees where, as it is rounded, it reaches into the interval."""
    one = _chosen(claim["value"], table, metric)
    figure, published = claim["figure"], claim["published"]
    mean, low, high = (one[figure + end] for end in ("", "_low", "_high"))
    if one["diverged"] or np.isnan(mean):
        return _row(text(published), "diverged" if one["diverged"] else "", DIFFERS)
    single, half = np.isnan(low), _last_digit(published) / 2
    bottom, top = (mean, mean) if single else (low, high)
    if bottom <= published + half and published - half <= top:
        verdict = AGREES
    elif single and not one["run"].is_deterministic:
        verdict = TOO_FEW
    else:
        verdict = DIFFERS
    ends = {"measured_low": low, "measured_high": high}
    return _row(text(published), f"{mean:.6g}", verdict, **ends)


def _last_digit(number: float) -> float:
    """One unit of a number's last digit: 0.001 for 0.992."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return float(f"1e{exponent}")


def _best(claim: Claim, table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Settings that beat all others of their optimizer."""
    settings, figure = claim["best"], _figure(claim, table, metric)
    own = _chosen(settings, table, metric)
    others = _of(claims.rivals(settings, table["run"]), table)
    winner = min([own, *others], key=lambda one: _place(one, figure))
    run = winner["run"]
    named = {name: getattr(run, name) for name in AXES if name in settings}
    found = {"optimizer": run.optimizer, **run.shown_knobs, **named}
    verdict = _verdict([(own, other) for other in others], figure)
    return _row(_words(settings), _words(found, winner, figure), verdict)


def _order(claim: Claim, table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """Settings from the best to the worst, each better than the next."""
    figure = _figure(claim, table, metric)
    stated = [(settings, _chosen(settings, table, metric)) for settings in claim["order"]]
    measured = sorted(stated, key=lambda pair: _place(pair[1], figure))
    return _row(
        " > ".join(_words(settings) for settings, _ in stated),
        " > ".join(_words(settings, one, figure) for settings, one in measured),
        _verdict(list(pairwise(one for _, one in stated)), figure),
    )


def _diverges_from(claim: Claim, table: pd.DataFrame, metric: str) -> dict[str, Any]:
    """The lowest learning rate that diverges; all above it do, and none below."""
    tried = _of(claims.rates(claim["diverges_from"], table["run"]), table)
    good = [one["run"].knobs["lr"] for one in tried if not one["diverged"]]
    bad = [one["run"].knobs["lr"] for one in tried if one["diverged"]]
    parts = [f"ok up to lr={text(good[-1])}"] if good else []
    parts.append(f"diverges from lr={text(bad[0])}" if bad else "none diverges")
    claimed = claim["diverges_from"]["lr"]
    holds = bad[:1] == [claimed] and all(rate < claimed for rate in good)
    return _row(_words(claim["diverges_from"]), ", ".join(parts), HOLDS if holds else FAILS)


def _of(runs: Sequence[Run], table: pd.DataFrame) -> list[Summary]:
    """The rows of these runs, in their order."""
    return [table.loc[run.path] for run in runs]


def _chosen(settings: Settings, table: pd.DataFrame, metric: str) -> Summary:
    """The run that the settings describe; of several, the best on validation data."""
    matching = [run.matches(settings) for run in table["run"]]
    return summary.ordered(table[matching], metric).iloc[0]


def _figure(claim: Claim, table: pd.DataFrame, metric: str) -> str:
    """The figure that a statement is about."""
    return claim.get("figure") or summary.chosen_on(table, metric)


def _place(one: Summary, figure: str) -> tuple[int, float]:
    """A key that sorts the best first: fewest diverged seeds, then the figure."""
    found = one[figure]
    return one["diverged"], float("inf") if np.isnan(found) else sign(figure) * found


def _verdict(pairs: Sequence[tuple[Summary, Summary]], figure: str) -> str:
    """Whether the first of each pair is the better one: all are, as claimed, or one is worse."""
    tests = [_better(one, other, figure) for one, other in pairs]
    done = [test for test in tests if test is not None]
    shown = [p < 1 - LEVEL for p in holm([p for _, p in done])]
    if any(sure and gain <= 0 for (gain, _), sure in zip(done, shown, strict=True)):
        return FAILS
    if len(done) < len(tests):
        return TOO_FEW
    return HOLDS if all(shown) else UNSHOWN


def _better(one: Summary, other: Summary, figure: str) -> tuple[float, float] | None:
    """How much better one run is than another, and the p-value; None where seeds are too few."""
    if bool(one["diverged"]) != bool(other["diverged"]):
        return (1.0 if other["diverged"] else -1.0), 0.0
    first, second = paired(one["run"], other["run"], figure)
    if one["diverged"] and not first:
        return 0.0, 1.0
    if first and one["run"].is_deterministic and other["run"].is_deterministic:
        gain = sign(figure) * (second[0] - first[0])
        return gain, 0.0 if gain else 1.0
    test = paired_t_test(first, second)
    return None if test is None else (-sign(figure) * test.difference.mean, test.p)


def _words(settings: Mapping[str, Any], one: Summary | None = None, figure: str = "") -> str:
    """Settings in words, followed by a figure of their run."""
    words = [str(settings["optimizer"])]
    words += [f"{k}={text(v)}" for k, v in settings.items() if k != "optimizer"]
    if one is None:
        return ",".join(words)
    found = one[figure]
    return ",".join(words) + (" (diverged)" if np.isnan(found) else f" ({found:.4g})")
