"""The optimizer laboratory: a study in, tables, figures and a page of answers out.

study -> run table -> prepared data sets -> one training job a run -> tables and figures -> page
"""

from snakemake.utils import min_version

min_version("9.27.1")


# -- configuration: a study named on the command line stands alone ---------------------------

if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


# -- rules -----------------------------------------------------------------------------------


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/confirm.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/page.smk"


# -- the end of a call: where the answers are, and what failed ---------------------------------


onsuccess:
    from optlab.runs import ending  # not needed to plan

    tidy()  # what a job still held when this call began
    told = ending.lines(RESULTS, [*RUNS.values()], SEARCHES.values())
    logger.info("\n".join(told), extra={"answer": True})


onerror:
    tidy()


# -- targets ---------------------------------------------------------------------------------


rule all:
    default_target: True
    input:
        rules.study.output,
        # Named here, so that what is missing is made again although the tables are there.
        results_of(EXERCISES),
        weights_of(EXERCISES),
        rules.tables.output,
        [str(page) for page in rules.page.output],
        PICTURES.values(),
        # Paths alone: their captions are named relative to the file of their rule.
        [str(picture) for picture in STUDY_PICTURES],
