#!/bin/sh
# {properties}
# What Grid Engine runs: the job, whose exit status is then written to a file beside its log. That
# file is renamed into place, since another host may read it at any moment; a killed job leaves none.
ended() {{
    status=$?
    file=.snakemake/sge_logs/$JOB_ID.status
    echo "$status" >"$SGE_O_WORKDIR/$file.new" && mv "$SGE_O_WORKDIR/$file.new" "$SGE_O_WORKDIR/$file"
    # Of a job that went well, the log says nothing.
    [ "$status" != 0 ] || rm -f "$SGE_STDOUT_PATH"
    exit "$status"
}}
trap ended EXIT
{exec_job}
