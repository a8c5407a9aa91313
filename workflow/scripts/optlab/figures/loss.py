"""Loss against epochs for each learning rate of one optimizer, its other knobs fixed."""

import math

from matplotlib.figure import Figure

from optlab.figures import looks
from optlab.figures.axes import CROWD, closed_forms, enlarge, entry, frame, legend, plot
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader
from optlab.values import text

EARLY = 0.05  # of the epochs: if a run leaves earlier, a second panel enlarges the start


def draw(picture: Picture, reader: Reader) -> Figure:
    """Training loss against epoch for each learning rate; early departures also enlarged."""
    runs = sorted((run for (run,) in picture.groups), key=lambda run: run.knobs["lr"])
    rates = [run.knobs["lr"] for run in runs]
    lines = reader.lines(runs, "train_loss")
    last = max(line.epoch[-1] for line in lines)
    leaving = max((line.epoch[-1] for line in lines if line.leaves), default=math.inf)
    # A line that leaves before epoch 1.5 has no evaluation after the first: nothing to enlarge.
    enlarged = 1.5 < leaving < EARLY * last
    figure, every = looks.figure(picture.title, ratios=(1, 2.2) if enlarged else (1,))
    for axes in every:
        label = reader.label(runs[0], "training loss") if axes is every[0] else ""
        frame(axes, lines, label, full=runs[0].batch_size == "full")
        if axes is not every[-1]:
            enlarge(axes, lines, 1.5 * leaving)
        drawn = []
        for rate, color, line in zip(rates, looks.rate_colors(rates), lines, strict=True):
            look = looks.Look(color, "--" if line.leaves else "-")
            drawn.append(plot(axes, line, look, f"{text(rate)}{line.note}", lines=len(lines)))
        exact = closed_forms(axes, runs, lines, reader)
    if crowd := len(rates) > CROWD:  # a colour bar, and a legend of the lines that diverge
        looks.rate_bar(figure, every[-1], rates)
        lost = [number for number, line in enumerate(lines) if line.diverged]
        drawn = [drawn[number] for number in lost]
        if len(lost) > CROWD:
            words = f"{len(lost)} of {len(rates)} diverge, the lowest {text(rates[lost[0]])}"
            drawn = [entry(words, color=looks.PLAIN, lw=0.8, ls="--")]
    title = "learning rate" if drawn else None
    legend(figure, [*drawn, *exact], side=not crowd, title=title)
    return figure
