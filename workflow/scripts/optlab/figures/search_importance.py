"""The importance of each parameter of a search."""

from collections import Counter
from typing import Any

import optuna
from matplotlib.figure import Figure
from optuna import distributions

from optlab.figures import looks
from optlab.figures.plan import Picture
from optlab.figures.trials import COMPLETE, Trials
from optlab.study import space

FEWEST = 5  # complete trials that must have a parameter before its importance is estimated


def draw(picture: Picture, trials: Trials) -> Figure:
    """The share of the difference between good and ordinary trials that a parameter explains."""
    shares = importances(trials)
    title = "importance of each parameter\n(PED-ANOVA over the "
    title = f"{picture.title}: {title}{len(trials.complete)} complete trials)"
    figure, (axes,) = looks.figure(title, height=max(2.4, 1.2 + 0.28 * len(shares)))
    if not shares:
        axes.text(0.5, 0.5, "too few complete trials to say", ha="center", va="center",
                  transform=axes.transAxes)  # fmt: skip
        axes.set_axis_off()
        return figure
    names = sorted(shares, key=shares.__getitem__)
    bars = axes.barh(names, [shares[name] for name in names], color=COMPLETE, height=0.65)
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set_xlim(0, 1.12 * max(shares.values()) or 1)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("share of the importance")
    return figure


def importances(trials: Trials) -> dict[str, float]:
    """Optuna's PED-ANOVA of the complete trials; empty if there are too few of them.

    It evaluates a conditional parameter over the trials that have it.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize" if trials.search.maximize else "minimize")
    for value, parameters in trials.complete[["value", "parameters"]].itertuples(index=False):
        known = {name: _distribution(trials.spec(name)) for name in parameters}
        study.add_trial(
            optuna.trial.create_trial(value=value, params=parameters, distributions=known)
        )
    having = Counter(name for trial in study.trials for name in trial.params)
    names = [name for name, number in having.items() if number >= FEWEST]
    try:
        return optuna.importance.get_param_importances(study, params=names) if names else {}
    except (ValueError, RuntimeError):  # all values are equal
        return {}


def _distribution(spec: space.Spec) -> Any:
    if spec["type"] == "categorical":
        return distributions.CategoricalDistribution([space.label(c) for c in spec["choices"]])
    kinds = {"int": distributions.IntDistribution, "float": distributions.FloatDistribution}
    return kinds[spec["type"]](spec["low"], spec["high"], log=spec["log"])
