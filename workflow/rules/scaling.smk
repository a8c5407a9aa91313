"""Scaling: what more processes gain, and where the time goes.

In:  metrics.tsv and run.json of the timed runs of the scaling exercises, and the part of the study
     that is about them.
Out: tables/scaling.tsv (a row per kind of scaling, batch size, epochs and number of processes) and
     figures/<exercise>/*.svg, with a target for each exercise.
"""

SCALING_CODE = (
    *("optlab/results.py", "optlab/scaling.py", "optlab/scaling_laws.py"),
    *("optlab/statistics.py", "optlab/timed.py"),
)


rule scaling_tables:
    input:
        runs=timed_files(SCALINGS),
        study=STUDY_FILE,
        code=CODE("scaling_tables.py", *SCALING_CODE),
    output:
        report(
            f"{RESULTS}/tables/scaling.tsv",
            category="Tables",
            labels={"table": "scaling"},
            caption="../report/scaling.rst",
        ),
    log:
        f"{RESULTS}/logs/scaling_tables.log",
    benchmark:
        f"{RESULTS}/logs/scaling_tables.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        folder=subpath(output[0], parent=True),
    shell:
        """
        python3 {input.code[0]:q} --study {input.study:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1
        """


SCALING_PICTURES = {exercise: scaling_pictures_of(exercise) for exercise in SCALINGS}


for exercise in SCALINGS:

    rule:
        name:
            f"figures_{exercise}"
        input:
            runs=timed_files([exercise]),
            code=CODE(
                *("scaling_figures.py", "optlab/scaling_pictures.py"),
                *("optlab/scaling_panels.py", "optlab/style.py", *SCALING_CODE),
            ),
        output:
            SCALING_PICTURES[exercise],
        log:
            f"{RESULTS}/logs/figures_{exercise}.log",
        benchmark:
            f"{RESULTS}/logs/figures_{exercise}.benchmark.tsv"
        localrule: True
        conda:
            "../envs/optlab.yaml"
        params:
            exercise=exercise,
            study=studies.dump(studies.part(STUDY, exercise)),
            folder=subpath(output[0], parent=True),
        shell:
            """
            python3 {input.code[0]:q} --study /dev/stdin --exercise {params.exercise:q} \
                --output-folder {params.folder:q} >{log:q} 2>&1 <<<{params.study:q}
            """

    rule:
        name:
            exercise
        input:
            SCALING_PICTURES[exercise],
            timed_files([exercise]),
