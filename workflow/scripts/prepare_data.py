"""Prepare a data set: read or download it, check it, split it, and write it as tensors.

In:   the source (archives of a published data set, downloaded if they are not in --archives,
      or a file of your own) and how to split it.
Out:  OUTPUT, a description in JSON, and beside it a .pt file with the tensors.

Your own .npz file holds x_train and y_train, and may hold x_val and y_val, and x_test and
y_test. Images are uint8 [N, H, W], [N, H, W, 1 or 3] or [N, 1 or 3, H, W]; any other x is float
[N, ...]. Integer y are classes from 0; float y are the targets of a regression. Your own text is
UTF-8, or any bytes.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from optlab import command_line, files
from optlab.catalogue.datasets import FURTHER, SOURCES
from optlab.data import prepare, texts
from optlab.errors import UserError, in_one_line
from optlab.machine import owner


def size(text: str) -> int | float:
    """Read "5000" as a number of examples, "0.1" as a fraction."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def arguments() -> argparse.Namespace:
    parser = command_line.Parser(__doc__)
    add = parser.add_argument
    add("--name", help="name of the data set (default: the source)")
    add("--source", required=True, choices=list(SOURCES), help="where the data come from")
    add("--file", help="your file, with a source that reads one")
    add("--test-file", metavar="FILE", help="of a table or of texts, the test set")
    add("--target", metavar="COLUMN", help="of a table, the column of targets")
    add(
        "--task",
        choices=("classification", "regression"),
        help="of a table (default: by its target)",
    )
    add("--drop", action="append", metavar="COLUMN", help="of a table, a column that is no input")
    add("--words", type=int, metavar="N", help="of texts, the most frequent words (2000)")
    add("--weights", choices=("tfidf", "counts"), help="of words (default: tfidf)")
    add("--folder", help="of images, the folder with one for each class")
    add("--size", type=int, action="append", help="of images, the height, and again the width")
    add("--channels", type=int, choices=(1, 3), help="of images, 1 for grey (default: 3)")
    add("--normalize", type=lambda text: text.lower() == "true", metavar="true",
        help="inputs of mean 0 and deviation 1, by channel or by column")  # fmt: skip
    held_out = "validation examples, or a fraction such as 0.1 (default: by source; 1/6 of .npz)"
    add("--validation", type=size, metavar="SIZE", help=held_out)
    add("--split-seed", type=int, default=0, metavar="SEED", help="seed of split and order (0)")
    add("--subset", type=int, metavar="N", help="training and validation examples (default: all)")
    add("--symbols", choices=texts.SYMBOLS, help="of a text (default: characters)")
    add("--context", type=int, metavar="N", help="symbols of a text that a network sees (128)")
    add("--test", type=size, metavar="SIZE", help="of a text: test windows, or a fraction (0.1)")
    archives = "folder of downloaded archives, only read (default: the variable OPTLAB_ARCHIVES)"
    add("--archives", metavar="FOLDER", default=os.environ.get("OPTLAB_ARCHIVES"), help=archives)
    add("--output", type=Path, help="the .json file to write")
    add("--look", action="store_true", help="only print what is known of the source, as JSON")
    found = parser.parse_args()
    if not (found.output or found.look):
        parser.error("--output is missing: the .json file to write")
    return found


def stop(number: int, _frame: object) -> None:
    """End at once, without partial files.

    Not by an exception, which a compiled module may swallow during an import.
    """
    prepare.abandon()
    os._exit(128 + number)


@in_one_line
def main() -> int:
    options = arguments()
    keys = ("source", "validation", "split_seed", "subset", *FURTHER)
    definition = {key: getattr(options, key) for key in keys}
    if options.look:
        owner.follow()
        print(json.dumps(prepare.look(definition)._asdict()))
        return 0
    if options.output.suffix != ".json":
        raise UserError(f"--output: {options.output} does not end in .json; tensors go beside it")
    files.check(options.output, options.output.with_suffix(".pt"))
    name = options.name or options.source
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    owner.follow()
    prepare.prepare(name, definition, options.output, options.archives)
    description = json.loads(options.output.read_text())
    print(f"{name}: {description['split']}")
    for note in description.get("notes", []):
        print(f"note: {note}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
