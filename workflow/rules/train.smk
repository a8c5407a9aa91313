"""Training: one job a run, which trains every seed of one point of the grid.

In:  a prepared data set, and the code that the figures depend on.
Out: metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, times). Both
     are updated: when a study asks for more seeds, those that are there are kept. Of an exercise
     with `keep_weights` also weights-<seed>.pt, so that its rule, train_<exercise>, is its own.
"""

KEEPING = [
    name for name, one in EXERCISES.items() if one.get("keep_weights", "none") != "none"
]


def weights_of(exercises):
    """The files with the weights of the runs of some exercises, which keep them."""
    return [
        file
        for run in RUNS.values()
        if run.exercise in exercises
        for file in weights.files_of(run)
    ]


# Exercise with a rule of its own -> the exercises of the rule; those of None have the same one.
TRAINED_BY = {
    None: [name for name in EXERCISES if name not in KEEPING],
    **{name: [name] for name in KEEPING},
}

for exercise in TRAINED_BY:

    rule:
        name:
            f"train_{exercise}" if exercise else "train"
        input:
            data=quick(lambda w: run_of(w).data),
            tensors=quick(lambda w: ancient(run_of(w).tensors)),
            own_code=quick(lambda w: run_of(w).code),
        output:
            metrics=update(f"{RESULTS}/runs/{RUN}/metrics.tsv"),
            record=update(f"{RESULTS}/runs/{RUN}/run.json"),
            weights=[
                update(f"{RESULTS}/runs/{RUN}/weights-{seed}.pt")
                for seed in range(EXERCISES[exercise]["seeds"] if exercise else 0)
            ],
        log:
            f"{RESULTS}/logs/{RUN}.log",
        benchmark:
            f"{RESULTS}/logs/{RUN}.benchmark.tsv"
        wildcard_constraints:
            exercise="|".join(map(re.escape, TRAINED_BY[exercise])) or "(?!)",
        conda:
            "../envs/optlab.yaml"
        threads: quick(lambda w: run_threads(run_of(w)))
        resources:
            **requests(machine.of_run, run_of),
            gres=quick(lambda w: _needs(machine.of_run, run_of(w).path).gres),
            alone=quick(lambda w: int(run_of(w).timed)),
            # The command that starts the program on each node. Not in `params`: it depends on the
            # machine, which must not plan a run again.
            spread=quick(lambda w: _needs(machine.of_run, run_of(w).path).spread),
        params:
            launcher=PROGRAM("launcher.py", "warm"),
            program=PROGRAM("train.py"),
            # The content of all files as one text: as inputs, Snakemake would look at each of them
            # for each job and again at each choice of the next one, a third of its time.
            code=quick(lambda w: triggers.digest("train", *run_of(w).parts)),
            run=quick(lambda w: run_of(w).text()),
            folder=subpath(output.metrics, parent=True),
            state=quick(lambda w: run_of(w).state),
        shell:
            """
            exec {resources.spread} python3 {params.launcher:q} {params.program:q} --settings {params.run:q} \
                --output {params.folder:q} --state {params.state:q} --record-failure >{log:q} 2>&1
            """
