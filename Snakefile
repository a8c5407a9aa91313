"""The optimizer laboratory: a study in, tables, figures and a report out.

study -> run table -> prepared data sets -> one training job a run -> tables and figures -> report
"""

# -- configuration: a study named on the command line stands alone ---------------------------

if not workflow.configfiles:

    configfile: f"{workflow.basedir}/config/config.yaml"


report: "workflow/report/workflow.rst"


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
