"""The optimizer laboratory: a study in, tables, figures and a report out.

study -> run table -> prepared data sets -> one training job a run -> tables and figures -> report
"""

# -- configuration: a study named on the command line stands alone ---------------------------

if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


# -- scheduling ------------------------------------------------------------------------------


onstart:
    # Snakemake keeps to 100 jobs a second, which is meant for a cluster. For that it looks at the
    # jobs again a second after each choice, and each look that finds some brings another: a thousand
    # a second after a thousand runs. At its end it waits for the last of them. Here the cores are the
    # limit.
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


# -- rules -----------------------------------------------------------------------------------


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/search.smk"
include: "workflow/rules/scaling.smk"


# -- targets ---------------------------------------------------------------------------------


rule all:
    default_target: True
    input:
        rules.study.output,
        rules.tables.output if RUNS else [],
        PICTURES.values(),
        rules.search_tables.output if SEARCHES else [],
        SEARCH_PICTURES.values(),
        rules.scaling_tables.output if SCALINGS else [],
        SCALING_PICTURES.values(),
