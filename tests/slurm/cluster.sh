#!/usr/bin/env bash
# A real SLURM of three virtual nodes in one scratch directory on the loopback interface: for tests.
#   cluster.sh start DIRECTORY [--no-accounting]
#                                 start munged, mariadbd, slurmdbd (not with --no-accounting), slurmctld, three slurmd and
#                                 write DIRECTORY/env.sh, to be sourced before sbatch, squeue, sacct or snakemake
#   cluster.sh node DIRECTORY NODE  start the slurmd of one node again, after it was killed
#   cluster.sh kill DIRECTORY     kill -9 all at once, daemons and jobs, as a power cut would
#   cluster.sh restart DIRECTORY  start again whatever of it does not run
#   cluster.sh stop DIRECTORY     cancel its jobs, stop these daemons and remove DIRECTORY
# Partitions: main (default); spot and spotx on the same two nodes, whose jobs main preempts: those of spot are requeued,
# those of spotx cancelled; gpu, one node with two GPUs that are none (--gres=gpu:1 sets CUDA_VISIBLE_DEVICES).
# The nodes' slurmd have their process ids in DIRECTORY/run/slurmd.NODE.pid.
# Only root can start it (SLURM's daemons and jobs then need no further users); nothing of systemd or /etc is used.
# Debian packages: slurm-wlm slurmdbd slurm-wlm-mysql-plugin munge mariadb-server-core mariadb-client-core
set -euo pipefail
usage="usage: cluster.sh start DIRECTORY [--no-accounting] | node DIRECTORY NODE | kill|restart|stop DIRECTORY"
command=${1:?$usage}
directory=$(realpath -m "${2:?$usage}")
argument=${3:-}
export SLURM_CONF=$directory/slurm.conf
munge_socket=$directory/munge.socket
host=$(hostname -s)
sql=(mariadb --no-defaults --socket="$directory/run/mariadbd.socket" --user=root)

wait_for() { # wait_for SECONDS WHAT COMMAND...
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    if [ $SECONDS -ge $end ]; then
      echo "cluster: $what did not come up; last lines of its log:" >&2
      tail -n 5 "$directory/log/$what.log" >&2 || true
      return 1
    fi
    sleep 0.1
  done
}

# Ten neighbouring ports below the range from which the kernel takes ports itself.
free_ports() {
  local base port
  for _ in $(seq 100); do
    base=$((20000 + RANDOM % 1200 * 10))
    for port in $(seq $base $((base + 9))); do
      (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && continue 2
    done
    echo $base
    return
  done
  echo "cluster: no free ports found" >&2
  return 1
}

# cgroups make SLURM kill a job that outgrows its memory at once, and all of a job's processes with it; a container may not
# have them. Then memory is sampled every second.
use_cgroups() {
  local probe=/sys/fs/cgroup/memory/saltern-probe-$$
  [ -d /sys/fs/cgroup/freezer ] && mkdir "$probe" 2>/dev/null && rmdir "$probe"
}

configure() {
  local ports tracking gathering
  ports=$(free_ports)
  # cgroups are named after the node: the names must differ from those of any other cluster on this machine
  nodes=("n${ports}a" "n${ports}b" "n${ports}g")
  mkdir -p "$directory"/{bin,log,run,state}
  database_port=$((ports + 8))
  if use_cgroups; then
    tracking=$'ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup' gathering=UsePss
  else
    tracking=$'ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none' gathering=OverMemoryKill,UsePss
  fi
  cat >"$SLURM_CONF" <<C
ClusterName=saltern
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ports
SlurmUser=root
SlurmdUser=root
# otherwise the daemons listen on every interface
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# a requeued job waits until its first credential has expired
AuthInfo=socket=$munge_socket,cred_expire=10
MpiDefault=none
$tracking
ReturnToService=2
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool.%n
SlurmctldPidFile=$directory/run/slurmctld.pid
SlurmdPidFile=$directory/run/slurmd.%n.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdLogFile=$directory/log/slurmd.%n.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0,requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdTimeout=10
MinJobAge=600
KillWait=2
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=$gathering
# the nodes declare more than the machine may have
SlurmdParameters=config_overrides
GresTypes=gpu
$(accounting "$ports")
NodeName=${nodes[0]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$((ports + 1)) CPUs=6 RealMemory=16000
NodeName=${nodes[1]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$((ports + 2)) CPUs=6 RealMemory=16000
NodeName=${nodes[2]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$((ports + 3)) CPUs=6 RealMemory=16000 Gres=gpu:2
PartitionName=DEFAULT Nodes=${nodes[0]},${nodes[1]} MaxTime=7-0 DefaultTime=10 DefMemPerCPU=1000 State=UP
PartitionName=main Default=YES PriorityTier=10
PartitionName=spot PriorityTier=1 PreemptMode=REQUEUE
PartitionName=spotx PriorityTier=1 PreemptMode=CANCEL
PartitionName=gpu Nodes=${nodes[2]} PriorityTier=10
C
  # a GPU must be a device; this one is another name of /dev/null
  mknod "$directory/gpu0" c 1 3
  mknod "$directory/gpu1" c 1 3
  echo "NodeName=${nodes[2]} Name=gpu File=$directory/gpu[0-1]" >"$directory/gres.conf"
  printf '%s\n' CgroupAutomount=no CgroupPlugin=cgroup/v1 CgroupMountpoint=/sys/fs/cgroup ConstrainRAMSpace=yes \
    >"$directory/cgroup.conf"
  # Snakemake's job step drops every SLURM_ variable, SLURM_CONF too, before it calls srun.
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$directory/bin/srun"
  chmod +x "$directory/bin/srun"
  printf 'export SLURM_CONF=%q PATH=%q:$PATH\n' "$SLURM_CONF" "$directory/bin" >"$directory/env.sh"
}

accounting() { # accounting PORTS
  if [ "$argument" = --no-accounting ]; then
    echo AccountingStorageType=accounting_storage/none
    return
  fi
  # the connection to slurmdbd takes munge's socket from here, not from AuthInfo
  printf '%s\n' AccountingStorageType=accounting_storage/slurmdbd AccountingStorageHost=127.0.0.1 \
    "AccountingStoragePort=$(($1 + 9))" "AccountingStoragePass=$munge_socket" AccountingStorageTRES=gres/gpu
  cat >"$directory/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$munge_socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$(($1 + 9))
SlurmUser=root
LogFile=$directory/log/slurmdbd.log
PidFile=$directory/run/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$database_port
StorageUser=slurm
StoragePass=slurm
C
  chmod 600 "$directory/slurmdbd.conf"
}

start_munge() {
  [ -e "$directory/munge.key" ] || (umask 077 && head -c 1024 /dev/urandom >"$directory/munge.key")
  munged --force --key-file="$directory/munge.key" --socket="$munge_socket" --pid-file="$directory/run/munged.pid" \
    --log-file="$directory/log/munged.log" --seed-file="$directory/munge.seed" 2>>"$directory/log/start.log"
  wait_for 10 munged munge --socket="$munge_socket" --no-input
}

make_database() {
  mariadb-install-db --no-defaults --datadir="$directory/database" --user=root --skip-test-db \
    --auth-root-authentication-method=socket >"$directory/log/mariadbd.log" 2>&1
  start_database
  "${sql[@]}" --execute "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';
    create user slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';
    grant all on slurm_acct_db.* to slurm@localhost;"
  start_accounting
  # the cluster must be known before slurmctld starts; this also makes the account root of user root
  sacctmgr --immediate add cluster saltern >/dev/null
}

start_database() {
  mariadbd --no-defaults --user=root --datadir="$directory/database" --socket="$directory/run/mariadbd.socket" \
    --pid-file="$directory/run/mariadbd.pid" --bind-address=127.0.0.1 --port="$(sed -n s/^StoragePort=//p "$directory/slurmdbd.conf")" \
    --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 --log-error="$directory/log/mariadbd.log" \
    >/dev/null 2>&1 </dev/null &
  disown
  wait_for 60 mariadbd "${sql[@]}" --execute "select 1"
}

start_accounting() {
  slurmdbd </dev/null >/dev/null 2>>"$directory/log/start.log"
  wait_for 60 slurmdbd sacctmgr --noheader list cluster
}

start_controller() {
  slurmctld </dev/null >/dev/null 2>>"$directory/log/start.log"
  wait_for 30 slurmctld scontrol ping
}

start_node() { # start_node NODE
  slurmd -N "$1" </dev/null >/dev/null 2>>"$directory/log/start.log"
}

start() {
  [ "$(id -u)" = 0 ] || { echo "cluster: only root can start it" >&2; exit 1; }
  [ ! -e "$SLURM_CONF" ] || { echo "cluster: $directory holds a cluster already; stop it first" >&2; exit 1; }
  trap 'status=$?; [ $status = 0 ] || { trap - EXIT; kill_daemons; }; exit $status' EXIT
  configure
  start_munge
  [ "$argument" = --no-accounting ] || make_database
  start_controller
  local node
  for node in "${nodes[@]}"; do start_node "$node"; done
  wait_for 30 slurmctld bash -c "[ \$(sinfo --noheader --Node --states=idle --partition=main,gpu | wc -l) = 3 ]"
}

runs() { # runs DAEMON
  # one that was killed may stay as a zombie until its parent asks for it
  grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$(cat "$directory/run/$1.pid")/status"
}

nodes_of_it() {
  sed -n 's/^NodeName=\([^ ]*\).*/\1/p' "$SLURM_CONF"
}

restart() {
  local node
  runs munged || start_munge
  if [ -e "$directory/slurmdbd.conf" ]; then
    runs mariadbd || start_database
    runs slurmdbd || start_accounting
  fi
  runs slurmctld || start_controller
  for node in $(nodes_of_it); do
    runs "slurmd.$node" || start_node "$node"
  done
}

# A killed process takes a moment to go.
await_end() {
  local file
  for file in "$directory"/run/*.pid; do
    while runs "$(basename "$file" .pid)"; do sleep 0.05; done
  done
}

# What belongs to this cluster has its configuration in the environment: jobs, and the slurmstepd that look after them.
kill_jobs() {
  local process
  for process in $(grep -lzs "^SLURM_CONF=$SLURM_CONF\$" /proc/[0-9]*/environ | cut -d / -f 3); do
    if [ "$(cat "/proc/$process/comm" 2>/dev/null)" = slurmstepd ] || grep -qzs ^SLURM_JOB_ID= "/proc/$process/environ"; then
      kill -KILL "$process" 2>/dev/null || true
    fi
  done
}

# By their own pid files only; nothing that they would tidy up outlives them.
kill_daemons() {
  local file
  for file in "$directory"/run/*.pid; do
    kill -KILL "$(cat "$file")" 2>/dev/null || true
  done
}

stop() {
  local node
  if scontrol ping >/dev/null 2>&1; then
    scancel --user=root || true
    for _ in $(seq 100); do
      [ -n "$(squeue --noheader)" ] || break
      sleep 0.1
    done
  fi
  kill_daemons
  for node in $(nodes_of_it); do
    find /sys/fs/cgroup/*/"slurm_$node" -depth -type d -exec rmdir {} \; 2>/dev/null || true
  done
  rm -rf "$directory"
}

case $command in
  start) start ;;
  node) start_node "$argument" ;;
  kill) kill_daemons && kill_jobs && await_end ;;
  restart) restart ;;
  stop) stop ;;
  *) echo "cluster: no such command: $command; $usage" >&2; exit 2 ;;
esac
