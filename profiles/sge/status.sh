#!/bin/sh
# What has become of a Grid Engine job: running, success or failed.
#
#   status.sh SECONDS JOB    SECONDS: how late a job's status file may be on a network disk
#
# A job that has ended has left its exit status in a file (jobscript.sh). One that was killed has not:
# it is missing from the queue, of which one list serves all jobs for some seconds. Accounts (`qacct`)
# are not asked: they may be closed to users, late, or gigabytes to read.
late=$1 job=$2
cd .snakemake/sge_logs || exit 1

ended() {
    [ -e "$job.status" ] || return 1
    read -r status <"$job.status"
    if [ "$status" = 0 ]; then echo success; else echo failed; fi
    rm -f "$job.status" "$job.missing"
}

# The state of the job in the queue, such as r or qw; nothing where it is not there.
state() { awk -v job="$job" '$1 == job { print $5; exit }' queue; }

# Lists the user's jobs again; if the scheduler does not answer, every job counts as running.
list() {
    if qstat -u "$(id -un)" >queue.new 2>/dev/null; then mv queue.new queue; else echo running; exit; fi
}

ended && exit
[ -n "$(find queue -newermt '-5 seconds' 2>/dev/null)" ] || list
[ -n "$(state)" ] || list  # it may have been submitted after the list was made
case $(state) in
    "") ;;
    *E*) # the scheduler could not start it, and keeps it until somebody looks
        qdel "$job" >/dev/null 2>&1
        echo failed
        exit ;;
    *) rm -f "$job.missing"; echo running; exit ;;
esac

ended && exit  # while the list was made
[ -e "$job.missing" ] || : >"$job.missing"
if [ -n "$(find "$job.missing" -newermt "-$late seconds")" ]; then
    echo running
else
    rm -f "$job.missing"
    echo failed
fi
