#!/usr/bin/env bash
# run-hosts.sh INSTANCE PREFIX DOMAIN PORT SOFTWARE IMAGE HOST...: runs the hosts of an instance as containers, all at once.
# IMAGE may hold an @, which stands for the host's name; SOFTWARE is the volume with the CVMFS tree. A host that exists is only
# started: it keeps what is on it, whatever has changed here since. Prints 'changed' and the names of those that it made or started.
set -euo pipefail
instance=$1 prefix=$2 domain=$3 port=$4 software=$5 image=$6
shift 6

# The second hierarchy of a hybrid host is the one with systemd's cgroup2; on a cgroup2 host there is only one.
cgroups=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)

run_host() {
  local host=$1 name=$prefix-$1 state published=()
  state=$(docker container inspect --format '{{.State.Status}}' "$name" 2>/dev/null || true)
  case $state in
  running) return ;;
  ?*) docker start "$name" >/dev/null && echo "changed $host" && return ;;
  esac
  [ "$host" != hub ] || published=(--publish "127.0.0.1:$port:443")
  docker run --detach --pull never --name "$name" --hostname "$host.$domain" \
    --label "afhub.instance=$instance" --label "afhub.host=$host" \
    --network "$prefix" --network-alias "$host" --network-alias "$host.$domain" "${published[@]}" \
    --cap-add SYS_ADMIN --cap-add SYS_PTRACE --cap-add NET_ADMIN \
    --security-opt seccomp=unconfined --security-opt apparmor=unconfined --cgroupns host \
    --tmpfs /run --tmpfs /tmp --env container=docker \
    --volume "$cgroups:/sys/fs/cgroup" --volume "$prefix-home:/home" --volume "$software:/cvmfs/af.example.org:ro" \
    "${image//@/$host}" >/dev/null && echo "changed $host"
}

jobs=()
for host in "$@"; do
  run_host "$host" &
  jobs+=($!)
done
code=0
for job in "${jobs[@]}"; do wait "$job" || code=1; done
exit $code
