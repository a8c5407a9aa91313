"""The pictures of one exercise, or those that compare the problems of the whole study.

In:  the resolved study (--study) and the results of the exercise; without --exercise, those of the
     exercises with a target accuracy.
Out: one SVG a picture in --output-folder, with the names that `optlab.figures.plan` gives. Other
     pictures that an earlier call left there are removed.

Example:
  figures.py --study results/default/study.yaml --exercise linear \\
      --output-folder results/default/figures/linear
"""

import sys
from collections.abc import Sequence

from optlab import command_line
from optlab.errors import UserError, allowed, in_one_line
from optlab.machine import owner
from optlab.study import reading


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.study_parser(__doc__, "exercise", "output-folder", optional=["exercise"])
    arguments = p.parse_args(words)
    owner.follow()
    study, exercise = reading.load(arguments.study), arguments.exercise
    if exercise is not None and exercise not in study["exercises"]:
        known = allowed(exercise, study["exercises"])
        raise UserError(f"unknown exercise '{exercise}'; {known}")
    from optlab.figures import draw  # Matplotlib: not before the options are checked

    draw.draw(study, exercise, arguments.output_folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
