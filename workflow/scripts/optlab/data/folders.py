"""Images in class folders, resized to one size. Only this module uses Pillow."""

from pathlib import Path

import numpy as np
from PIL import Image

from optlab.catalogue.datasets import Definition
from optlab.data import arrays, known, listing, notes
from optlab.data.arrays import Arrays
from optlab.errors import DataError

MODES = {1: "L", 3: "RGB"}
EIGHT_BITS = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB")
GREY = ("1", "L", "LA")


def read(definition: Definition) -> Arrays:
    """The images of a folder, uint8 [N, C, H, W].

    Raises:
        DataError: the folder is not in the layout, or an image cannot be read.
    """
    found = listing.of(definition["folder"])
    channels, height, width = known.image_shape(definition)
    stored: dict[str, np.ndarray] = {}
    sizes: set[tuple[int, int]] = set()
    modes: set[str] = set()
    for part, classes in found.parts.items():
        images = [(file, label) for label, one in enumerate(classes) for file in one]
        x = np.empty((len(images), channels, height, width), dtype=np.uint8)
        for row, (file, _) in enumerate(images):
            with _opened(file) as image:
                sizes.add(image.size)
                modes.add(image.mode)
                x[row] = _pixels(image, file, channels, (width, height))
        y = np.array([label for _, label in images], dtype=np.int64)
        stored |= {f"x_{part}": x, f"y_{part}": y}
    told = _noted(sizes, modes, channels, (width, height))
    none = {f"{letter}_test": stored[f"{letter}_train"][:0] for letter in "xy"}
    read = Arrays(
        **{**none, **stored},  # type: ignore[arg-type]
        scale=1 / 255,
        class_names=tuple(found.classes),
        notes=(*notes.of_listing(found), *told),
    )
    return read if "x_test" in stored else arrays.held_out(read)


def _opened(file: Path) -> Image.Image:
    try:
        return Image.open(file)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: is not an image that can be read") from error


def _pixels(image: Image.Image, file: Path, channels: int, size: tuple[int, int]) -> np.ndarray:
    if image.mode not in EIGHT_BITS:
        words = f"has values of another kind than 8 bits (mode {image.mode})"
        raise DataError(f"{file}: {words}; save it as an image of 8 bits")
    try:
        plain = image.convert(MODES[channels]).resize(size, Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file}: is damaged: {' '.join(str(error).split())}") from error
    pixels = np.asarray(plain, dtype=np.uint8)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)


def _noted(
    sizes: set[tuple[int, int]], modes: set[str], channels: int, size: tuple[int, int]
) -> list[str]:
    told = []
    if any(width * size[1] != height * size[0] for width, height in sizes):
        told.append(f"images of other proportions are stretched to {size[1]} x {size[0]}")
    if channels == 3 and modes <= {*GREY}:
        told.append("all images are grey, and stored in three equal channels; `channels: 1` is one")
    return told
