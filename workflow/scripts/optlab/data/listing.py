"""The images of a folder in torchvision's layout: a folder for each class, for each part or not.

Read without NumPy, since a study is checked with it.
"""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from optlab import files
from optlab.errors import DataError, show

# As in torchvision.
SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
PARTS = ("train", "val", "test")


class Listing(NamedTuple):
    """The images of a folder.

    Attributes:
        classes: their names, sorted.
        parts: part -> the images of each class, sorted; without parts, all are ``train``.
        others: files in the folders of classes that are no images.
    """

    classes: list[str]
    parts: Mapping[str, list[list[Path]]]
    others: list[Path]

    @property
    def images(self) -> int:
        """Their number."""
        return sum(len(one) for part in self.parts.values() for one in part)


@functools.cache  # a process sees one state of a folder, however often it asks
def of(folder: str) -> Listing:
    """The images of a folder.

    Raises:
        DataError: it cannot be read, or is not in the layout.
    """
    root = Path(folder)
    try:
        has_parts = (root / "train").is_dir()
        parts = [part for part in PARTS if (root / part).is_dir()] if has_parts else ["train"]
        places = {part: root / part if has_parts else root for part in parts}
        classes = _folders(places["train"])
        if len(classes) < 2:
            words = f"has {len(classes)} folders; there must be one for each class, two or more"
            raise DataError(f"{places['train']}: {words}")
        for place in places.values():
            for name in _folders(place):
                if name not in classes:
                    raise DataError(f"{place / name}: train has no folder {show(name)}")
        every = {part: [_files(place / name) for name in classes] for part, place in places.items()}
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{error.filename or folder}: cannot be read: {reason}") from error
    kept = {part: [[f for f in one if _is_image(f)] for one in e] for part, e in every.items()}
    for name, found in zip(classes, kept["train"], strict=True):
        if not found:
            raise DataError(f"{places['train'] / name}: holds no image ({', '.join(SUFFIXES)})")
    for part, place in places.items():
        if not any(kept[part]):
            raise DataError(f"{place}: holds no image in the folders of classes")
    others = [f for e in every.values() for one in e for f in one if not _is_image(f)]
    return Listing(classes, kept, others)


def stamp(found: Listing) -> str:
    """A hash of the names, sizes and times of the images."""
    hashed = hashlib.sha256()
    for file in images(found):
        status = file.stat()
        hashed.update(f"{file} {status.st_size} {status.st_mtime_ns}\n".encode())
    return hashed.hexdigest()


def content(folder: str) -> str:
    """A hash of the places of the images in the folder, and of what they hold."""
    hashed = hashlib.sha256()
    for file in images(of(folder)):
        hashed.update(f"{file.relative_to(folder).as_posix()} {files.digest(file)}\n".encode())
    return hashed.hexdigest()


def images(found: Listing) -> Iterator[Path]:
    """All images, in their order."""
    yield from (file for part in found.parts.values() for one in part for file in one)


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _folders(place: Path) -> list[str]:
    return sorted(f.name for f in place.iterdir() if f.is_dir() and not f.name.startswith("."))


def _files(place: Path) -> list[Path]:
    """All files below a folder; none if it is not there."""
    found = (f for f in place.rglob("*") if f.is_file() and not f.name.startswith("."))
    return sorted(found) if place.is_dir() else []
