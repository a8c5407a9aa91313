"""Figures: one job an exercise draws all of its pictures, and a target for each exercise.

In:  the metrics of the exercise's runs, and the part of the study that is about it.
Out: figures/<exercise>/*.svg
"""

FIGURE_CODE = CODE(
    "figures.py",
    *(
        f"optlab/{module}.py"
        for module in (
            "curves",
            "drawing",
            "figures",
            "panels",
            "pictures",
            "results",
            "statistics",
            "style",
            "theory",
        )
    ),
)


PICTURES = {exercise: pictures_of(exercise) for exercise in SWEEPS}

for exercise in SWEEPS:

    rule:
        name:
            f"figures_{exercise}"
        input:
            metrics=metrics_of(exercise),
            code=FIGURE_CODE,
        output:
            PICTURES[exercise],
        log:
            f"{RESULTS}/logs/figures_{exercise}.log",
        benchmark:
            f"{RESULTS}/logs/figures_{exercise}.benchmark.tsv"
        localrule: True
        conda:
            "../envs/optlab.yaml"
        params:
            exercise=exercise,
            # Not study.yaml, which any change of the study rewrites. And `ancient` will not do: of
            # the jobs behind one that runs, Snakemake examines none for reasons of its own.
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
            PICTURES[exercise],
            metrics_of(exercise),
