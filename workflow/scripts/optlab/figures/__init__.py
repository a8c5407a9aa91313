"""The pictures of an exercise.

`plan` lists them from the study alone, which Snakemake does whenever it reads the workflow, so it
needs only the standard library; every other module draws with Matplotlib. Each kind of picture has
a module of its own, named like its caption in ``workflow/report/``. Imports `results`, `study`,
`data`, `catalogue`.
"""
