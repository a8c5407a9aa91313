"""A study: its configuration, read and checked, and the run table that follows from it.

`reading` resolves a configuration, `kinds` says what each kind of exercise is, `table` lists the
runs of a study, and `run` is one of them. Imported whenever Snakemake reads the workflow, so it
needs only PyYAML and jsonschema. Imports `catalogue`, `training.settings` and `data.identity`.
"""
