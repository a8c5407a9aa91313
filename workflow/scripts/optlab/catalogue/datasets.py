"""Data sets: the sources that a study may name, and what is known of each before it is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from optlab.catalogue import tasks

# A data set of a study: source, validation, split_seed, subset, and what its source needs or takes.
Definition = Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A place that a data set can come from.

    Attributes:
        label: its name in figures; empty where the study's own name is taken.
        task: one of `optlab.catalogue.tasks`; None where the user's data decide.
        examples: training examples, those held out for validation included.
        shape: of one example.
        validation: held out by default: a number of examples, or a fraction of them (below 1).
        test: the test set in words.
        published: torchvision's class for it; None where torchvision does not have it.
        per_class: the examples of each class.
        loss: the usual loss where it is not that of the task.
        needs: further keys of its definition that must be given, with what each is, in words.
        takes: further keys that may be given.
        looked: whether it is looked at before it is prepared, since nothing is known of it here.
    """

    label: str
    task: str | None
    examples: int
    shape: tuple[int, ...]
    validation: int | float
    test: str = "as published"
    published: str | None = None
    per_class: tuple[int, ...] = ()
    loss: str | None = None
    needs: Mapping[str, str] = field(default_factory=dict)
    takes: tuple[str, ...] = ()
    looked: bool = False

    @property
    def trained(self) -> int:
        """Training examples after the default validation set is held out."""
        held_out = self.validation
        if isinstance(held_out, float):
            held_out = round(held_out * self.examples)
        return self.examples - held_out


WORDS = 2000  # the most frequent ones, of a bag of words
COUNTS = "counts"  # the weights of words that are not tf-idf
NPZ = "npz"  # the source that reads arrays of the user's
TEXT = "text"  # a text of the user's
CORPUS = "python_docs"  # a text that comes with Python
TEXTUAL = ("symbols", "context", "test")  # keys that say how a text is cut
NORMALIZED = ("normalize",)
SIXTH = 1 / 6  # of the training examples of a user's file are for validation


def _table(name: str) -> Source:
    needs = {"file": f"the path of your .{name} file", "target": "the name of the target's column"}
    takes = ("test_file", "task", "drop")
    return Source("", None, 60_000, (100,), SIXTH, needs=needs, takes=takes, looked=True)


SOURCES: dict[str, Source] = {
    "line": Source(
        "Line", tasks.REGRESSION, 4, (1,), 0, "no test set", loss=tasks.SQUARED_ERROR_SUM
    ),
    "digits": Source(
        "Digits",
        tasks.CLASSIFICATION,
        1_437,
        (1, 8, 8),
        360,
        "360 of the 1,797 images, stratified by class, the same for every seed",
        per_class=(142, 145, 142, 146, 145, 146, 145, 143, 139, 144),
        takes=NORMALIZED,
    ),
    "breast_cancer": Source(
        "Breast cancer",
        tasks.CLASSIFICATION,
        455,
        (30,),
        114,
        "114 of the 569 examples, stratified by class, the same for every seed; inputs "
        "standardised by mean and deviation of the other 455",
        per_class=(170, 285),
    ),
    "wine": Source(
        "Wine",
        tasks.CLASSIFICATION,
        142,
        (13,),
        36,
        "36 of the 178 examples, stratified by class, the same for every seed; inputs "
        "standardised by mean and deviation of the other 142",
        per_class=(47, 57, 38),
    ),
    "diabetes": Source(
        "Diabetes",
        tasks.REGRESSION,
        354,
        (10,),
        88,
        "88 of the 442 examples, drawn at random, the same for every seed; inputs and targets "
        "standardised by mean and deviation of the other 354",
    ),
    "topics": Source(
        "Python's topics",
        tasks.CLASSIFICATION,
        1_255,
        (WORDS,),
        0.25,
        takes=("words", "weights"),
        looked=True,
    ),
    "mnist": Source(
        "MNIST",
        tasks.CLASSIFICATION,
        60_000,
        (1, 28, 28),
        10_000,
        published="MNIST",
        per_class=(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949),
        takes=NORMALIZED,
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST",
        tasks.CLASSIFICATION,
        60_000,
        (1, 28, 28),
        10_000,
        published="FashionMNIST",
        per_class=(6_000,) * 10,
        takes=NORMALIZED,
    ),
    "cifar10": Source(
        "CIFAR-10",
        tasks.CLASSIFICATION,
        50_000,
        (3, 32, 32),
        5_000,
        published="CIFAR10",
        per_class=(5_000,) * 10,
        takes=NORMALIZED,
    ),
    # In windows of 128 symbols; another Python has another text.
    CORPUS: Source(
        "Python documentation",
        tasks.NEXT_TOKEN,
        3_245,
        (128,),
        1 / 9,
        "the last tenth of the text",
        takes=TEXTUAL,
    ),
    # Examples and shape are a guess until the file has been read.
    TEXT: Source(
        "",
        tasks.NEXT_TOKEN,
        10_000,
        (128,),
        1 / 9,
        "the last tenth of the text",
        needs={"file": "the path of your text"},
        takes=TEXTUAL,
    ),
    NPZ: Source(
        "",
        None,
        60_000,
        (1_000,),
        SIXTH,
        "as in the file",
        needs={"file": "the path of your .npz file"},
        takes=NORMALIZED,
    ),
    "folder": Source(
        "",
        tasks.CLASSIFICATION,
        60_000,
        (3, 32, 32),
        SIXTH,
        "as in the folder",
        needs={"folder": "the path of a folder of images", "size": "[height, width] of images"},
        takes=("channels", *NORMALIZED),
    ),
    **{name: _table(name) for name in ("csv", "parquet")},
    "libsvm": Source(
        "",
        None,
        60_000,
        (1_000,),
        SIXTH,
        needs={"file": "the path of your file in the format of libsvm"},
        takes=("test_file", "task"),
        looked=True,
    ),
    "words": Source(
        "",
        tasks.CLASSIFICATION,
        60_000,
        (WORDS,),
        SIXTH,
        needs={"file": "the path of a text file, each line a label, a tab and a text"},
        takes=("test_file", "words", "weights"),
        looked=True,
    ),
}

BUILT_IN = [name for name, source in SOURCES.items() if not source.needs]  # no definition needed
FILES = ("file", "test_file")  # keys that name files
PATHS = (*FILES, "folder")  # keys that name what is the user's
# Keys that only some sources need or take.
FURTHER = (
    *(*FILES, "target", "task", "drop", "words", "weights"),
    *("folder", "size", "channels", *NORMALIZED, *TEXTUAL),
)


def built_in(source: str) -> dict[str, Any]:
    """The definition of a built-in data set."""
    return {"source": source, "file": None, "validation": None, "split_seed": 0, "subset": None}
