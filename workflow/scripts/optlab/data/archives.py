"""Published data sets from their archives, downloaded or at hand: the only importer of torchvision.

A folder of archives is laid out as torchvision does it (`MNIST/raw/*.gz`, `FashionMNIST/raw/*.gz`,
`cifar-10-python.tar.gz`), or simply holds the archives. It is read first and never written to.
"""

from __future__ import annotations

import hashlib
import http.client
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np

from optlab.data.arrays import Arrays
from optlab.errors import DISK_FULL, DataError

FOLDERS = {"MNIST": "MNIST/raw", "FashionMNIST": "FashionMNIST/raw", "CIFAR10": ""}
SILENCE = 60.0  # seconds that a server may be silent before a download is given up
_declared: list[Any] = []  # torch forgets an operator when its Library object is collected


def read(dataset: str, archives: str | None, temporary: Path) -> Arrays:
    """The published training and test sets of MNIST, FashionMNIST or CIFAR10.

    archives: a folder of archives already downloaded, or None. Whatever is not in it is downloaded
    into `temporary`, where everything is unpacked. Images are uint8 [N, C, H, W], labels int64 [N].
    Raises DataError.
    """
    published = getattr(torchvision().datasets, dataset)
    needed = _needed(published)
    if archives:
        _copy(dataset, needed, Path(archives), temporary)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SILENCE)
    try:
        train, test = (published(temporary, train=part, download=True) for part in (True, False))
    except (RuntimeError, OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise  # the disk, not the network
        raise DataError(_advice(dataset, needed, archives)) from error
    finally:
        socket.setdefaulttimeout(patience)
    return Arrays(
        _images(train.data), _labels(train), _images(test.data), _labels(test), scale=1 / 255
    )


def torchvision() -> Any:
    """Import torchvision, also beside a CPU build of torch.

    There torchvision's own operators, which no data set uses, cannot be loaded, and its import
    fails because two of them are unknown. Declaring these two is enough. It is done only after
    a failure, since an operator that is declared twice is an error too.
    """
    try:
        import torchvision as package  # type: ignore[import-untyped]
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        import torch

        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)
        import torchvision as package
    return package


def _needed(published: Any) -> dict[str, str]:
    """The MD5 of every archive of a torchvision data set by file name."""
    if hasattr(published, "resources"):
        return dict(published.resources)
    return {published.filename: published.tgz_md5}


def _copy(dataset: str, needed: dict[str, str], archives: Path, temporary: Path) -> None:
    """Copy the archives at hand to where torchvision looks for them, after a check of their MD5."""
    if not archives.is_dir():
        raise DataError(f"archives: {archives} is not a folder")
    target = temporary / FOLDERS[dataset]
    target.mkdir(parents=True, exist_ok=True)
    for name, md5 in needed.items():
        for file in dict.fromkeys((archives / FOLDERS[dataset] / name, archives / name)):
            if file.is_file() and not _is_namesake(file, dataset, archives):
                if _md5(file) != md5:
                    raise DataError(f"{file}: damaged or incomplete (its MD5 is not {md5}); "
                                    "replace or remove it")  # fmt: skip
                # A copy, not a link: nothing that happens to it can reach the user's archive.
                shutil.copyfile(file, target / name)
                break


def _is_namesake(file: Path, dataset: str, archives: Path) -> bool:
    """Whether a file that lies directly in the folder is the other one of MNIST and FashionMNIST.

    Their archives have the same names.
    """
    if dataset == "CIFAR10" or file.parent != archives:
        return False
    other = "MNIST" if dataset == "FashionMNIST" else "FashionMNIST"
    return _needed(getattr(torchvision().datasets, other))[file.name] == _md5(file)


def _md5(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(
                stream, lambda: hashlib.md5(usedforsecurity=False)
            ).hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _advice(dataset: str, needed: dict[str, str], archives: str | None) -> str:
    """What to do where there is no network."""
    looked = f", and {archives} does not hold all its archives" if archives else ""
    folder = f"<folder>/{FOLDERS[dataset]}".rstrip("/")
    return (
        f"{dataset} could not be downloaded{looked}: check the network, or put {', '.join(needed)} "
        f"in {folder} and name <folder> with the config key 'archives' or with the environment "
        "variable OPTLAB_ARCHIVES"
    )


def _images(data: Any) -> np.ndarray:
    """[N, H, W] or [N, H, W, C] as [N, C, H, W]."""
    images = np.asarray(data)
    if images.ndim == 3:
        return images[:, None]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _labels(published: Any) -> np.ndarray:
    return np.asarray(published.targets, dtype=np.int64)
