"""Whether a study's claims hold: what is published, what was measured, and the verdict.

A published figure is compared with the interval over the seeds. Statements about which setting is
better are tested as optimizers are: paired by seed, with Holm's correction over all pairs that a
claim implies. A setting with a diverged seed is worse than one without, whatever its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from optlab import claims, grid, results
from optlab.claims import Claim, Settings
from optlab.comparison import TOO_FEW
from optlab.grid import Run
from optlab.results import Summary
from optlab.statistics import LEVEL, Estimate, holm, paired_t_test

AGREES, DIFFERS = "agrees", "differs"  # of a figure
HOLDS, FAILS, UNSHOWN = "holds", "does not hold", "no difference shown"  # of a statement


@dataclass(frozen=True)
class Verdict:
    """A claim, judged.

    Attributes:
        published: what is claimed: a number, or settings.
        measured: the same of this study's runs.
        estimate: a measured figure with its interval; None for statements.
        verdict: the conclusion in words.
    """

    published: str
    measured: str
    estimate: Estimate | None
    verdict: str


def judge(claim: Claim, summaries: Sequence[Summary]) -> Verdict:
    """The verdict on a claim, which `optlab.claims` has checked, of an exercise with these runs."""
    judges: dict[str, Callable[[Claim, Sequence[Summary]], Verdict]] = {
        "value": _value,
        "best": _best,
        "order": _order,
        "diverges_from": _diverges_from,
    }
    return judges[claims.kind(claim)](claim, summaries)


def _value(claim: Claim, summaries: Sequence[Summary]) -> Verdict:
    """A published figure: it agrees where, as it is rounded, it reaches into the interval."""
    one = _chosen(claim["value"], summaries)
    found, published = one.figures[claim["figure"]], claim["published"]
    if one.diverged or found is None:
        return Verdict(grid.text(published), "diverged" if one.diverged else "", None, DIFFERS)
    low, high = (found.mean if end is None else end for end in (found.low, found.high))
    half = _last_digit(published) / 2
    if low <= published + half and published - half <= high:
        verdict = AGREES
    elif found.low is None and not one.run.is_deterministic:
        verdict = TOO_FEW
    else:
        verdict = DIFFERS
    return Verdict(grid.text(published), f"{found.mean:.6g}", found, verdict)


def _last_digit(number: float) -> float:
    """One unit of a number's last digit: 0.001 for 0.992."""
    exponent = Decimal(repr(number)).as_tuple().exponent
    return float(Decimal((0, (1,), int(exponent))))


def _best(claim: Claim, summaries: Sequence[Summary]) -> Verdict:
    """Settings that beat all others of their optimizer."""
    settings, figure = claim["best"], _figure(claim, summaries)
    own = _chosen(settings, summaries)
    others = _of(claims.rivals(settings, [s.run for s in summaries]), summaries)
    winner = min([own, *others], key=lambda one: _place(one, figure))
    named = {name: getattr(winner.run, name) for name in grid.AXES if name in settings}
    found = {"optimizer": winner.run.optimizer, **winner.run.shown_knobs, **named}
    verdict = _verdict([(own, other) for other in others], figure)
    return Verdict(_text(settings), _text(found, winner, figure), None, verdict)


def _order(claim: Claim, summaries: Sequence[Summary]) -> Verdict:
    """Settings from the best to the worst, each better than the next."""
    figure = _figure(claim, summaries)
    stated = [(settings, _chosen(settings, summaries)) for settings in claim["order"]]
    measured = sorted(stated, key=lambda pair: _place(pair[1], figure))
    return Verdict(
        " > ".join(_text(settings) for settings, _ in stated),
        " > ".join(_text(settings, one, figure) for settings, one in measured),
        None,
        _verdict(list(pairwise(one for _, one in stated)), figure),
    )


def _diverges_from(claim: Claim, summaries: Sequence[Summary]) -> Verdict:
    """The lowest learning rate that diverges; all above it do, and none below."""
    tried = _of(claims.rates(claim["diverges_from"], [s.run for s in summaries]), summaries)
    good = [one.run.knobs["lr"] for one in tried if not one.diverged]
    bad = [one.run.knobs["lr"] for one in tried if one.diverged]
    parts = ([f"ok up to lr={grid.text(good[-1])}"] if good else []) + (
        [f"diverges from lr={grid.text(bad[0])}"] if bad else ["none diverges"]
    )
    claimed = claim["diverges_from"]["lr"]
    holds = bad[:1] == [claimed] and all(rate < claimed for rate in good)
    return Verdict(_text(claim["diverges_from"]), ", ".join(parts), None, HOLDS if holds else FAILS)


def _of(runs: Sequence[Run], summaries: Sequence[Summary]) -> list[Summary]:
    """The summaries of these runs, in their order."""
    by_path = {one.run.path: one for one in summaries}
    return [by_path[run.path] for run in runs]


def _chosen(settings: Settings, summaries: Sequence[Summary]) -> Summary:
    """The run that the settings describe; of several, the best on validation data."""
    return results.choose([one for one in summaries if grid.matches(one.run, settings)]).chosen


def _figure(claim: Claim, summaries: Sequence[Summary]) -> str:
    """The figure that a statement is about."""
    return claim.get("figure") or results.choose(summaries).chosen_on


def _place(one: Summary, figure: str) -> tuple[int, float]:
    """A key that sorts the best first: fewest diverged seeds, then the figure."""
    found = one.figures[figure]
    return one.diverged, _sign(figure) * found.mean if found else float("inf")


def _sign(figure: str) -> int:
    """1 where lower is better."""
    return -1 if figure.endswith("accuracy") else 1


def _verdict(pairs: Sequence[tuple[Summary, Summary]], figure: str) -> str:
    """Whether the first of each pair is the better: all are, as claimed, or one is the worse."""
    runs = {one.run.path: one.run for pair in pairs for one in pair}
    seeds = {path: results.by_seed(run, figure) for path, run in runs.items()}
    tests = [
        _better(one, other, seeds[one.run.path], seeds[other.run.path], _sign(figure))
        for one, other in pairs
    ]
    done = [test for test in tests if test is not None]
    shown = [p < 1 - LEVEL for p in holm([p for _, p in done])]
    if any(sure and gain <= 0 for (gain, _), sure in zip(done, shown, strict=True)):
        return FAILS
    if len(done) < len(tests):
        return TOO_FEW
    return HOLDS if all(shown) else UNSHOWN


def _better(
    one: Summary, other: Summary, own: dict[int, float], others: dict[int, float], sign: int
) -> tuple[float, float] | None:
    """How much better one run is than another, and the p-value; None where seeds are too few.

    ``own`` and ``others`` are their figures, seed by seed.
    """
    if bool(one.diverged) != bool(other.diverged):
        return (1.0 if other.diverged else -1.0), 0.0
    first, second = results.paired(own, others)
    if one.diverged and not first:
        return 0.0, 1.0
    if first and one.run.is_deterministic and other.run.is_deterministic:
        gain = sign * (second[0] - first[0])
        return gain, 0.0 if gain else 1.0
    test = paired_t_test(first, second)
    return None if test is None else (-sign * test.difference.mean, test.p)


def _text(settings: Mapping[str, Any], one: Summary | None = None, figure: str = "") -> str:
    """Settings in words, with a figure of their run behind them."""
    words = [str(settings["optimizer"])]
    words += [f"{k}={grid.text(v)}" for k, v in settings.items() if k != "optimizer"]
    found = one.figures[figure] if one else None
    shown = f" ({found.mean:.4g})" if found else " (diverged)" if one else ""
    return ",".join(words) + shown
