"""Searches: Optuna chooses what to train next.

`trials` runs the trials; `retraining` trains the best setting again when all trials have ended. An
edit of `retraining` leaves the trials valid. Imports `training`, `runs`, `machine`, `study`.
"""
