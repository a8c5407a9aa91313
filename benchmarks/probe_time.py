"""The probe of the default study: its time from nothing, with a warm interpreter, and when known.

No data set is prepared, as before the first call of the workflow. One process tries everything that
the study names.
"""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

from optlab.probe import answers, questions
from optlab.study import reading

STUDY = Path(__file__).resolve().parents[1] / "config/config.yaml"
ROUNDS = 5


def seconds(study: dict) -> float:
    start = time.perf_counter()
    outcome = answers.of_study(study, [str(STUDY)])
    assert not outcome.lines and not outcome.note, outcome
    return time.perf_counter() - start


def main() -> None:
    study = reading.load(STUDY)
    asked = questions.of_study(study)
    found: dict[str, list[float]] = {"from nothing": [], "warm": [], "known": []}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for _ in range(ROUNDS):
            # Where a warm interpreter has its socket: one that no other call knows.
            os.environ["TMPDIR"] = tempfile.mkdtemp(dir=folder)
            for name in found:
                if name != "known":
                    shutil.rmtree("results", ignore_errors=True)
                found[name].append(seconds(study))
        os.chdir("/")
    for name, times in found.items():
        middle = statistics.median(times)
        print(f"{name}: {middle:.2f} s ({min(times):.2f} to {max(times):.2f})")
    print(f"{len(asked)} questions, {ROUNDS} rounds")


if __name__ == "__main__":
    main()
