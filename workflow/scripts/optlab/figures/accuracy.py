"""Validation accuracy at the end of training against the learning rate."""

from matplotlib.figure import Figure

from optlab.figures import rates
from optlab.figures.plan import Picture
from optlab.figures.reader import Reader


def draw(picture: Picture, reader: Reader) -> Figure:
    """Validation accuracy against the learning rate, a panel for each optimizer."""
    label = f"validation accuracy after {picture.groups[0][0].epochs} epochs"
    return rates.panels(picture, reader, "val_accuracy", label)
