"""What is to be known of a run beside its results: done as documented, but perhaps not as meant."""

from typing import Any

from optlab.runs import failures
from optlab.study.run import Run
from optlab.training.world import World


def of(run: Run, data: Any, world: World) -> dict[str, list[str]]:
    """The key ``notes`` of the record, if there is anything to note; also into the log."""
    from optlab.training import batch_norm, networks

    found: list[str] = []
    with failures.recognised(run):
        if world.size > 1:
            found += batch_norm.notes(networks.build(run, data, 0), run, world.size)
        if run.seeds > 1 and networks.seeds_itself(run, data):
            found.append("the network has the same initial weights with every seed")
    for note in found if world.rank == 0 else ():
        print(note, flush=True)
    return {"notes": found} if found else {}
