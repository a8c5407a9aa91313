"""Training: one job a run, which trains every seed of one point of the grid.

In:  a prepared data set, and the code that the digits depend on.
Out: metrics.tsv (a row per seed and evaluation) and run.json (settings, versions, times). Both
     are updated: when a study asks for more seeds, those that are there are kept.
"""


rule train:
    input:
        data=lambda w: run_of(w).data,
        tensors=lambda w: ancient(run_of(w).tensors),
        code=CODE("train.py"),
        own_code=lambda w: run_of(w).code,
    output:
        metrics=update(f"{RESULTS}/runs/{RUN}/metrics.tsv"),
        record=update(f"{RESULTS}/runs/{RUN}/run.json"),
    log:
        f"{RESULTS}/logs/{RUN}.log",
    benchmark:
        f"{RESULTS}/logs/{RUN}.benchmark.tsv"
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: run_threads(run_of(w))
    resources:
        mem_mb=lambda w, attempt: run_needs(w).mem_mb(attempt),
        runtime=lambda w, attempt: run_needs(w).runtime(attempt),
        predicted_seconds=lambda w, attempt: run_needs(w).predicted(attempt),
        nodes=lambda w: run_needs(w).nodes,
        gpu=lambda w: run_needs(w).gpu,
        gpu_model=lambda w: run_needs(w).gpu_model,
        gres=lambda w: run_needs(w).gres,
        alone=lambda w: int(run_of(w).timed),
        # A program for each node; here and not in `params`, which another machine must not change.
        spread=lambda w: run_needs(w).spread,
    params:
        launcher=PROGRAM("warm.py"),
        # The content of all modules as one text: as inputs, Snakemake would look at each of them
        # for each job and again at each choice of the next one, a third of its time.
        modules=DIGEST(*grid.TRAINING_CODE),
        settings=lambda w: run_of(w).arguments(),
        folder=subpath(output.metrics, parent=True),
        state=lambda w: run_of(w).state,
    shell:
        """
        {resources.spread} python3 {params.launcher:q} {input.code[0]:q} {params.settings:q} \
            --output {params.folder:q} --state {params.state:q} >{log:q} 2>&1
        """
