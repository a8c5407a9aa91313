"""The machines that runs are made on: their hardware, GPUs and processes, and what a job needs.

Nothing here changes a figure of a run, so no rule is triggered by it. Standard library at the top
of each module, since Snakemake imports `resources` whenever it reads the workflow. Imports `study`,
`data.identity`, `catalogue` and, where a process joins others, `training.world`.
"""
