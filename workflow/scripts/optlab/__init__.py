"""The packages behind the programs of the optimizer laboratory.

Each package imports only those below it:

    command_line   options of the programs
    figures        pictures of results                  matplotlib
    results        tables of finished runs              numpy, scipy, pandas
    search         Optuna's trials and their workers    optuna, torch
    machine        GPUs, processes, what a job needs
    runs           the files of a run
    study          a configuration and its run table    yaml, jsonschema
    parts          networks and the like, one file each  torch
    training       settings to evaluations              torch
    data           arrays to a prepared data set        numpy
    catalogue      what a study may name
    errors, files, values, custom, triggers             shared by all
"""

import os

# Set before NumPy is imported. PyTorch uses as many threads as the study says; NumPy's matrix
# library would use all cores, or the number that Snakemake sets here for each job, and would give
# other digits on another machine.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
