"""The answer page of a study: one HTML file that needs no network.

`answers` puts the tables into words, a card a problem (`sweeps`, `scalings`, `searches`). `store`
packs runs and curves for the browser, `plots` makes the pictures that `browser/*.js` fill, and
`write` puts all into `browser/page.html`. `so_far` is the page of a study that is still running.

Needs Bokeh and Jinja2. Imports `figures` (words and looks), `results`, `study`.
"""
