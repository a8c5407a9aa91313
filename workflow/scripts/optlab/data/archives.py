"""Published data sets from their archives, downloaded or local. Only this module uses torchvision.

A user's folder of archives has torchvision's layout (`MNIST/raw/*.gz`, `FashionMNIST/raw/*.gz`,
`cifar-10-python.tar.gz`) or holds the archives directly. It is searched first and never changed.
"""

import hashlib
import http.client
import importlib
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np

from optlab.custom import operators
from optlab.data import arrays
from optlab.data.arrays import Arrays
from optlab.errors import DISK_FULL, DataError

FOLDERS = {"MNIST": "MNIST/raw", "FashionMNIST": "FashionMNIST/raw", "CIFAR10": ""}
SILENCE = 60.0  # seconds without data after which a download fails


def read(dataset: str, archives: str | None, temporary: Path) -> Arrays:
    """The published training and test sets; images uint8 [N, C, H, W], labels int64 [N].

    Args:
        dataset: MNIST, FashionMNIST or CIFAR10.
        archives: a folder of downloaded archives, or None.
        temporary: a folder into which missing archives are downloaded and all are unpacked.

    Raises:
        DataError: an archive is damaged or can be neither found nor downloaded.
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
    x_train, x_test = (arrays.inputs(dataset, np.asarray(part.data)) for part in (train, test))
    y_train, y_test = (np.asarray(part.targets, dtype=np.int64) for part in (train, test))
    return Arrays(x_train, y_train, x_test, y_test, scale=1 / 255)


def torchvision() -> Any:
    """Import torchvision, also beside a CPU build of torch."""
    return operators.importing(lambda: importlib.import_module("torchvision"))


def _needed(published: Any) -> dict[str, str]:
    """The archives of a torchvision data set: file name -> MD5."""
    if hasattr(published, "resources"):
        return dict(published.resources)
    return {published.filename: published.tgz_md5}


def _copy(dataset: str, needed: dict[str, str], archives: Path, temporary: Path) -> None:
    """Copy local archives to where torchvision looks for them, after a check of their MD5."""
    if not archives.is_dir():
        raise DataError(f"archives: {archives} is not a folder")
    published = [_needed(getattr(torchvision().datasets, name)) for name in FOLDERS]
    known = {md5 for files in published for md5 in files.values()}
    target = temporary / FOLDERS[dataset]
    target.mkdir(parents=True, exist_ok=True)
    for name, md5 in needed.items():
        for file in (archives / FOLDERS[dataset] / name, archives / name):
            found = _md5(file) if file.is_file() else None
            if found == md5:
                # A copy, not a link: the user's archive cannot be changed through it.
                shutil.copyfile(file, target / name)
                break
            # Archives of MNIST and Fashion-MNIST have the same names: one of the other is skipped.
            if found and found not in known:
                problem = f"damaged or incomplete (its MD5 is not {md5}); replace or remove it"
                raise DataError(f"{file}: {problem}")


def _md5(file: Path) -> str:
    try:
        return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from error


def _advice(dataset: str, needed: dict[str, str], archives: str | None) -> str:
    """What to do if the network does not work."""
    looked = f", and {archives} does not hold all its archives" if archives else ""
    folder = f"<folder>/{FOLDERS[dataset]}".rstrip("/")
    return (
        f"{dataset} could not be downloaded{looked}: check the network, or put {', '.join(needed)} "
        f"in {folder} and name <folder> with the config key 'archives' or with the environment "
        "variable OPTLAB_ARCHIVES"
    )
