"""The answer page: what the study answers, in words, with every run behind it.

In:  the tables, and the metrics and records of all runs.
Out: index.html, one file that needs no network, and the first item of Snakemake's report.
"""


rule page:
    input:
        # With the metrics, the tables are made again, and this with them. The metrics themselves,
        # named once more, would be a seventh of the time in which 5,000 runs are planned.
        tables=rules.tables.output,
        study=STUDY_FILE,
    output:
        # The space is sorted before all exercises.
        in_report("index.html", " The answers", {"page": "the answers"}, "page"),
    log:
        f"{RESULTS}/logs/page.log",
    benchmark:
        f"{RESULTS}/logs/page.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        program=PROGRAM("page.py"),
        code=triggers.digest("page"),
        looks=drawn(*EXERCISES),
        tables=lambda w, input: os.path.dirname(input.tables[0]),
    shell:
        """
        python3 {params.program:q} --study {input.study:q} --tables {params.tables:q} \
            --output {output:q} >{log:q} 2>&1
        """
