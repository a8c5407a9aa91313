"""Data sets, each prepared once for all studies.

In:  a source: downloaded, inside a package, or arrays of the user's own.
Out: results/data/<name>-<hash>.json, which describes it, and the tensors beside it. The hash is
     of everything the tensors depend on, and jobs depend on the description, which is compared by
     content; the tensors are `ancient` to them.
"""


rule prepare_data:
    output:
        json="results/data/{dataset}.json",
        tensors="results/data/{dataset}.pt",
    log:
        "results/data/logs/{dataset}.log",
    benchmark:
        "results/data/logs/{dataset}.benchmark.tsv"
    # A login node has the network that a compute node may lack.
    localrule: SITE.prepare_on == "login"
    conda:
        "../envs/optlab.yaml"
    params:
        program=PROGRAM("prepare_data.py"),
        # A function of `output` is not compared with the last call's: when archives or a file
        # move, nothing is prepared again, since the same content has the same name.
        options=lambda w, output: identity.arguments(
            *DATASETS[w.dataset],
            STUDY["archives"],
        ),
    shell:
        """
        python3 {params.program:q} {params.options:q} --output {output.json:q} >{log:q} 2>&1
        """
