"""The pictures of an exercise.

`plan` lists them from the study alone. Snakemake does so whenever it reads the workflow, so `plan`
and `words` need only the standard library; every other module draws with Matplotlib.

Each kind of picture has a caption of its name in ``workflow/report/`` and a function of a picture
and its data, which `draw.DRAWN` names. The data are a `reader.Reader` for sweeps, the rows of
`scaling_axes.source` for scaling, a `trials.Trials` for searches. Imports `results`, `study`,
`data`, `catalogue`.
"""
