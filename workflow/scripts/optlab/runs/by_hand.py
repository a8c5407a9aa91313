"""The runs that people trained by calling ``train.py`` themselves, without a study."""

from pathlib import Path

from optlab import files
from optlab.study.run import BY_HAND, Run

STUDY = BY_HAND  # no study can have it
FOLDER = f"results/{STUDY}"


def runs() -> list[Run]:
    """Those with a record, the newest first; without those that failed, or were moved elsewhere."""
    found = []
    for file in Path(FOLDER).rglob("run.json"):
        record = files.read_object(file)
        try:
            run = Run(study=STUDY, **record["settings"])
        except (KeyError, TypeError):
            continue  # damaged, or of a version that had other settings
        if "failure" not in record and Path(run.folder) == file.parent:
            found.append((file.stat().st_mtime_ns, run))
    return [run for _, run in sorted(found, key=lambda one: one[0], reverse=True)]
