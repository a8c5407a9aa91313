"""Exercise 3's step beside a plain PyTorch loop and beside its bare products: `cnn_step`."""

import statistics

import cnn_step
from timing import ratios

from gpu.day import Day


def measure(day: Day) -> None:
    if day.rehearsal:
        cnn_step.STEPS = 4
    seconds = cnn_step.measured(day.size(3, 1))
    day.note("steps", cnn_step.STEPS)
    day.note("seconds", {name: statistics.median(values) for name, values in seconds.items()})
    for name, other in cnn_step.PAIRS:
        day.note(f"{name} / {other}", statistics.median(ratios(seconds, name, other)))
