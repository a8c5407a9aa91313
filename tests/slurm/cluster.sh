#!/usr/bin/env bash
# A real SLURM of several nodes on this one machine, for the tests; from Debian's packages, as root.
#
#   cluster.sh check             say in one line why it cannot be here (exit 1), or nothing
#   cluster.sh start [PID]       install what is missing and start; gone when process PID is gone
#   cluster.sh stop              stop everything and leave nothing behind
#   cluster.sh kill-node K       pull the plug of node K: its daemon and all that runs on it
#   cluster.sh start-node K      put it in again
#   cluster.sh memory            how memory limits are kept: cgroup or polling
#
# Nodes are called node1, node2, …; each has stand-in GPUs, which are character devices that SLURM
# hands out like real ones. All nodes share this machine's processors: sizes are pretended.
set -Eeuo pipefail

ROOT=${OPTLAB_SLURM_ROOT:-/tmp/optlab-slurm}   # everything that the cluster writes
NODES=${OPTLAB_SLURM_NODES:-4}
CPUS=8 MEMORY=32000 GPUS=4                     # of each node
CONTROL_PORT=16917 DATABASE_PORT=16918 ACCOUNTING_PORT=16919 NODE_PORT=16920
LINK=/etc/slurm/slurm.conf                     # job steps look here: they drop SLURM_CONF
PACKAGES=(slurm-wlm slurm-client slurmdbd munge mariadb-server)

export OPTLAB_SLURM_ROOT=$ROOT                 # marks daemons and jobs as this cluster's
export SLURM_CONF=$ROOT/etc/slurm.conf

fail() { echo "test cluster: $*" >&2; exit 1; }

wait_for() {  # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || { echo "test cluster: timed out: $*; see $ROOT/log" >&2; return 1; }
        sleep 0.1
    done
}

gone() { wait_for "$1" test ! -d "$ROOT"; }

alive() { [ -s "$ROOT/run/$1.pid" ] && kill -0 "$(cat "$ROOT/run/$1.pid")" 2>/dev/null; }

# -- what the machine allows -----------------------------------------------------------------------

check() {
    [ "$(id -u)" = 0 ] || { echo "the test cluster needs root"; return 1; }
    [ -e /etc/debian_version ] && command -v apt-get >/dev/null \
        || { echo "the test cluster needs Debian's packages"; return 1; }
    if [ -e $LINK ] && [ "$(readlink $LINK)" != "$SLURM_CONF" ]; then
        echo "this machine has a SLURM of its own ($LINK)"; return 1
    fi
}

# Control groups of version 1 are used. Elsewhere (version 2 would need systemd, or none can be
# made) SLURM looks at the memory of each job once a second: slower, and short peaks go unseen.
memory() {
    if [ "${OPTLAB_SLURM_CGROUP:-}" != none ] && [ -w /sys/fs/cgroup/memory/cgroup.procs ] \
        && [ -w /sys/fs/cgroup/freezer/cgroup.procs ] \
        && mkdir -p /sys/fs/cgroup/{memory,freezer}/optlab-slurm-probe 2>/dev/null; then
        rmdir /sys/fs/cgroup/{memory,freezer}/optlab-slurm-probe
        echo cgroup
    else
        echo polling
    fi
}

install_packages() {
    command -v slurmctld slurmdbd munged mariadbd >/dev/null && return
    export DEBIAN_FRONTEND=noninteractive
    # Debian would start the daemons of the packages; ours are started here, with files of their own.
    local policy=/usr/sbin/policy-rc.d made=
    [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; made=1; }
    apt-get update -qq || true
    apt-get install -y -qq --no-install-recommends "${PACKAGES[@]}" >"$ROOT/log/apt" 2>&1 \
        || fail "apt-get install failed: $(tail -n 1 "$ROOT/log/apt")"
    [ -z "$made" ] || rm -f $policy
}

# -- configuration ---------------------------------------------------------------------------------

configure() {
    local host limits node
    host=$(hostname -s)
    head -c 1024 /dev/urandom >"$ROOT/etc/munge.key"
    chmod 600 "$ROOT/etc/munge.key"
    for gpu in $(seq 0 $((GPUS - 1))); do mknod "$ROOT/dev/gpu$gpu" c 1 3; done
    if [ "$(memory)" = cgroup ]; then
        limits="ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup"
    else
        limits="ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherParams=OverMemoryKill"
    fi
    # A requeued job may start again after cred_expire seconds; 5 s would break requeueing.
    cat >"$SLURM_CONF" <<END
ClusterName=optlab
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=$CONTROL_PORT
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.socket,cred_expire=20
CryptoType=crypto/munge
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool/%n
SlurmctldPidFile=$ROOT/run/slurmctld.pid
SlurmdPidFile=$ROOT/run/%n.pid
SlurmctldLogFile=$ROOT/log/slurmctld
SlurmdLogFile=$ROOT/log/%n
SlurmdParameters=config_overrides
$limits
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
SchedulerParameters=batch_sched_delay=0,sched_interval=2,sched_min_interval=0,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=500
ReturnToService=1
SlurmctldTimeout=10
SlurmdTimeout=10
KillWait=5
CompleteWait=0
JobRequeue=1
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$ACCOUNTING_PORT
AccountingStoragePass=$ROOT/run/munge.socket
AccountingStorageEnforce=associations
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
$(for node in $(seq "$NODES"); do
    echo "NodeName=node$node NodeHostname=$host NodeAddr=127.0.0.1 Port=$((NODE_PORT + node))" \
        "CPUs=$CPUS Boards=1 SocketsPerBoard=1 CoresPerSocket=$CPUS ThreadsPerCore=1" \
        "RealMemory=$MEMORY Gres=gpu:$GPUS State=UNKNOWN"
done)
PartitionName=main Nodes=node[1-$NODES] Default=YES MaxTime=1-0 DefaultTime=10 State=UP
END
    echo "NodeName=node[1-$NODES] Name=gpu File=$ROOT/dev/gpu[0-$((GPUS - 1))]" >"$ROOT/etc/gres.conf"
    cat >"$ROOT/etc/cgroup.conf" <<END
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainCores=no
ConstrainRAMSpace=yes
ConstrainDevices=no
END
    cat >"$ROOT/etc/slurmdbd.conf" <<END
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$ACCOUNTING_PORT
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/run/munge.socket
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DATABASE_PORT
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
PidFile=$ROOT/run/slurmdbd.pid
LogFile=$ROOT/log/slurmdbd
END
    chmod 600 "$ROOT/etc/slurmdbd.conf"
    mkdir -p "$(dirname $LINK)"
    ln -sfn "$SLURM_CONF" $LINK
}

# -- daemons, in the order in which they need each other -------------------------------------------

start_munge() {
    munged --force --key-file="$ROOT/etc/munge.key" --socket="$ROOT/run/munge.socket" \
        --pid-file="$ROOT/run/munged.pid" --log-file="$ROOT/log/munged" \
        --seed-file="$ROOT/run/munged.seed" --num-threads=4
    wait_for 10 munge -S "$ROOT/run/munge.socket" -n
}

database() { "$1" --no-defaults --socket="$ROOT/run/database" "${@:2}"; }

start_database() {
    chown mysql: "$ROOT/db" "$ROOT/run"
    mariadb-install-db --no-defaults --user=mysql --datadir="$ROOT/db" --skip-test-db \
        --auth-root-authentication-method=socket >"$ROOT/log/mariadb-install" 2>&1
    setsid mariadbd --no-defaults --user=mysql --datadir="$ROOT/db" --socket="$ROOT/run/database" \
        --pid-file="$ROOT/run/mariadbd.pid" --bind-address=127.0.0.1 --port=$DATABASE_PORT \
        --innodb-buffer-pool-size=64M --innodb-log-file-size=16M --innodb-lock-wait-timeout=900 \
        --innodb-flush-log-at-trx-commit=0 --max-allowed-packet=16M --skip-log-bin \
        >"$ROOT/log/mariadbd" 2>&1 </dev/null &
    wait_for 30 database mariadb-admin ping
    database mariadb -e "create database accounting; create user slurm@'127.0.0.1' identified by
        'slurm'; create user slurm@localhost identified by 'slurm'; grant all on accounting.* to
        slurm@'127.0.0.1'; grant all on accounting.* to slurm@localhost"
}

start_accounting() {
    wait_for 10 slurmdbd
    wait_for 30 sacctmgr -n list cluster
    wait_for 10 sacctmgr -i -Q add cluster optlab
    wait_for 10 sacctmgr -i -Q add account lab Cluster=optlab
    wait_for 10 sacctmgr -i -Q add user root Account=lab Cluster=optlab DefaultAccount=lab
}

start_node() { mkdir -p "$ROOT/spool/node$1"; wait_for 10 slurmd -N "node$1"; }

all_idle() { [ "$(sinfo -h -N -t idle -o %N | wc -l)" = "$NODES" ]; }

start() {
    local reason
    reason=$(check) || fail "$reason"
    # The guard of one whose owner has died may still be stopping it.
    [ ! -s "$ROOT/owner" ] || kill -0 "$(cat "$ROOT/owner")" 2>/dev/null || gone 30 || true
    ! alive slurmctld || fail "one is running already; stop it with: $0 stop"
    stop
    trap 'echo "test cluster: failed: $BASH_COMMAND" >&2' ERR
    trap stop EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    mkdir -p "$ROOT"/{etc,run,log,state,spool,db,dev}
    chmod 755 "$ROOT" "$ROOT"/*
    install_packages
    configure
    start_munge
    start_database
    start_accounting
    wait_for 10 slurmctld
    wait_for 20 scontrol ping
    for node in $(seq "$NODES"); do start_node "$node"; done
    wait_for 60 all_idle
    trap - ERR EXIT TERM INT
    [ -z "${1:-}" ] || {
        echo "$1" >"$ROOT/owner"
        setsid "$0" guard "$1" >/dev/null 2>&1 </dev/null &
    }
}

# -- the end ---------------------------------------------------------------------------------------

# Processes with an entry in their environment; this script and those that called it left out.
with_entry() {
    local mine=" $$ $BASHPID " up=$PPID file pid
    while [ "${up:-0}" -gt 1 ]; do
        mine+="$up "
        up=$(awk '/^PPid:/ {print $2}' "/proc/$up/status" 2>/dev/null || true)
    done
    { grep -slzxF "$1" /proc/[0-9]*/environ || true; } | while read -r file; do
        pid=${file#/proc/} pid=${pid%/environ}
        [[ $mine == *" $pid "* ]] || echo "$pid"
    done
}

grouped() {  # processes in the control groups of a node
    find /sys/fs/cgroup/*/slurm_"$1" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u || true
}

end() {  # end PIDS: a moment to leave, then none
    [ -n "$*" ] || return 0
    kill "$@" 2>/dev/null || true
    for _ in $(seq 30); do kill -0 "$@" 2>/dev/null || return 0; sleep 0.1; done
    kill -KILL "$@" 2>/dev/null || true
}

stop() {
    local node
    [ "$(readlink $LINK)" != "$SLURM_CONF" ] || rm -f $LINK
    [ -d "$ROOT" ] || return 0
    # shellcheck disable=SC2046
    for node in $(seq "$NODES"); do end $(cat "$ROOT/run/node$node.pid" 2>/dev/null); done
    # shellcheck disable=SC2046
    for node in $(seq "$NODES"); do kill -KILL $(grouped "node$node") 2>/dev/null || true; done
    # shellcheck disable=SC2046
    end $(with_entry "OPTLAB_SLURM_ROOT=$ROOT")
    for _ in $(seq 20); do
        find /sys/fs/cgroup/*/slurm_node* -depth -type d -exec rmdir {} + 2>/dev/null || true
        compgen -G '/sys/fs/cgroup/*/slurm_node*' >/dev/null || break
        sleep 0.1
    done
    rm -rf "$ROOT"
}

guard() {
    trap '' HUP
    while kill -0 "$1" 2>/dev/null && [ "$(cat "$ROOT/owner" 2>/dev/null)" = "$1" ]; do
        sleep 0.5
    done
    [ "$(cat "$ROOT/owner" 2>/dev/null)" != "$1" ] || stop
}

kill_node() {
    kill -KILL "$(cat "$ROOT/run/node$1.pid")"
    rm -f "$ROOT/run/node$1.pid"
    # Without control groups, jobs are known by the node they are told to be on.
    # shellcheck disable=SC2046
    kill -KILL $(grouped "node$1") $(with_entry "SLURMD_NODENAME=node$1") 2>/dev/null || true
}

case ${1:-} in
    check | memory | stop) "$1" ;;
    start | guard) "$1" "${2:-}" ;;
    kill-node) kill_node "$2" ;;
    start-node) start_node "$2" ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
