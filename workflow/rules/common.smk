"""What all rules need: the study and its run table, the machines, and the programs. No rules.

In:  the configuration.
Out: STUDY (the resolved study), RUNS (path -> run), UNITS (path -> what is confirmed), SEARCHES
     (path -> search), SITE (the machines), and the functions that the rules call.
"""

import functools
import inspect
import runpy
import shlex
import sys
from pathlib import Path

sys.path.insert(0, f"{workflow.basedir}/workflow/scripts")

from optlab import errors

errors.say_interrupts()  # also during the imports that follow

from optlab import triggers
from optlab.catalogue import optimizers
from optlab.data import identity, known
from optlab.figures import plan
from optlab.machine import cluster, owner
from optlab.machine import resources as machine
from optlab.runs import weights
from optlab.study import kinds, reading, table
from optlab.study.kinds import search


def PROGRAM(name, folder="workflow/scripts"):
    """A program as seen from the working directory.

    Relative, so that moving the checkout plans nothing: Snakemake compares these texts.
    """
    return os.path.relpath(Path(workflow.basedir, folder, name))


def quick(function):
    """The function with its signature at hand, which Snakemake asks for at every job."""
    function.__signature__ = inspect.signature(function)
    return function


def literal(text):
    """A user's text as a parameter: of a plain one, Snakemake would take braces for wildcards."""
    return lambda wildcards: text


try:
    STUDY = reading.of_files(
        map(os.path.relpath, workflow.configfiles),
        workflow.config_settings.config_args or (),
    )
    RUNS = {run.path: run for run in table.runs(STUDY)}
    UNITS = {unit.path: unit for unit in table.units(STUDY)}
    # The machines of a cluster are described by its profile's `default-resources`.
    SAID = {
        name: resource.raw
        for name, resource in workflow.resource_settings._parsed_default_resources.items()
        if name in machine.Site.__dataclass_fields__
    }
    SITE = machine.Site.of(SAID)
    if workflow.is_main_process and "gpus_per_node" not in SAID:
        SITE = machine.this_machine(SITE, RUNS.values())
        # A run that waits for a GPU then holds no core. `optlab.machine.devices` says which GPU.
        if "gpu" not in workflow.global_resources:
            workflow.register_resource("gpu", SITE.gpus_per_node)
except errors.UserError as error:
    # A traceback or a WorkflowError would hide the one line that matters.
    errors.report(str(error))
    sys.exit(1)

RESULTS = f"results/{STUDY['study']}"
EXERCISES = STUDY["exercises"]
# A path, not `rules.study.output`: with that, Snakemake hashes all inputs of a rule once for each
# of them, which for thousands of runs takes longer than all the rest.
STUDY_FILE = f"{RESULTS}/study.yaml"
DATASETS = {
    Path(identity.prepared_path(name, one)).stem: (name, one)
    for name, definition in STUDY["datasets"].items()
    # Seeds may draw subsets of the whole training set.
    for one in (definition, identity.whole(definition))
}
SEARCHES = {one.path: one for one in search.every(STUDY)}

# With conda or a container the interpreter is theirs; else `python3` is the one that runs
# Snakemake, even if its environment has not been activated.
if not workflow.deployment_settings.deployment_method:
    shell.prefix(f"PATH={shlex.quote(os.path.dirname(sys.executable))}:$PATH; ")


# Its jobs end when this Snakemake is gone, also where it is killed.
owner.state()


def tidy():
    """Remove what killed warm interpreters have left: no other may follow them."""
    runpy.run_path(f"{workflow.basedir}/warm/leftovers.py")["remove_all"]()


if workflow.is_main_process:
    tidy()


# Here and not when jobs start, so that a plan (`-n`) has them, too.
if workflow.is_main_process:
    for line in known.notes(STUDY):
        logger.info(f"note: {line}", extra={"answer": True})


def probe():
    """Try what has not been tried, and say what is refused; the rest of the study goes on.

    Not a rule: Snakemake looks for no changes of jobs behind one that is to run, so that an edit
    would not train what it should. Jobs in other environments have another Python than this one.
    """
    if workflow.deployment_settings.deployment_method:
        return
    from optlab.probe import answers  # not needed to plan

    written = [*map(os.path.relpath, workflow.configfiles)]
    outcome = answers.of_study(STUDY, written, RUNS.values())
    if outcome.note:
        logger.info(f"not everything could be tried: {outcome.note}")
    for line in outcome.notes:
        logger.info(f"note: {line}")
    for line in outcome.lines:
        errors.report(line)
    if outcome.nothing_left:
        sys.exit(1)


onstart:
    # Once and in a line, before each job says it in many.
    try:
        cluster.check(workflow.executor_plugin.name, workflow.executor_settings)
        if workflow.is_main_process:
            probe()
    except (errors.UserError, KeyboardInterrupt) as error:
        errors.report(errors.message_of(error))
        sys.exit(1)


# A run's folder, in the wildcards that the rules share.
RUN = "{exercise}/{optimizer}/{problem}/{knobs}/{plan}"


wildcard_constraints:
    exercise="|".join(map(re.escape, EXERCISES)),
    optimizer="|".join(
        sorted({re.escape(run.path.split("/")[1]) for run in RUNS.values()})
    ),
    problem="[^/]+",
    knobs="[^/]+",
    plan="[^/]+",
    searched="[^/]+",
    worker="[0-9]+",
    dataset="|".join(map(re.escape, DATASETS)),


def run_of(w):
    return RUNS[f"{w.exercise}/{w.optimizer}/{w.problem}/{w.knobs}/{w.plan}"]


def unit_of(w):
    return UNITS[f"{w.exercise}/{w.optimizer}/{w.problem}"]


def search_of(w):
    return SEARCHES[f"{w.exercise}/{w.searched}"]


def search_text(w, leave):
    """The part of the study that a search's job reads; what cannot change its result is left out."""
    return reading.dump(reading.part(STUDY, w.exercise, leave=leave))


def search_code(rule, w):
    found = search_of(w)
    return f"{triggers.digest(rule, *found.parts)} {found.entries}"


@functools.cache
def _needs(predict, path):
    """What a job asks for, computed once for all of its attempts."""
    one = RUNS.get(path) or UNITS.get(path) or SEARCHES[path]
    return predict(one, STUDY["datasets"][one.dataset], SITE)


def requests(predict, subject):
    """The `resources` of a rule: `predict` says what the run or search of its job needs."""

    def of(w):
        return _needs(predict, subject(w).path)

    asked = {
        "mem_mb": lambda w, attempt: of(w).mem_mb(attempt),
        "runtime": lambda w, attempt: of(w).runtime(attempt),
        "predicted_seconds": lambda w, attempt: of(w).predicted(attempt),
        "nodes": lambda w: of(w).nodes,
        "gpu": lambda w: of(w).gpu,
        "gpu_model": lambda w: of(w).gpu_model,
    }
    return {name: quick(function) for name, function in asked.items()}


def run_threads(run):
    """The cores that a run occupies: all of them where its clock matters, so that it runs alone.

    On a cluster there is no such number; there, a timed run has its node to itself.
    """
    needs = _needs(machine.of_run, run.path)
    cores = workflow.resource_settings.cores if run.timed else None
    return max(run.threads * needs.processes, cores or 1)


def results_of(exercises):
    """The files that the tables and pictures of some exercises are made from."""
    return [
        file
        for name in exercises
        for file in kinds.of(EXERCISES[name]).results(STUDY, name)
    ]


def in_report(path, category, labels, caption):
    """An output that Snakemake's report shows."""
    place = f"../report/{caption}.rst"
    labels = {name: in_page(value) for name, value in labels.items()}
    return report(
        f"{RESULTS}/{path}", category=in_page(category), labels=labels, caption=place
    )


def in_page(text):
    """A user's text as the report's page can hold it, with invisible word joiners.

    Snakemake replaces wildcards in it, and writes it into a script, which `</script>` would end.
    """
    return re.sub("[{<]", "\\g<0>\u2060", errors.visible(text))


def drawn(*exercises):
    """How the catalogue wants the exercises' optimizers drawn: an edit of that draws again."""
    return repr([(name, one.label, one.look) for name, one in entries(exercises)])


def inclusions(exercises):
    """Which of the optimizers contain others: an edit of that makes the tables again."""
    return repr([(name, one.label, one.contains) for name, one in entries(exercises)])


def entries(exercises):
    """The optimizers of some exercises that are in the catalogue, with their entries."""
    sections = (EXERCISES[name].get("optimizers", {}) for name in exercises)
    names = dict.fromkeys(name for section in sections for name in section)
    return [
        (name, optimizers.OPTIMIZERS[name])
        for name in names
        if name in optimizers.OPTIMIZERS
    ]
