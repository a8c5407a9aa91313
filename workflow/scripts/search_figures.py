"""Pictures of one search exercise.

In:  the resolved study (--study) and what the searches of the exercise left.
Out: one SVG a picture in --output-folder, with the names that `optlab.search_plan` gives. Pictures
     that an earlier call left there, of data sets no longer in the study, are removed.

Example:
  search_figures.py --study results/default/study.yaml --exercise search \\
      --output-folder results/default/figures/search
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, search_plan, study
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
        UserError: there is no such exercise, or a search of it has not finished.
    """
    resolved = study.load(study_file)
    searches = {s.dataset: s for s in search_plan.searches(resolved) if s.exercise == exercise}
    if not searches:
        raise UserError(f"'{exercise}' is not a search exercise of {study_file}")
    from optlab import search_pictures, style  # Matplotlib: not before the words are checked

    drawn = search_plan.pictures(resolved, exercise)
    style.save(
        folder,
        ((name, search_pictures.draw(kind, searches[dataset])) for name, kind, dataset in drawn),
    )


if __name__ == "__main__":
    sys.exit(main())
