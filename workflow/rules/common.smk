"""What every rule needs: the study, its run table, and where programs lie. No rules.

In:  the configuration.
Out: STUDY (the resolved study), RUNS (run path -> run), PROGRAM(), CODE(), PYTHON, REPORT.
"""

import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from optlab import grid, pictures
from optlab import study as studies
from optlab.errors import UserError


def PROGRAM(name):
    """A program or module as seen from the working directory.

    Relative, so that a checkout that is moved plans nothing: Snakemake compares these texts.
    """
    return os.path.relpath(SCRIPTS / name)


def CODE(*names):
    """Programs as inputs: Snakemake compares such small files by content, not by time."""
    return [PROGRAM(name) for name in names]


try:
    STUDY = studies.resolve(config, map(os.path.relpath, workflow.configfiles))
    RUNS = {run.path: run for run in grid.runs(STUDY)}
except UserError as mistakes:
    # A traceback or a WorkflowError would bury the one line that matters.
    print(*(f"error: {line}" for line in str(mistakes).splitlines()), sep="\n", file=sys.stderr)
    sys.exit(1)

RESULTS = f"results/{STUDY['study']}"
DATASETS = {Path(grid.prepared(STUDY, name)).stem: name for name in STUDY["datasets"]}

# With conda or a container the interpreter is theirs; else it is the one that runs Snakemake,
# also where its environment has not been activated.
PYTHON = "python" if workflow.deployment_settings.deployment_method else sys.executable


# A run's folder, in the wildcards that the rules share.
RUN = "{exercise}/{optimizer}/{problem}/{knobs}/{plan}"


wildcard_constraints:
    exercise="|".join(map(re.escape, STUDY["exercises"])),
    optimizer="|".join(sorted({re.escape(run.path.split("/")[1]) for run in RUNS.values()})),
    problem="[^/]+",
    knobs="[^/]+",
    plan="[^/]+",
    dataset="|".join(map(re.escape, DATASETS)),
