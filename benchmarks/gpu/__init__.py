"""What waits for a GPU, a module a part: see `benchmarks/gpu_day.py`, which runs them.

The function `measure` of a module does the part's work and notes each figure as soon as it is known
(`day.Day`). Each part runs in its own process (`python -m gpu PART DEVICE FOLDER`), so that one
that crashes or takes too long costs the others nothing. They need PyTorch and this repository.
"""
