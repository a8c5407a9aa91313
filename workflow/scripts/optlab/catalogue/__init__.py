"""What a study may name: optimizers, networks, data sets and learning-rate schedules.

Standard library only, since Snakemake imports it whenever it reads the workflow. Imports `errors`
and `values`. No rule is triggered by these files: a run carries what it uses of an entry, so a new
entry trains nothing again, and an edited one trains the runs that use it.
"""
