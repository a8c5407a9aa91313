"""Implementations of the catalogue's networks, optimizers and schedules, one file each.

Each file is a rerun trigger of the runs that use it and of no others, so a new network or schedule
retrains nothing. Imports only PyTorch and `errors`.
"""
