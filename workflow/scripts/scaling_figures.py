"""Pictures of one scaling exercise.

In:  the resolved study (--study), and metrics.tsv and run.json of the exercise's runs.
Out: one SVG a picture in --output-folder, with the names that `optlab.scaling_plan` gives.
     Pictures that an earlier call left there, of what is no longer in the study, are removed.

Example:
  scaling_figures.py --study results/default/study.yaml --exercise scaling \\
      --output-folder results/default/figures/scaling
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, scaling_plan, study
from optlab.errors import UserError, in_one_line


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    arguments = command_line.study_parser(
        __doc__, "where the pictures go", exercise=True
    ).parse_args(words)
    draw(arguments.study, arguments.exercise, arguments.output_folder)
    return 0


def draw(study_file: Path, exercise: str, folder: Path) -> None:
    """Draw every picture of the exercise into ``folder``.

    Raises:
        UserError: there is no such exercise, or a run of it has not been trained.
    """
    resolved = study.load(study_file)
    settings = resolved["exercises"].get(exercise)
    if settings is None or not scaling_plan.is_scaling(settings):
        raise UserError(f"'{exercise}' is not a scaling exercise of {study_file}")
    from optlab import scaling, scaling_pictures, style  # Matplotlib: not before all is checked

    rows = scaling.rows(resolved, exercise)
    drawn = scaling_plan.pictures(resolved, exercise)
    target = settings["target_accuracy"]
    style.save(folder, ((p.name, scaling_pictures.draw(p, rows, target)) for p in drawn))


if __name__ == "__main__":
    sys.exit(main())
