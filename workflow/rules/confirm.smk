"""Confirmation: one job for each optimizer on a problem, after the runs of its grid.

In:  the metrics of these runs.
Out: confirmed.json (the chosen setting, and the runs that were added beyond an end of the grid).
     The added runs and the confirmation seeds are in runs/ and confirm/; no rule lists them, since
     which they are is known only when the grid has been trained.
"""


rule confirm:
    input:
        metrics=lambda w: [f"{run.folder}/metrics.tsv" for run in unit_of(w).runs],
        data=lambda w: unit_of(w).runs[0].data,
        tensors=lambda w: ancient(unit_of(w).runs[0].tensors),
        own_code=lambda w: unit_of(w).code,
    output:
        update(
            f"{RESULTS}/confirm/{{exercise}}/{{optimizer}}/{{problem}}/confirmed.json"
        ),
    log:
        f"{RESULTS}/logs/confirm/{{exercise}}/{{optimizer}}/{{problem}}.log",
    benchmark:
        f"{RESULTS}/logs/confirm/{{exercise}}/{{optimizer}}/{{problem}}.benchmark.tsv"
    conda:
        "../envs/optlab.yaml"
    threads: lambda w: run_threads(unit_of(w).widest)
    resources:
        **requests(machine.of_unit, unit_of),
        gres=lambda w: _needs(machine.of_unit, unit_of(w).path).gres,
        spread=lambda w: _needs(machine.of_unit, unit_of(w).path).spread,
    params:
        launcher=PROGRAM("launcher.py", "warm"),
        program=PROGRAM("confirm.py"),
        code=lambda w: " ".join(
            triggers.digest(rule, *unit_of(w).parts) for rule in ("confirm", "train")
        ),
        unit=lambda w: unit_of(w).text(),
    shell:
        """
        exec python3 {params.launcher:q} {params.program:q} --output {output:q} \
            --spread={resources.spread:q} >{log:q} 2>&1 <<<{params.unit:q}
        """
