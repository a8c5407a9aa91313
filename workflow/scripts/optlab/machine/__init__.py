"""The machines that train: their hardware, GPUs and processes, and the resources of a job.

Nothing here affects a result, so no rule is triggered by it. Snakemake imports `resources` whenever
it reads the workflow, so the modules import PyTorch only where they need it. Imports `study`,
`data.identity`, `catalogue`, `files`, `errors` and, to join a process group, `training.world`.
"""
