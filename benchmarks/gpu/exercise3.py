"""Exercise 3 over its 30 epochs; then a few epochs as a CUDA graph and with kernels one by one.

The first run is not warmed up: its training clock is that of a study's run.
"""

from gpu import images, runs
from gpu.day import Day

AIM = {"seconds": 10.0, "test_accuracy": 0.992}


def measure(day: Day) -> None:
    data = images.to_learn(day)
    day.note("data", data.label)
    whole = runs.exercise3(day, day.size(30, 1))
    found = day.measure("whole", lambda: runs.timed(whole, data))
    if found and not day.rehearsal:
        fast = found["seconds"] < AIM["seconds"]
        right = found["test_accuracy"] >= AIM["test_accuracy"]
        day.note("aim", {**AIM, "fast_enough": fast, "accurate_enough": right})
    short = runs.exercise3(day, day.size(3, 1))
    one_by_one = runs.one_by_one(short)
    runs.warm(one_by_one, data)
    eager = day.measure("kernels one by one", lambda: runs.timed(one_by_one, data))
    graph = day.measure("graph", lambda: runs.timed(short, data))
    day.note("kernels one by one / graph", runs.ratio(eager, graph))
