"""The paper of a finished study: tables, figures, methods and a checklist, as LaTeX and Markdown.

In:  a study's configuration (--study) and its results.
Out: in --output-folder (results/<study>/paper): paper.tex, which `pdflatex paper.tex` typesets, and
     paper.md; the parts that they are made of; tables/*.tex and *.md; figures/**/*.pdf. A second
     call writes these files again: copy what you edit. Nothing else is changed.

Example:
  paper.py --study config/lab.yaml
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import command_line, files
from optlab.errors import in_one_line, visible
from optlab.study import reading


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    p.add_argument("--output-folder", type=Path, metavar="FOLDER", help="results/<study>/paper")
    arguments = p.parse_args(words)
    study = reading.load(arguments.study)
    folder = arguments.output_folder or Path("results", study["study"], "paper")
    from optlab.paper import write  # Matplotlib: not before the words are checked

    runs, tables = write.finished(study, arguments.study)
    files.check(folder / "paper.tex")
    write.pictures(study, folder)
    write.write(write.paper(study, runs, tables, arguments.study), folder)
    print(visible(f"The paper: {folder}/paper.tex (pdflatex, twice) and {folder}/paper.md"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
