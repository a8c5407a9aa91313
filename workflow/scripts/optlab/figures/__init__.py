"""The pictures of an exercise.

`plan` lists them from the study alone. Snakemake does so whenever it reads the workflow, so `plan`
and `words` need only the standard library; every other module draws with Matplotlib.

Each kind of picture is a module named like its caption in ``workflow/report/``, with one public
function ``draw(picture, source)``. The source is a `reader.Reader` for sweeps, a `trials.Trials`
for searches. Imports `results`, `study`, `data`, `catalogue`.
"""
