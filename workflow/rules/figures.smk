"""Figures: one job an exercise draws all of its pictures, and a target for each exercise.

In:  the results of the exercise, and the part of the study that is about it.
Out: figures/<exercise>/*.svg, and figures/*.svg, which compare the problems of several exercises
"""

# Keys of an exercise on which no picture depends.
NOT_DRAWN = ("claims", "margin", "keep_weights", "log")

PICTURES = {
    exercise: [
        in_report(
            f"figures/{exercise}/{picture.name}.svg",
            settings.get("title", exercise),
            picture.labels,
            picture.kind,
        )
        for picture in plan.pictures(STUDY, exercise)
    ]
    for exercise, settings in EXERCISES.items()
}


for exercise in EXERCISES:

    rule:
        name:
            f"figures_{exercise}"
        input:
            results_of([exercise]),
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
            program=PROGRAM("figures.py"),
            code=triggers.digest("figures"),
            looks=drawn(exercise),
            exercise=exercise,
            # Not study.yaml, which any change of the study rewrites. `ancient()` does not work
            # here: once an upstream job runs, Snakemake no longer checks downstream jobs for
            # changes of their own.
            study=literal(reading.dump(reading.part(STUDY, exercise, leave=NOT_DRAWN))),
            folder=subpath(output[0], parent=True),
        shell:
            """
            python3 {params.program:q} --study /dev/stdin --exercise {params.exercise:q} \
                --output-folder {params.folder:q} >{log:q} 2>&1 <<<{params.study:q}
            """

    rule:
        name:
            exercise
        input:
            PICTURES[exercise],
            results_of([exercise]),
            weights_of([exercise]),


# The exercises that the pictures of the whole study compare.
RACED = list(dict.fromkeys(exercise for exercise, *_ in table.races(STUDY)[0]))
STUDY_PICTURES = [
    in_report(
        f"figures/{picture.name}.svg",
        "All exercises",
        picture.labels,
        picture.kind,
    )
    for picture in plan.of_study(STUDY)
]


if STUDY_PICTURES:

    rule figures_study:
        input:
            results_of(RACED),
        output:
            STUDY_PICTURES,
        log:
            f"{RESULTS}/logs/figures_study.log",
        benchmark:
            f"{RESULTS}/logs/figures_study.benchmark.tsv"
        localrule: True
        conda:
            "../envs/optlab.yaml"
        params:
            program=PROGRAM("figures.py"),
            code=triggers.digest("figures"),
            looks=drawn(*RACED),
            study=literal(reading.dump(reading.part(STUDY, *RACED, leave=NOT_DRAWN))),
            folder=subpath(output[0], parent=True),
        shell:
            """
            python3 {params.program:q} --study /dev/stdin --output-folder {params.folder:q} \
                >{log:q} 2>&1 <<<{params.study:q}
            """
