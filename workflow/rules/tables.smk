"""Tables over all runs of the study.

In:  the metrics of every run.
Out: study.yaml (the study with every default filled in), tables/runs.tsv (a row a run),
     tables/best.tsv (a row per exercise, data set, network and optimizer),
     tables/optimizers.tsv (the same rows by rank, with tests of the differences), both without
     scaling exercises, which have a table of their own, and tables/claims.tsv (a row for each
     statement of the study's sources, with its verdict).
"""


rule study:
    output:
        STUDY_FILE,
    log:
        f"{RESULTS}/logs/study.log",
    benchmark:
        f"{RESULTS}/logs/study.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        text=studies.dump(STUDY),
    shell:
        """
        printf '%s' {params.text:q} >{output:q} 2>{log:q}
        """


rule tables:
    input:
        metrics=[
            file for exercise in SWEEPS + SCALINGS for file in metrics_of(exercise)
        ],
        study=STUDY_FILE,
        code=CODE(
            "tables.py",
            "optlab/claims.py",
            "optlab/comparison.py",
            "optlab/results.py",
            "optlab/statistics.py",
            "optlab/verdicts.py",
        ),
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
        optimizers=report(
            f"{RESULTS}/tables/optimizers.tsv",
            category="Tables",
            labels={"table": "optimizers"},
            caption="../report/optimizers.rst",
        ),
        claims=report(
            f"{RESULTS}/tables/claims.tsv",
            category="Tables",
            labels={"table": "claims"},
            caption="../report/claims.rst",
        ),
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/logs/tables.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        folder=subpath(output.runs, parent=True),
    shell:
        """
        python3 {input.code[0]:q} --study {input.study:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1
        """
