"""Run every benchmark, or those named on the command line: run.py [NAME ...]."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
NAMES = (
    *("softmax_step", "cnn_step", "replicates", "language"),
    *(
        "warm_start",
        "whole_study",
        "study_size",
        "aggregation",
        "answer_page",
        "probe_time",
        "verdicts",
    ),
)


def main() -> int:
    import os

    environment = {**os.environ, "PYTHONPATH": str(HERE.parent / "workflow/scripts")}
    for name in sys.argv[1:] or NAMES:
        program = HERE / f"{name}.py"
        print(f"{name}: {program.read_text().partition('.')[0].strip(chr(34))}", flush=True)
        subprocess.run([sys.executable, "-W", "ignore", program], check=True, env=environment)
    return 0


if __name__ == "__main__":
    sys.exit(main())
