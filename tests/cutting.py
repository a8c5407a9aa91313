"""Checkpoints that end a training, so to say, before a step."""

from optlab.training.checkpoints import Checkpoints


def cut_before(step):
    """A class of checkpoints that save before this step, counted from 1 over all of them, and end.

    With the step 0 they save nothing. ``calls`` counts the steps; ``step`` may be set anew.
    """

    class Cut(Checkpoints):
        calls = 0

        def due(self):
            Cut.calls += 1
            return Cut.calls == Cut.step

        def save(self, state):
            super().save(state)
            raise KeyboardInterrupt

    Cut.step = step
    return Cut
