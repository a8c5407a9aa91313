"""Tables over all results of the study.

In:  the results of every exercise.
Out: study.yaml (the study with every default filled in), and the tables that the kinds of its
     exercises fill (`TABLES` in optlab/study/kinds); config/README.md describes their columns.
"""

TABLES = {
    name: in_report(f"tables/{name}.tsv", "Tables", {"table": label}, name)
    for exercise in EXERCISES.values()
    for name, label in kinds.of(exercise).TABLES.items()
}


rule study:
    output:
        STUDY_FILE,
    log:
        f"{RESULTS}/logs/study.log",
    benchmark:
        f"{RESULTS}/logs/study.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        text=literal(reading.dump(STUDY)),
    shell:
        """
        printf '%s' {params.text:q} >{output:q} 2>{log:q}
        """


rule tables:
    input:
        results=results_of(EXERCISES),
        study=STUDY_FILE,
    output:
        **TABLES,
    log:
        f"{RESULTS}/logs/tables.log",
    benchmark:
        f"{RESULTS}/logs/tables.benchmark.tsv"
    localrule: True
    conda:
        "../envs/optlab.yaml"
    params:
        program=PROGRAM("tables.py"),
        code=triggers.digest("tables"),
        inclusions=inclusions(EXERCISES),
        folder=subpath(output[0], parent=True),
    shell:
        """
        python3 {params.program:q} --study {input.study:q} \
            --output-folder {params.folder:q} >{log:q} 2>&1
        """
