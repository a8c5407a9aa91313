"""Tables over all runs of the study.

In:  the metrics of every run.
Out: study.yaml (the study with every default filled in), tables/runs.tsv (a row a run) and
     tables/best.tsv (a row per exercise, data set, network and optimizer).
"""


def metrics_of(exercise):
    return [f"{run.folder}/metrics.tsv" for run in RUNS.values() if run.exercise == exercise]


rule study:
    output:
        f"{RESULTS}/study.yaml",
    log:
        f"{RESULTS}/logs/study.log",
    benchmark:
        f"{RESULTS}/logs/study.benchmark.tsv"
    params:
        text=studies.dump(STUDY),
    conda:
        "../envs/optlab.yaml"
    shell:
        """
        printf '%s' {params.text:q} > {output:q} 2> {log:q}
        """


rule tables:
    input:
        metrics=[file for exercise in STUDY["exercises"] for file in metrics_of(exercise)],
        study=rules.study.output,
        code=CODE("tables.py", "optlab/results.py", "optlab/statistics.py"),
    output:
        runs=report(
            f"{RESULTS}/tables/runs.tsv",
            category="Tables",
            labels={"table": "runs"},
            caption="../report/runs.rst",
        ),
        best=report(
            f"{RESULTS}/tables/best.tsv",
            category="Tables",
            labels={"table": "best settings"},
            caption="../report/best.rst",
        ),
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/logs/tables.benchmark.tsv"
    params:
        program=PROGRAM("tables.py"),
        folder=subpath(output.runs, parent=True),
    conda:
        "../envs/optlab.yaml"
    shell:
        """
        {PYTHON:q} {params.program:q} --study {input.study:q} \
            --output-folder {params.folder:q} > {log:q} 2>&1
        """
