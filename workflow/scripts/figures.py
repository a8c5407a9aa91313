"""Pictures of one exercise.

In:  the resolved study (--study) and the metrics of the exercise's runs.
Out: one SVG a picture in --output-folder, with the names that `optlab.pictures` gives. Pictures
     that an earlier call left there, of runs no longer in the study, are removed.

Example:
  figures.py --study results/default/study.yaml --exercise linear \\
      --output-folder results/default/figures/linear
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, pictures, study
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
        UserError: there is no such exercise, or a run of it has no metrics.
    """
    resolved = study.load(study_file)
    if exercise not in resolved["exercises"]:
        known = ", ".join(resolved["exercises"])
        raise UserError(f"unknown exercise '{exercise}'; {study_file} has {known}")
    from optlab import figures, style  # Matplotlib: not before the words above are checked

    reader = figures.Reader(resolved)
    drawn = pictures.pictures(resolved, exercise)
    style.save(folder, ((picture.name, figures.draw(picture, reader)) for picture in drawn))


if __name__ == "__main__":
    sys.exit(main())
