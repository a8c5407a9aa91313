"""What each process of a distributed test does: train, and have the first one save the weights.

Started by torchrun; see tests/test_distributed.py.
"""

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow/scripts"))
from optlab.machine import processes
from optlab.training import datasets, loop
from optlab.training.checkpoints import Checkpoints


def main(data_file: str, jobs_file: str, output: str) -> None:
    torch.set_num_threads(1)
    world = processes.join("cpu")
    assert world.size == int(os.environ["WORLD_SIZE"]), "each process trains alone"
    data = datasets.load(data_file)
    found = {}
    for name, run, steps in torch.load(jobs_file, weights_only=False):
        trainer = loop.Trainer(run, data, [0], world)
        trainer.steps = steps
        (outcome,) = trainer.run(lambda seed, row: None, Checkpoints(None, "", world=world))
        losses = [x for row in outcome.evaluations for x in (row.train_loss, *row.more.values())]
        found[name] = (outcome.model.state_dict(), losses)
    if world.rank == 0:
        torch.save(found, output)
    processes.leave(world)


if __name__ == "__main__":
    main(*sys.argv[1:])
