"""A finished study as one archive, which another person can open, check and continue.

In:  a study's configuration (--study) and its results, in the folder of the Snakefile.
Out: --output (results/<study>.tar.gz) with one folder: the laboratory's code, the study and the
     code and data files that it names, its results, its prepared data sets, what Snakemake
     remembers of them, and SHA256SUMS, the hash of every file. Nothing else is changed.

In the opened folder, after `make install`, `snakemake -n` plans nothing, and an added learning rate
is one run. With --check, an archive or its opened folder is compared with its hashes, a line per
fault; so does `sha256sum -c SHA256SUMS`.

Examples:
  archive.py --study config/lab.yaml
  archive.py --check results/lab.tar.gz
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from optlab import archive, command_line, files
from optlab.errors import in_one_line, visible
from optlab.study import reading


@in_one_line
def main(words: Sequence[str] | None = None) -> int:
    p = command_line.Parser(__doc__)
    command_line.add_study(p)
    p.add_argument("--output", type=Path, metavar="FILE", help="results/<study>.tar.gz")
    p.add_argument("--largest-data", type=command_line.values.whole, default=100, metavar="MB",
                   help="larger prepared tensors are left out (100)")  # fmt: skip
    p.add_argument("--check", type=Path, metavar="PATH", help="check this archive, or its folder")
    arguments = p.parse_args(words)
    if arguments.check:
        print(visible(archive.check(arguments.check)))
        return 0
    study = reading.load(arguments.study)
    output = arguments.output or Path("results", f"{study['study']}.tar.gz")
    files.check(output)
    archive.finished(arguments.study)
    chosen = archive.chosen(study, arguments.study, arguments.largest_data * 10**6)
    archive.write(study, arguments.study, chosen, output)
    for file in chosen.left_out:
        print(visible(f"left out, made again when it is needed: {file}"))
    print(visible(f"The archive: {output} (archive.py --check {output})"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
