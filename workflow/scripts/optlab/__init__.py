"""What the programs of the optimizer laboratory share: one subject a module."""

import os

# Before NumPy is imported. A run has as many threads as its study says, and they are PyTorch's:
# NumPy's matrix library would take all cores, and give other digits on another machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
