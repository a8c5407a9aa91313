"""A finished study as one archive: what is in it, how it is written, how it is checked."""

import base64
import binascii
import hashlib
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from optlab import files
from optlab.catalogue.datasets import PATHS
from optlab.data import identity
from optlab.errors import ASIDE, UserError
from optlab.machine import hardware
from optlab.study import table

SUMS = "SHA256SUMS"  # of every other file, in the form of sha256sum
NOTE = "ARCHIVE.md"  # what it is, and how it is opened
METADATA = Path(".snakemake/metadata")  # what Snakemake compares the next call with

# What the laboratory is made of. Snakemake compares the content of its code: a clone of another
# version would plan everything, so the code is in the archive.
CODE = (
    *("Snakefile", "Makefile", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE"),
    *("requirements.txt", "pyproject.toml", ".gitignore", "workflow", "warm", "config"),
    *("profiles", "executor", "screen", "docs", "containers", "benchmarks", "tests"),
)
_NOT_CODE = re.compile(r"__pycache__|build|.*\.egg-info|\..*_cache|\.venv")

_TEXT = """\
# The study {study}, finished

Made {time} from version {commit} of the laboratory, with Python {python} and PyTorch {torch}.

    sha256sum -c --quiet {sums}     # every file is as it was
    make install                        # or activate such an environment
    snakemake {config}-n                # plans nothing: everything is there

To continue it, edit `{file}` and call `snakemake {config}--cores all`: an added learning rate is
one run. `README.md` is about the laboratory, `results/{study}/index.html` has the answers.
{left}"""


@dataclass
class Chosen:
    """The files of an archive, relative to the folder that it is made in.

    Attributes:
        files: those that are in it.
        left_out: prepared tensors that are too large; Snakemake makes them again when a run needs
            them, and their description has their hash.
    """

    files: list[Path] = field(default_factory=list)
    left_out: list[Path] = field(default_factory=list)


def finished(study_file: str) -> None:
    """Raise `UserError` unless Snakemake plans nothing: only then it does so for others."""
    if not Path("Snakefile").is_file():
        raise UserError("there is no Snakefile here: call this in the folder of the laboratory")
    options = ("-n", "--cores", "1", "--configfile", study_file)
    command = [sys.executable, "-m", "snakemake", *options, "--workflow-profile", "none"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    if done.returncode:
        (*_, last) = [line for line in told.splitlines() if line.strip()] or ["for no reason"]
        raise UserError(f"snakemake -n fails: {last.removeprefix('error: ')}")
    if "Nothing to be done" not in told:
        jobs = re.search(r"^total +(\d+)", told, re.MULTILINE)
        count = f"{jobs[1]} jobs are planned" if jobs else "jobs are planned"
        again = f"snakemake --configfile {shlex.quote(study_file)} --cores all"
        raise UserError(f"the study is not finished: {count}; {again}")


def chosen(study: Mapping[str, Any], study_file: str, largest: int) -> Chosen:
    """The files of the archive of a study, without tensors of more than ``largest`` bytes.

    Raises:
        UserError: the study names a file that lies outside this folder.
    """
    found = Chosen()
    places = [Path(name) for name in CODE if Path(name).exists()]
    code = [file for place in places for file in _below(place) if not _is_junk(file)]
    named = [file for name in _named(study, study_file) for file in _below(_inside(name))]
    results = [file for file in _below(Path("results", study["study"])) if not _is_passing(file)]
    data = list(_data(study))
    for file in data:
        too_large = file.suffix == ".pt" and file.stat().st_size > largest
        (found.left_out if too_large else found.files).append(file)
    kept = {file.as_posix() for file in [*results, *data]}
    found.files += [*code, *named, *results, *_remembered(kept)]
    found.files = sorted(dict.fromkeys(found.files))
    return found


def _below(place: Path) -> Iterator[Path]:
    """The files below a folder, or the file itself."""
    if place.is_file():
        yield place
    for folder, names, own in os.walk(place):
        names[:] = [name for name in names if not _NOT_CODE.fullmatch(name)]
        yield from (Path(folder, name) for name in own)


def _is_junk(file: Path) -> bool:
    return file.suffix == ".pyc" or any(_NOT_CODE.fullmatch(part) for part in file.parts)


def _is_passing(file: Path) -> bool:
    """Whether a file of the results is of a running, killed or damaged job."""
    return file.name.startswith(".") or file.name.endswith(ASIDE) or file.parts[2] == "state"


def _named(study: Mapping[str, Any], study_file: str) -> Iterator[str]:
    """The configuration, and the code and data files of the user's that it names."""
    yield study_file
    for run in table.every(study):
        yield from run.code
    for definition in study["datasets"].values():
        yield from (definition[key] for key in PATHS if definition.get(key))


def _inside(file: str) -> Path:
    relative = Path(os.path.relpath(file))
    if relative.parts[0] == "..":
        words = "lies outside this folder, so an archive cannot have it in its place"
        raise UserError(f"{file}: {words}; move it here, and name it by its relative path")
    return relative


def _data(study: Mapping[str, Any]) -> Iterator[Path]:
    """The files of the prepared data sets that the study uses, as far as they are there."""
    descriptions = [
        Path(identity.prepared_path(name, one))
        for name, definition in study["datasets"].items()
        for one in (definition, identity.whole(definition))  # of which seeds may draw subsets
    ]
    for description in dict.fromkeys(descriptions):
        found = (description, description.with_suffix(".pt"))
        yield from (file for file in found if file.is_file())


def _remembered(paths: set[str]) -> Iterator[Path]:
    """What Snakemake remembers of these files; it names its own by theirs, in base 64."""
    for file in _below(METADATA):
        parts = file.relative_to(METADATA).parts
        coded = "".join(part.removeprefix("@") for part in parts)
        try:
            if base64.urlsafe_b64decode(coded).decode() in paths:
                yield file
        except (binascii.Error, UnicodeDecodeError):
            continue


class _Hashed:
    """A stream that hashes what is read from it."""

    def __init__(self, stream: IO[bytes]):
        self._stream, self.digest = stream, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._stream.read(size)
        self.digest.update(content)
        return content


def write(study: Mapping[str, Any], study_file: str, found: Chosen, output: Path) -> None:
    """Write the archive; times are kept to the last digit, since Snakemake compares them."""
    folder = f"optlab-{study['study']}"
    sums: list[str] = []
    note = _note(study, study_file, found)
    with (
        files.replacing(output) as temporary,
        tarfile.open(temporary, "w:gz", compresslevel=6, format=tarfile.PAX_FORMAT) as tar,
    ):
        empty = tarfile.TarInfo(f"{folder}/.snakemake/incomplete")
        empty.type, empty.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(empty)  # without it Snakemake takes what it remembers for an older version's
        for file in found.files:
            with file.open("rb") as stream:
                info = tar.gettarinfo(arcname=f"{folder}/{file.as_posix()}", fileobj=stream)
                info.uid = info.gid = 0
                info.uname = info.gname = ""
                hashed = _Hashed(stream)
                tar.addfile(info, hashed)  # type: ignore[arg-type]  # it calls read alone
            sums.append(f"{hashed.digest.hexdigest()}  {file.as_posix()}")
        sums.append(f"{hashlib.sha256(note).hexdigest()}  {NOTE}")
        for name, content in ((NOTE, note), (SUMS, "\n".join([*sums, ""]).encode())):
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size, info.mtime = len(content), output.parent.stat().st_mtime
            tar.addfile(info, io.BytesIO(content))


def _note(study: Mapping[str, Any], study_file: str, found: Chosen) -> bytes:
    left = "".join(f"- `{file}`, {file.stat().st_size // 10**6} MB\n" for file in found.left_out)
    words = (
        "\nLeft out for their size, and made again from their definition when a run needs them:\n\n"
    )
    facts = {
        "study": study["study"],
        "time": time.strftime("%Y-%m-%d %H:%M %z"),
        "file": study_file,
        "config": ""
        if study_file == "config/config.yaml"
        else f"--configfile {shlex.quote(study_file)} ",
        "left": words + left if left else "",
        "sums": SUMS,
        **{key: value or "(no git)" for key, value in hardware.versions().items()},
    }
    return _TEXT.format(**facts).encode()


# -- checking ----------------------------------------------------------------------------------


def check(path: Path) -> str:
    """What is said of an archive, or of the folder that it was opened in, whose files are intact.

    Raises:
        UserError: they are not; a line for each fault.
    """
    if path.is_dir():
        sums = _sums(path / SUMS)
        faults = [*_faults(sums, _hashes(path, sums))]
    else:
        found, sums = _read(path)
        faults = [*_faults(sums, found)]
        faults += [f"{name}: not in {SUMS}" for name in found if name not in sums]
    if faults:
        raise UserError("\n".join(f"{path}: {fault}" for fault in faults))
    return f"{path}: {len(sums)} files, all as they were"


def _faults(sums: Mapping[str, str], found: Mapping[str, str]) -> Iterator[str]:
    for name, digest in sums.items():
        if name not in found:
            yield f"{name}: missing"
        elif found[name] != digest:
            yield f"{name}: changed: not the content of which {SUMS} has the hash"


def _sums(file: Path) -> dict[str, str]:
    try:
        return _parsed(file.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: no hashes of an archive can be read here: {error}") from error


def _parsed(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.split("  ", 1) for line in lines)
    return {name: digest for digest, name in pairs}


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = files.digest(folder / name)
        except OSError:
            continue
    return found


def _read(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The hashes of the files in an archive, and those that it says they have."""
    found: dict[str, str] = {}
    sums: dict[str, str] | None = None
    try:
        with tarfile.open(path, "r|gz") as tar:
            for member in tar:
                name = member.name.partition("/")[2]
                stream = tar.extractfile(member) if member.isfile() else None
                if stream is None:
                    continue
                if name == SUMS:
                    sums = _parsed(stream.read().decode().splitlines())
                else:
                    found[name] = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
    except (tarfile.TarError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path}: damaged, or not such an archive: {error}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
    if sums is None:
        raise UserError(f"{path}: not the archive of a study: there is no {SUMS} in it")
    return found, sums
