"""Searches: Optuna chooses what to train next.

`trials` runs them, `retraining` trains the best setting again when all of them have ended. An edit
of `retraining` leaves the trials valid. Imports `training`, `runs`, `machine`, `study`.
"""
