"""What unequal tuning does to a comparison: the best of k settings, and optimizers left behind.

An optimizer with more settings has more chances. The expected best of k settings, drawn from its
grid without replacement, compares optimizers at equal numbers of them (J. Dodge et al., "Show your
work", EMNLP 2019, arXiv:1909.03004, who draw with replacement). And an optimizer that contains
another one, tuned well, never ends at a higher training loss (D. Choi et al., "On empirical
comparisons of optimizers for deep learning", 2019, arXiv:1910.05446): where it does, it was tuned
too little.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from optlab.catalogue import optimizers
from optlab.catalogue.tasks import is_share, sign
from optlab.results import reading, summary
from optlab.results.anytime import p_value
from optlab.results.comparison import paired
from optlab.results.statistics import LEVEL, holm
from optlab.results.summary import AUTO, PROBLEM
from optlab.study.run import Run

COLUMNS = [
    *(*PROBLEM, "optimizer", "settings", "rank_at_full"),
    *("common_k", "rank_at_common_k", "chosen_on", "k", "expected", "rank"),
]


def expected(values: Sequence[float]) -> list[float]:
    """The expected largest of k of these n values, without replacement, for k from 1 to n.

    With v in ascending order: the sum over i >= k of C(i - 1, k - 1) / C(n, k) v_i.
    """
    ascending, n = sorted(values), len(values)
    return [
        math.fsum(
            math.comb(i - 1, k - 1) / math.comb(n, k) * ascending[i - 1] for i in range(k, n + 1)
        )
        for k in range(1, n + 1)
    ]


def frame(every: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """The table budget.tsv of these runs: a row for each optimizer and number of settings.

    ``expected`` is the figure ``chosen_on`` of the best of ``k`` settings; ``rank`` is among the
    optimizers with at least ``k``. ``common_k`` is the size of the problem's smallest grid, and
    ``rank_at_full`` compares the best settings of whole grids. Equal figures share a rank.

    Args:
        every: rows of `summary.summarise`.
        metrics: exercise -> metric.
    """
    problems = every.groupby(PROBLEM, sort=False)
    found = [
        _of_problem(group, metrics.get(exercise, AUTO))
        for (exercise, *_), group in problems
        if group["optimizer"].nunique() > 1 and len(summary.sound(group))
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=COLUMNS)


def _of_problem(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    figure = summary.chosen_on(table, metric)
    values = sign(figure) * _figures(table, figure)  # lower is better
    rows = [
        {**dict(zip(PROBLEM, table[PROBLEM].iloc[0], strict=True)), "optimizer": name,
         "settings": len(group), "chosen_on": figure, "k": k, "expected": -_rounded(value)}
        for name, group in values.groupby(table["optimizer"], sort=False)
        for k, value in enumerate(expected(-group), 1)
    ]  # fmt: skip
    found = pd.DataFrame(rows)
    common = int(found["settings"].min())
    found["rank"] = found.groupby("k")["expected"].rank(method="min").astype(int)
    at_common = found[found["k"] == common].set_index("optimizer")["rank"]
    full = found[found["k"] == found["settings"]].set_index("optimizer")["expected"]
    found = found.assign(
        common_k=common,
        rank_at_common_k=found["optimizer"].map(at_common),
        rank_at_full=found["optimizer"].map(full.rank(method="min").astype(int)),
        expected=sign(figure) * found["expected"] + 0.0,  # no -0
    )
    order = [
        found["k"],
        found["optimizer"].map({n: i for i, n in enumerate(full.index)}),
        found["rank_at_full"],
    ]
    return found.iloc[np.lexsort(order)][COLUMNS]


def _rounded(value: float) -> float:
    """Without the last digits, which the order of a sum decides: equal figures are equal."""
    return float(f"{value:.12g}")


def _figures(table: pd.DataFrame, figure: str) -> pd.Series:
    """The figure of each setting; one that failed or has a diverged seed has the worst.

    For an accuracy that is 0. For another figure it is the worst of the problem: before the first
    step, or after the last epoch of any setting.
    """
    lost = (table["diverged"] > 0) | table[figure].isna()
    found = table[figure].astype(float).mask(lost)
    if not lost.any():
        return found
    if is_share(figure):
        return found.fillna(0.0)
    starts = [
        curve.of(figure)[0] for curve in reading.curves(summary.ordered(table)["run"].iloc[0])
    ]
    worse = sign(figure)
    known = [worse * value for value in (*starts, *found) if not math.isnan(value)]
    return found.fillna(worse * max(known, default=math.inf))


# -- optimizers that contain others ------------------------------------------------------------


def under_tuned(table: pd.DataFrame) -> dict[str, str]:
    """The optimizers of a problem that end at a higher training loss than one that they contain.

    Each at its setting with the lowest final training loss, paired by seed. Only what is shown
    counts: an anytime-valid p below 0.05, after Holm's correction for all pairs of the problem.
    Nothing is shown where nothing is random.

    Args:
        table: rows of `summary.summarise`, on the seeds that tuned.

    Returns:
        optimizer -> the warning in words.
    """
    lowest = {name: _lowest(group) for name, group in table.groupby("optimizer", sort=False)}
    pairs = [(name, part) for name in lowest for part in contained(name) if part in lowest]
    tests = [_excess(lowest[name], lowest[part]) for name, part in pairs]
    shown: dict[str, list[tuple[str, float]]] = {}
    adjusted = holm([p for _, p in tests])
    for (name, part), (excess, _), p in zip(pairs, tests, adjusted, strict=True):
        if excess > 0 and p < 1 - LEVEL:
            shown.setdefault(name, []).append((optimizers.of(part).label, p))
    return {name: _warning(parts) for name, parts in shown.items()}


def contained(optimizer: str) -> list[str]:
    """The optimizers that one contains, at once or by way of another."""

    def below(name: str) -> Iterator[str]:
        for part in optimizers.of(name).contains:
            yield part
            yield from below(part)

    return list(dict.fromkeys(below(optimizer)))


def _lowest(group: pd.DataFrame) -> Run:
    """The setting with the lowest final training loss, of those with the fewest diverged seeds."""
    losses = group["train_loss"].astype(float).fillna(math.inf)
    return group["run"].iloc[int(np.lexsort((losses, group["diverged"]))[0])]


def _excess(general: Run, special: Run) -> tuple[float, float]:
    """How much higher the training loss of the general one is, and the p-value."""
    above, below = paired(general, special, "train_loss")
    differences = [a - b for a, b in zip(above, below, strict=True)]
    if len(differences) < 2 or (general.is_deterministic and special.is_deterministic):
        return 0.0, 1.0
    return math.fsum(differences), p_value(differences)


def _warning(parts: Sequence[tuple[str, float]]) -> str:
    names = " and that of ".join(label for label, _ in parts)
    pronoun = "which it contains"
    p = max(p for _, p in parts)
    return f"under-tuned: its training loss is higher than that of {names}, {pronoun} (p {p:.1g})"
