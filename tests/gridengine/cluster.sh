#!/usr/bin/env bash
# A real Grid Engine on this one machine, for the tests; from Debian's packages, as root.
#
#   cluster.sh check         say in one line why it cannot be here (exit 1), or nothing
#   cluster.sh start [PID]   install what is missing and start; gone when process PID is gone
#   cluster.sh stop          end jobs and daemons; their files stay
#   cluster.sh wipe          stop, and leave nothing behind
#   cluster.sh env           what a shell needs to reach it: eval "$(cluster.sh env)"
#   cluster.sh status        the queue and the jobs in it; exit 1 where there is none
#
# One host with eight slots and four GPUs, which are pretended: the machine has what it has. Files
# and ports are the cluster's own, so that another Grid Engine on the machine is left alone.
set -Eeuo pipefail

ROOT=${OPTLAB_GRIDENGINE_ROOT:-/tmp/optlab-gridengine}   # everything that the cluster writes
SLOTS=8 MEMORY=64G GPUS=4                                # of the host
# The last one in place of a mail server, which the first would bring along.
PACKAGES=(gridengine-master gridengine-exec gridengine-client msmtp-mta)
PROGRAMS=(/usr/sbin/sge_qmaster /usr/sbin/sge_execd /usr/bin/qconf)

export OPTLAB_GRIDENGINE_ROOT=$ROOT            # marks daemons and jobs as this cluster's
export SGE_ROOT=$ROOT/sge SGE_CELL=default SGE_QMASTER_PORT=16944 SGE_EXECD_PORT=16945
unset SGE_ARCH                                 # Debian's commands work it out

fail() { echo "test cluster: $*" >&2; exit 1; }

wait_for() {  # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "timed out: $*"; return 1; }
        sleep 0.1
    done
}

check() {
    [ "$(id -u)" = 0 ] || { echo "the test cluster needs root"; return 1; }
    [ -e /etc/debian_version ] && command -v apt-get >/dev/null \
        || { echo "the test cluster needs Debian's packages"; return 1; }
}

install_packages() {
    ls "${PROGRAMS[@]}" >/dev/null 2>&1 && return
    export DEBIAN_FRONTEND=noninteractive
    # Neither a cluster of Debian's making nor its daemons.
    local policy=/usr/sbin/policy-rc.d made=
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
    echo "gridengine-common shared/gridengineconfig boolean false" | debconf-set-selections
    apt-get update -qq || true
    apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" || return
    [ -z "$made" ] || rm -f $policy
}

# -- configuration ---------------------------------------------------------------------------------

prepare() {
    local common=$SGE_ROOT/$SGE_CELL/common
    mkdir -p "$common" "$ROOT/spool/qmaster/job_scripts" "$ROOT/spool/db"
    ln -s /usr/share/gridengine/util "$SGE_ROOT/util"
    sed -e "s|^admin_user .*|admin_user root|" \
        -e "s|^spooling_params .*|spooling_params $ROOT/spool/db|" \
        -e "s|^qmaster_spool_dir .*|qmaster_spool_dir $ROOT/spool/qmaster|" \
        /usr/share/gridengine/default-bootstrap >"$common/bootstrap"
    echo localhost >"$common/act_qmaster"
    # Else a client whose host has another name is refused.
    echo "localhost $(hostname) $(hostname -s)" >"$common/host_aliases"
    /usr/share/gridengine/scripts/init_cluster "$SGE_ROOT" $SGE_CELL "$ROOT/spool/db" root
}

# change SHOW WRITE NAME VALUE...: lines "NAME something" of what SHOW prints, replaced and written.
change() {
    local file=$ROOT/run/change show=$1 write=$2; shift 2
    [ "$write" != -Mconf ] || file=$ROOT/run/global  # there, the file's name is the subject's
    # shellcheck disable=SC2086
    SGE_SINGLE_LINE=1 qconf $show >"$file"
    while [ $# -gt 0 ]; do
        sed -i -E "s|^$1[[:space:]].*|$1 $2|" "$file"
        shift 2
    done
    qconf "$write" "$file"
}

# Root may submit, and nothing waits for a timer that is meant for thousands of jobs.
configure() {
    change "-sconf global" -Mconf min_uid 0 min_gid 0 gid_range 20000-20100 load_report_time 0:0:2 \
        execd_spool_dir "$ROOT/spool/execd" reporting_params \
        "accounting=true reporting=false flush_time=0:0:1 accounting_flush_time=0:0:0 joblog=false"
    change -ssconf -Msconf schedule_interval 0:0:2 flush_submit_sec 1 flush_finish_sec 1 \
        job_load_adjustments NONE load_formula slots
    qconf -as localhost
}

# What many sites have: memory and GPUs are handed out, and the processors of one host by `-pe smp`.
open_queue() {
    { qconf -sc | sed '/^h_vmem /d'
      echo "h_vmem h_vmem MEMORY <= YES YES 1G 0"
      echo "gpu gpu INT <= YES YES 0 0"; } >"$ROOT/run/complexes"
    qconf -Mc "$ROOT/run/complexes"
    qconf -aattr exechost complex_values h_vmem=$MEMORY,gpu=$GPUS localhost
    printf '%s\n' "pe_name smp" "slots 999" 'allocation_rule $pe_slots' "job_is_first_task TRUE" \
        "control_slaves FALSE" "accounting_summary FALSE" "urgency_slots min" "user_lists NONE" \
        "xuser_lists NONE" "start_proc_args NONE" "stop_proc_args NONE" "qsort_args NONE" \
        >"$ROOT/run/smp"
    qconf -Ap "$ROOT/run/smp"
    change -sq -Aq qname main.q hostlist localhost pe_list smp slots $SLOTS shell /bin/bash \
        load_thresholds NONE tmpdir "$ROOT/tmp"
}

# -- daemons ---------------------------------------------------------------------------------------

ready() { qstat -f | grep -q "^main.q@localhost .*/$SLOTS .*lx-[a-z0-9]* *$"; }

bring_up() {
    install_packages
    prepare
    /usr/sbin/sge_qmaster
    wait_for 30 qconf -sh
    configure
    /usr/sbin/sge_execd
    wait_for 30 qconf -se localhost
    open_queue
    wait_for 60 ready
}

# The last lines of what was done, where it went wrong.
tell() { echo "test cluster: not started; the end of its log:"; tail -n 5 "$ROOT/log"; } >&2

start() {
    local reason
    reason=$(check) || fail "$reason"
    if [ -s "$ROOT/owner" ] && ! kill -0 "$(cat "$ROOT/owner")" 2>/dev/null; then
        # Its guard may be at work. What a killed guard has left is wiped here.
        wait_for 15 test ! -d "$ROOT" >/dev/null || true
    elif [ -n "$(processes)" ]; then
        fail "one is running already; end it with: $0 wipe"
    fi
    wipe
    trap 'tell; wipe' EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    mkdir -p "$ROOT"/{run,tmp}
    chmod 755 "$ROOT" "$ROOT"/*
    bring_up >"$ROOT/log" 2>&1
    trap - EXIT TERM INT
    [ -z "${1:-}" ] || {
        echo "$1" >"$ROOT/owner"
        setsid "$0" guard "$1" >/dev/null 2>&1 </dev/null &
    }
}

# -- the end ---------------------------------------------------------------------------------------

# This cluster's daemons and jobs; this script and those that called it left out.
processes() {
    local mine=" $$ $BASHPID " up=$PPID file pid
    while [ "${up:-0}" -gt 1 ]; do
        mine+="$up "
        up=$(awk '/^PPid:/ {print $2}' "/proc/$up/status" 2>/dev/null || true)
    done
    { grep -slzxF "OPTLAB_GRIDENGINE_ROOT=$ROOT" /proc/[0-9]*/environ || true; } \
        | while read -r file; do
            pid=${file#/proc/} pid=${pid%/environ}
            [[ $mine == *" $pid "* ]] || echo "$pid"
        done
}

stop() {
    local pids
    pids=$(processes)
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill $pids 2>/dev/null || true
    # The master takes some seconds to leave.
    # shellcheck disable=SC2086
    for _ in $(seq 100); do kill -0 $pids 2>/dev/null || return 0; sleep 0.1; done
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null || true
}

wipe() {
    [ -d "$ROOT" ] || return 0
    stop
    rm -rf "$ROOT"
}

owned_by() { [ "$(cat "$ROOT/owner" 2>/dev/null)" = "$1" ]; }

guard() {
    trap '' HUP
    while kill -0 "$1" 2>/dev/null && owned_by "$1"; do sleep 0.5; done
    ! owned_by "$1" || wipe
}

env() {
    for name in SGE_ROOT SGE_CELL SGE_QMASTER_PORT SGE_EXECD_PORT; do
        echo "export $name=${!name}"
    done
}

status() {
    [ -n "$(processes)" ] || { echo "not running"; return 1; }
    qstat -f -u '*'
}

case ${1:-} in
    check | stop | wipe | env | status) "$1" ;;
    start | guard) "$1" "${2:-}" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
