"""Searches: Optuna chooses what to train next, and several jobs share one search.

In:  a prepared data set, and the part of the study that the trials depend on.
Out: worker-<number>.json (a record of each worker), trials.json (every trial), and the best setting
     trained again for every seed (best/metrics.tsv, best/run.json).

The trials themselves are in a journal that no rule lists: Snakemake would delete it before a worker
starts, and each worker must continue it.
"""


rule search_worker:
    input:
        data=lambda w: search_of(w).data,
        tensors=lambda w: ancient(search_of(w).tensors),
    output:
        f"{RESULTS}/search/{{exercise}}/{{searched}}/worker-{{worker}}.json",
    log:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/worker-{{worker}}.log",
    benchmark:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/worker-{{worker}}.benchmark.tsv"
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: search_of(w).threads
    resources:
        **requests(machine.of_worker, search_of),
    params:
        launcher=PROGRAM("launcher.py", "warm"),
        program=PROGRAM("search.py"),
        code=lambda w: search_code("search_worker", w),
        study=lambda w: search_text(w, search.NOT_TRIALS),
    shell:
        """
        exec python3 {params.launcher:q} {params.program:q} --study /dev/stdin \
            --exercise {wildcards.exercise:q} --dataset {wildcards.searched:q} \
            --worker {wildcards.worker} --output {output:q} >{log:q} 2>&1 <<<{params.study:q}
        """


rule retrain:
    input:
        workers=lambda w: search_of(w).worker_files(),
        data=lambda w: search_of(w).data,
        tensors=lambda w: ancient(search_of(w).tensors),
    output:
        trials=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/trials.json"),
        metrics=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/best/metrics.tsv"),
        record=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/best/run.json"),
    log:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/retrain.log",
    benchmark:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/retrain.benchmark.tsv"
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: search_of(w).threads
    resources:
        **requests(machine.of_retraining, search_of),
    params:
        launcher=PROGRAM("launcher.py", "warm"),
        program=PROGRAM("retrain.py"),
        code=lambda w: search_code("retrain", w),
        study=lambda w: search_text(w, search.NOT_RETRAINING),
        folder=subpath(output.trials, parent=True),
    shell:
        """
        exec python3 {params.launcher:q} {params.program:q} --study /dev/stdin \
            --exercise {wildcards.exercise:q} --dataset {wildcards.searched:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1 <<<{params.study:q}
        """
