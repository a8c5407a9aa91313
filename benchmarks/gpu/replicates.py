"""Five replicates of exercise 3: in one step, and one after the other."""

from gpu import images, runs
from gpu.day import Day


def measure(day: Day) -> None:
    data = images.to_time(day)
    day.note("data", data.label)
    run, seeds = runs.exercise3(day, day.size(3, 1)), range(day.size(5, 2))
    runs.warm(run, data)
    separate = day.measure("separate", lambda: runs.timed(run, data, [[seed] for seed in seeds]))
    runs.warm(run, data, seeds)
    together = day.measure("together", lambda: runs.timed(run, data, [seeds]))
    day.note("separate / together", runs.ratio(separate, together))
