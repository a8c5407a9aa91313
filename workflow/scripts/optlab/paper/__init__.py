"""A study as a paper: its tables, figures, methods and a checklist, as LaTeX and as Markdown.

`document` says what a paper consists of; `results`, `methods` and `checklist` fill it from the
tables and records; `latex` and `markdown` write it, each with its function of `escaping`;
`write` makes the files. Imports `page` (the checked tables, and figures in words), `figures`,
`results`, `study`.
"""
