"""What all rules need: the study, its run table, and where programs lie. No rules.

In:  the configuration.
Out: STUDY (the resolved study), SWEEPS (its exercises that train a grid), SCALINGS (those that
     measure scaling), RUNS (run path -> run), SEARCHES (search path -> search), SITE (the machines),
     and the functions that the rules call.
"""

import functools
import hashlib
import shlex
import sys
from pathlib import Path

SCRIPTS = Path(workflow.basedir) / "workflow/scripts"
sys.path.insert(0, str(SCRIPTS))

from optlab import grid, pictures, resources, scaling_plan, search_plan
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


def DIGEST(*names):
    """One text for the content of programs and modules."""
    contents = [(SCRIPTS / name).read_bytes() for name in names]
    return hashlib.sha256(repr(contents).encode()).hexdigest()[:16]


try:
    STUDY = studies.resolve(config, map(os.path.relpath, workflow.configfiles))
    RUNS = {run.path: run for run in grid.runs(STUDY)}
    # What a cluster's profile says of its machines, as `default-resources`; else it is this one.
    SAID = {
        name: resource.raw
        for name, resource in workflow.resource_settings._parsed_default_resources.items()
        if name in resources.Site.__dataclass_fields__
    }
    SITE = resources.Site.of(SAID)
    if workflow.is_main_process and "gpus_per_node" not in SAID:
        SITE = resources.this_machine(SITE, RUNS.values())
        # Runs that wait for a GPU then hold no core; which GPU is theirs, `optlab.devices` decides.
        if "gpu" not in workflow.global_resources:
            workflow.register_resource("gpu", SITE.gpus_per_node)
except UserError as mistakes:
    # A traceback or a WorkflowError would bury the one line that matters.
    print(
        *(f"error: {line}" for line in str(mistakes).splitlines()),
        sep="\n",
        file=sys.stderr,
    )
    sys.exit(1)

SWEEPS = [
    name for name, exercise in STUDY["exercises"].items() if exercise["kind"] == "sweep"
]
SCALINGS = [
    name
    for name, exercise in STUDY["exercises"].items()
    if scaling_plan.is_scaling(exercise)
]
RESULTS = f"results/{STUDY['study']}"
# A path, not `rules.study.output`: with that, Snakemake hashes all inputs of a rule once for each
# of them, which for thousands of runs takes longer than all the rest.
STUDY_FILE = f"{RESULTS}/study.yaml"
DATASETS = {Path(grid.prepared(STUDY, name)).stem: name for name in STUDY["datasets"]}

SEARCHES = {search.path: search for search in search_plan.searches(STUDY)}

# With conda or a container the interpreter is theirs; else `python3` is the one that runs
# Snakemake, also where its environment has not been activated.
if not workflow.deployment_settings.deployment_method:
    shell.prefix(f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")


# A run's folder, in the wildcards that the rules share.
RUN = "{exercise}/{optimizer}/{problem}/{knobs}/{plan}"


wildcard_constraints:
    exercise="|".join(map(re.escape, STUDY["exercises"])),
    optimizer="|".join(
        sorted({re.escape(run.path.split("/")[1]) for run in RUNS.values()})
    ),
    problem="[^/]+",
    knobs="[^/]+",
    plan="[^/]+",
    dataset="|".join(map(re.escape, DATASETS)),


def run_of(w):
    return RUNS[f"{w.exercise}/{w.optimizer}/{w.problem}/{w.knobs}/{w.plan}"]


@functools.cache
def _needs_of(kind, path):
    """What a job asks for, worked out once for all of its attempts."""
    of, found = {
        "run": (resources.of_run, RUNS),
        "worker": (resources.of_worker, SEARCHES),
        "retraining": (resources.of_retraining, SEARCHES),
    }[kind]
    one = found[path]
    return of(one, STUDY["datasets"][one.dataset], SITE)


def run_needs(w):
    return _needs_of("run", run_of(w).path)


def worker_needs(w):
    return _needs_of("worker", search_of(w).path)


def retraining_needs(w):
    return _needs_of("retraining", search_of(w).path)


def run_threads(run):
    """The cores that a run occupies: all of them where its clock matters, so that it runs alone.

    On a cluster there is no such number; there, a run is alone on its node.
    """
    needs = _needs_of("run", run.path)
    cores = workflow.resource_settings.cores if run.timed else None
    return max(run.threads * needs.processes, cores or 1)


def metrics_of(exercise):
    return [
        f"{run.folder}/metrics.tsv" for run in RUNS.values() if run.exercise == exercise
    ]


def timed_files(exercises):
    """What the runs of scaling exercises left."""
    return [
        f"{run.folder}/{name}"
        for run in RUNS.values()
        if run.exercise in exercises
        for name in ("metrics.tsv", "run.json")
    ]


def pictures_of(exercise):
    """The pictures of an exercise that trains a grid, for the report."""
    return [
        in_report(exercise, picture.name, picture.kind, picture.labels)
        for picture in pictures.pictures(STUDY, exercise)
    ]


def in_report(exercise, name, kind, labels):
    return report(
        f"{RESULTS}/figures/{exercise}/{name}.svg",
        category=STUDY["exercises"][exercise].get("title", exercise),
        labels=labels,
        caption=f"../report/{kind}.rst",
    )


def search_of(w):
    return SEARCHES[f"{w.exercise}/{w.searched}"]


def search_text(exercise, **keywords):
    """The study as the jobs of a search read it; what cannot change their result is left out."""
    return studies.dump(search_plan.part(studies.part(STUDY, exercise), **keywords))


def search_pictures_of(exercise):
    """The pictures of a search, for the report."""
    return [
        in_report(
            exercise,
            name,
            f"search-{kind}",
            {"picture": search_plan.PICTURES[kind], "dataset": dataset},
        )
        for name, kind, dataset in search_plan.pictures(STUDY, exercise)
    ]


def scaling_pictures_of(exercise):
    """The pictures of a scaling exercise, for the report."""
    return [
        in_report(exercise, picture.name, f"scaling-{picture.kind}", picture.labels)
        for picture in scaling_plan.pictures(STUDY, exercise)
    ]


def finished_searches(exercises):
    found = [search for search in SEARCHES.values() if search.exercise in exercises]
    return [
        f"{search.folder}/{name}"
        for search in found
        for name in ("trials.json", "best/metrics.tsv")
    ]
