"""Prepare a data set: read or download it, check it, split it, and write it as tensors.

In:   the source (archives of a published data set, downloaded where they are not at hand,
      or your own .npz file) and how to split it.
Out:  OUTPUT, a description in JSON, and beside it a .pt file with the tensors.

Your own .npz file holds x_train, y_train, x_test and y_test. Images are uint8 [N, H, W],
[N, H, W, 1 or 3] or [N, 1 or 3, H, W]; any other x is float [N, ...]. Integer y are classes
from 0, float y make a regression.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from optlab.catalogue.datasets import SOURCES
from optlab.data import prepare
from optlab.errors import in_one_line


def size(text: str) -> int | float:
    """Read "5000" as a number of examples and "0.1" as a fraction."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--name", help="what the study calls the data set (default: the source)")
    add("--source", required=True, choices=list(SOURCES), help="where it comes from")
    add("--file", help="your .npz file, with --source npz")
    add("--validation", type=size, metavar="SIZE",
        help="examples to hold out for validation, or a fraction such as 0.1 "
             "(default: the source's own; 1/6 of an .npz file)")  # fmt: skip
    add("--split-seed", type=int, default=0, metavar="SEED",
        help="seed of the split and of the training order (default: 0)")  # fmt: skip
    add("--subset", type=int, metavar="N",
        help="keep N training examples, validation included (default: all)")  # fmt: skip
    add("--archives", metavar="FOLDER", default=os.environ.get("OPTLAB_ARCHIVES") or None,
        help="folder of archives already downloaded; it is only read "
             "(default: the environment variable OPTLAB_ARCHIVES)")  # fmt: skip
    add("--output", required=True, type=Path, help="the .json file to write")
    return parser.parse_args()


def stop(number: int, _frame: object) -> None:
    """Leave at once, with nothing half-made left behind.

    Not by an exception: raised in the middle of an import, a compiled module may swallow it.
    """
    prepare.abandon()
    os._exit(128 + number)


@in_one_line
def main() -> int:
    options = arguments()
    name = options.name or options.source
    keys = ("source", "file", "validation", "split_seed", "subset")
    definition = {key: getattr(options, key) for key in keys}
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    prepare.prepare(name, definition, options.output, options.archives)
    print(f"{name}: {json.loads(options.output.read_text())['split']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
