"""What entries of the catalogue build: networks, optimizers and schedules, one file each.

A run is triggered by the files that its own settings name, and by no other file here, so that a new
network or schedule trains nothing again. Imports PyTorch and `errors`, and nothing else of optlab.
"""
