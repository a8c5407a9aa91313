"""What the programs of the optimizer laboratory share: one subject a module."""

import os

# Before NumPy is imported. A run has as many threads as its study says, and they are PyTorch's.
# NumPy's matrix library would take all cores, or what Snakemake sets here for each job, and give
# other digits on another machine.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
