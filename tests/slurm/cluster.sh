#!/usr/bin/env bash
# A real SLURM of one node, with accounting, in one scratch directory on the loopback interface: for tests.
#   cluster.sh start DIRECTORY    start munged, mariadbd, slurmdbd, slurmctld, slurmd and write DIRECTORY/env.sh, to be
#                                 sourced before sbatch, squeue, sacct or snakemake
#   cluster.sh stop DIRECTORY     cancel its jobs, stop these daemons and remove DIRECTORY
# Only root can start it (SLURM's daemons and jobs then need no further users); nothing of systemd or /etc is used.
# Debian packages: slurm-wlm slurmdbd slurm-wlm-mysql-plugin munge mariadb-server-core mariadb-client-core
set -euo pipefail
command=${1:?usage: cluster.sh start|stop DIRECTORY}
directory=$(realpath -m "${2:?usage: cluster.sh start|stop DIRECTORY}")
export SLURM_CONF=$directory/slurm.conf
munge_socket=$directory/munge.socket
node=$(hostname -s)

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

# Five neighbouring ports below the range from which the kernel takes ports itself.
free_ports() {
  local base port
  for _ in $(seq 100); do
    base=$((20000 + RANDOM % 1200 * 10))
    for port in $(seq $base $((base + 4))); do
      (: </dev/tcp/127.0.0.1/"$port") 2>/dev/null && continue 2
    done
    echo $base
    return
  done
  echo "cluster: no free ports found" >&2
  return 1
}

configure() {
  local ports
  ports=$(free_ports)
  mkdir -p "$directory"/{bin,log,run,state,spool}
  database_port=$((ports + 3))
  cat >"$SLURM_CONF" <<C
ClusterName=saltern
SlurmctldHost=$node(127.0.0.1)
SlurmctldPort=$ports
SlurmUser=root
SlurmdUser=root
# otherwise the daemons listen on every interface
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
# a requeued job waits until its first credential has expired
AuthInfo=socket=$munge_socket,cred_expire=10
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
StateSaveLocation=$directory/state
SlurmdSpoolDir=$directory/spool
SlurmctldPidFile=$directory/run/slurmctld.pid
SlurmdPidFile=$directory/run/slurmd.pid
SlurmctldLogFile=$directory/log/slurmctld.log
SlurmdLogFile=$directory/log/slurmd.log
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0,requeue_delay=1
MinJobAge=600
KillWait=2
# a job that outgrows its memory is killed, as on a real cluster; sampled, since cgroups may be missing
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill,UsePss
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((ports + 2))
# the connection to slurmdbd takes munge's socket from here, not from AuthInfo
AccountingStoragePass=$munge_socket
# the node declares more than the machine may have
SlurmdParameters=config_overrides
NodeName=node1 NodeHostname=$node NodeAddr=127.0.0.1 Port=$((ports + 1)) CPUs=4 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=node1 Default=YES MaxTime=7-0 DefaultTime=10 DefMemPerCPU=1000 State=UP
C
  cat >"$directory/slurmdbd.conf" <<C
AuthType=auth/munge
AuthInfo=socket=$munge_socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort=$((ports + 2))
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
  # Snakemake's job step drops every SLURM_ variable, SLURM_CONF too, before it calls srun.
  printf '#!/bin/sh\nSLURM_CONF=%q exec %q "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$directory/bin/srun"
  chmod +x "$directory/bin/srun"
  printf 'export SLURM_CONF=%q PATH=%q:$PATH\n' "$SLURM_CONF" "$directory/bin" >"$directory/env.sh"
}

start_munge() {
  (umask 077 && head -c 1024 /dev/urandom >"$directory/munge.key")
  munged --force --key-file="$directory/munge.key" --socket="$munge_socket" --pid-file="$directory/run/munged.pid" \
    --log-file="$directory/log/munged.log" --seed-file="$directory/munge.seed" 2>>"$directory/log/start.log"
  wait_for 10 munged test -S "$munge_socket"
}

start_database() {
  local sql=(mariadb --no-defaults --socket="$directory/run/mariadbd.socket" --user=root)
  mariadb-install-db --no-defaults --datadir="$directory/database" --user=root --skip-test-db \
    --auth-root-authentication-method=socket >"$directory/log/mariadbd.log" 2>&1
  mariadbd --no-defaults --user=root --datadir="$directory/database" --socket="$directory/run/mariadbd.socket" \
    --pid-file="$directory/run/mariadbd.pid" --bind-address=127.0.0.1 --port="$database_port" \
    --innodb-flush-log-at-trx-commit=0 --innodb-lock-wait-timeout=900 --log-error="$directory/log/mariadbd.log" \
    >/dev/null 2>&1 </dev/null &
  disown
  wait_for 60 mariadbd "${sql[@]}" --execute "select 1"
  "${sql[@]}" --execute "create database slurm_acct_db; create user slurm@'127.0.0.1' identified by 'slurm';
    create user slurm@localhost identified by 'slurm'; grant all on slurm_acct_db.* to slurm@'127.0.0.1';
    grant all on slurm_acct_db.* to slurm@localhost;"
  slurmdbd </dev/null >/dev/null 2>>"$directory/log/start.log"
  wait_for 60 slurmdbd sacctmgr --noheader list cluster
  # the cluster must be known before slurmctld starts; this also makes the account root of user root
  sacctmgr --immediate add cluster saltern >/dev/null
}

start() {
  [ "$(id -u)" = 0 ] || { echo "cluster: only root can start it" >&2; exit 1; }
  [ ! -e "$SLURM_CONF" ] || { echo "cluster: $directory holds a cluster already; stop it first" >&2; exit 1; }
  trap 'status=$?; [ $status = 0 ] || { trap - EXIT; kill_daemons; }; exit $status' EXIT
  configure
  start_munge
  start_database
  slurmctld </dev/null >/dev/null 2>>"$directory/log/start.log"
  wait_for 30 slurmctld scontrol ping
  slurmd -N node1 </dev/null >/dev/null 2>>"$directory/log/start.log"
  wait_for 30 slurmd bash -c "sinfo --noheader --states=idle | grep -q node1"
}

# By their own pid files only; nothing that they would tidy up outlives them.
kill_daemons() {
  local file
  for file in "$directory"/run/*.pid; do
    kill -KILL "$(cat "$file")" 2>/dev/null || true
  done
}

stop() {
  if scontrol ping >/dev/null 2>&1; then
    scancel --user=root || true
    for _ in $(seq 100); do
      [ -n "$(squeue --noheader)" ] || break
      sleep 0.1
    done
  fi
  kill_daemons
  rm -rf "$directory"
}

case $command in
  start) start ;;
  stop) stop ;;
  *) echo "cluster: no such command: $command; allowed are start, stop" >&2; exit 2 ;;
esac
