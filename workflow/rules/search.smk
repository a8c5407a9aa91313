"""Searches: Optuna chooses what to train next, and several jobs share one search.

In:  a prepared data set, and the part of the study that the trials depend on.
Out: worker-<number>.json (a record of each worker), trials.json (every trial), the best setting
     trained anew for every seed (best/metrics.tsv, best/run.json), tables/trials.tsv (a row a
     trial), tables/search.tsv (a row a search) and figures/<exercise>/*.svg.

The trials themselves lie in a journal that no rule lists: Snakemake would delete it before a
worker starts, and each worker is to continue it.
"""


rule search_worker:
    input:
        data=lambda w: search_of(w).data,
        tensors=lambda w: ancient(search_of(w).tensors),
        code=CODE(*search_plan.CODE),
    output:
        f"{RESULTS}/search/{{exercise}}/{{searched}}/worker-{{worker}}.json",
    log:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/worker-{{worker}}.log",
    benchmark:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/worker-{{worker}}.benchmark.tsv"
    wildcard_constraints:
        searched="[^/]+",
        worker="[0-9]+",
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: search_of(w).threads
    resources:
        mem_mb=lambda w, attempt: worker_needs(w).mem_mb(attempt),
        runtime=lambda w, attempt: worker_needs(w).runtime(attempt),
        predicted_seconds=lambda w, attempt: worker_needs(w).predicted(attempt),
        nodes=lambda w: worker_needs(w).nodes,
        gpu=lambda w: worker_needs(w).gpu,
        gpu_model=lambda w: worker_needs(w).gpu_model,
    params:
        launcher=PROGRAM("warm.py"),
        study=lambda w: search_text(w.exercise, trials_only=True),
    shell:
        """
        python3 {params.launcher:q} {input.code[0]:q} --study /dev/stdin \
            --exercise {wildcards.exercise:q} --dataset {wildcards.searched:q} \
            --worker {wildcards.worker} --output {output:q} >{log:q} 2>&1 <<<{params.study:q}
        """


rule retrain:
    input:
        workers=lambda w: search_of(w).worker_files(),
        data=lambda w: search_of(w).data,
        tensors=lambda w: ancient(search_of(w).tensors),
        code=CODE(*search_plan.RETRAINING_CODE),
    output:
        trials=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/trials.json"),
        metrics=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/best/metrics.tsv"),
        record=update(f"{RESULTS}/search/{{exercise}}/{{searched}}/best/run.json"),
    log:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/retrain.log",
    benchmark:
        f"{RESULTS}/logs/search/{{exercise}}/{{searched}}/retrain.benchmark.tsv"
    wildcard_constraints:
        searched="[^/]+",
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: search_of(w).threads
    resources:
        mem_mb=lambda w, attempt: retraining_needs(w).mem_mb(attempt),
        runtime=lambda w, attempt: retraining_needs(w).runtime(attempt),
        predicted_seconds=lambda w, attempt: retraining_needs(w).predicted(attempt),
        nodes=lambda w: retraining_needs(w).nodes,
        gpu=lambda w: retraining_needs(w).gpu,
        gpu_model=lambda w: retraining_needs(w).gpu_model,
    params:
        launcher=PROGRAM("warm.py"),
        study=lambda w: search_text(w.exercise),
        folder=subpath(output.trials, parent=True),
    shell:
        """
        python3 {params.launcher:q} {input.code[0]:q} --study /dev/stdin \
            --exercise {wildcards.exercise:q} --dataset {wildcards.searched:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1 <<<{params.study:q}
        """


rule search_tables:
    input:
        trials=finished_searches(STUDY["exercises"]),
        study=STUDY_FILE,
        code=CODE("search_tables.py", "optlab/statistics.py"),
    output:
        trials=report(
            f"{RESULTS}/tables/trials.tsv",
            category="Tables",
            labels={"table": "trials of the searches"},
            caption="../report/trials.rst",
        ),
        search=report(
            f"{RESULTS}/tables/search.tsv",
            category="Tables",
            labels={"table": "searches"},
            caption="../report/search.rst",
        ),
    log:
        f"{RESULTS}/logs/search_tables.log",
    benchmark:
        f"{RESULTS}/logs/search_tables.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        folder=subpath(output.trials, parent=True),
    shell:
        """
        python3 {input.code[0]:q} --study {input.study:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1
        """


SEARCH_PICTURES = {
    exercise: search_pictures_of(exercise)
    for exercise in dict.fromkeys(search.exercise for search in SEARCHES.values())
}


for exercise in SEARCH_PICTURES:

    rule:
        name:
            f"figures_{exercise}"
        input:
            trials=finished_searches([exercise]),
            code=CODE(
                "search_figures.py", "optlab/search_pictures.py", "optlab/style.py"
            ),
        output:
            SEARCH_PICTURES[exercise],
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
            SEARCH_PICTURES[exercise],
            finished_searches([exercise]),
