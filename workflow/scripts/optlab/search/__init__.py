"""Searches: Optuna's trials, the workers that share them, and the end of a search.

`journal` holds the trials, `worker` runs them, `trial` trains one, and `retraining` trains the best
setting again. Imports `training`, `runs`, `machine`, `study`, `catalogue`.
"""
