"""Finished runs: read from their files, summarised over seeds, compared, and written as tables.

For a notebook, `load` gives the results of a study as DataFrames:

    from optlab import results
    study = results.load("results/default")
    study.runs        a row a run: settings, and each figure's mean and interval over the seeds
    study.evaluations a row per run, seed and evaluation
    study.trials      a row a trial of a search
    study.scaling     the rows of the scaling table

Needs NumPy, SciPy (its special functions) and pandas. Imports `runs.metrics`, `study`, `catalogue`.
"""

from optlab.results.frames import load

__all__ = ["load"]
