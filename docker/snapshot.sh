#!/usr/bin/env bash
# Pools from a snapshot: a deployed mini-pool's hosts become images, and further pools are run from these in seconds.
#   snapshot.sh take INSTANCE                    its hosts become images, its home folders a volume
#   snapshot.sh run INSTANCE COPY PORT           makes the pool COPY from the snapshot, anew where it exists; COPY may be INSTANCE
#   snapshot.sh remove-copies INSTANCE           removes all pools that were made from the snapshot, INSTANCE's own excepted
#   snapshot.sh remove INSTANCE                  removes the snapshot as well, of which INSTANCE itself must not run any more
# Copies carry the label afhub.snapshot=INSTANCE, as do images and volume, so that an interrupted run leaves nothing unknown.
# They share the software volume, which no host can write to. docs/decisions/pools-from-a-snapshot.md says why all this.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

usage='usage: snapshot.sh take INSTANCE | run INSTANCE COPY PORT | remove-copies INSTANCE | remove INSTANCE'
command=${1:?$usage} of=${2:?$usage}
domain=$(sed -n 's/^minipool_domain: //p' docker/minipool.yml)
label=afhub.snapshot=$of

prefix_of() { [ "$1" = default ] && echo afhub || echo "afhub-$1"; }
source=$(prefix_of "$of")
images=$source-snapshot
homes=$source-snapshot-home

hosts_of() { docker ps --all --filter "label=afhub.instance=$1" --format '{{.Label "afhub.host"}}' | grep . | sort; }

# all COMMAND ARGUMENT...: runs a command for each argument, all at once; fails when one does.
all() {
  local command=$1 job code=0 jobs=()
  shift
  for argument in "$@"; do
    "$command" "$argument" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job" || code=1; done
  return $code
}

copy_homes() {
  docker run --rm --pull never --network none --label "$label" --label "afhub.instance=$of" --volume "$1:/from:ro" --volume "$2:/to" \
    afhub-host:trixie cp --archive /from/. /to/
}

take() {
  local hosts
  mapfile -t hosts < <(hosts_of "$of")
  [ ${#hosts[@]} -gt 0 ] || die "there is no mini-pool '$of' to take a snapshot of." "INSTANCE=$of make up"
  docker image inspect "$images:${hosts[0]}" >/dev/null 2>&1 && die "there is a snapshot of '$of' already." "docker/snapshot.sh remove $of"
  need_free_gb "${MINIPOOL_MIN_FREE_GB:-8}" "the snapshot"
  docker volume create --label "$label" "$homes" >/dev/null
  copy_homes "$source-home" "$homes"
  # shellcheck disable=SC2329 # 'all' calls it
  commit() { docker commit --pause=false --change "LABEL $label" "$source-$1" "$images:$1" >/dev/null; }
  all commit "${hosts[@]}"
  printf '%s\n' "${hosts[@]}" >".minipool/$of/snapshot"
}

run() {
  local copy=$1 port=$2 prefix hosts
  prefix=$(prefix_of "$copy")
  [ -e ".minipool/$of/snapshot" ] || die "there is no snapshot of the mini-pool '$of'." "docker/snapshot.sh take $of"
  mapfile -t hosts <".minipool/$of/snapshot"
  docker/tasks/remove-pool.sh "$copy" "$source-cvmfs" >/dev/null
  if [ "$copy" != "$of" ]; then
    mkdir -p ".minipool/$copy"
    chmod 700 ".minipool/$copy"
    # First of all, so that a copy of which there is no more than this is known, too.
    echo "$of" >".minipool/$copy/copy-of"
    cp -a ".minipool/$of/id_ed25519" ".minipool/$of/id_ed25519.pub" ".minipool/$copy/"
    [ ! -d ".minipool/$of/tls" ] || cp -a ".minipool/$of/tls" ".minipool/$copy/"
    echo "$port" >".minipool/$copy/port"
  fi
  docker network create --label "afhub.instance=$copy" --label "$label" "$prefix" >/dev/null
  docker volume create --label "afhub.instance=$copy" --label "$label" "$prefix-home" >/dev/null
  copy_homes "$homes" "$prefix-home"
  docker/tasks/run-hosts.sh "$copy" "$prefix" "$domain" "$port" "$source-cvmfs" "$images:@" "${hosts[@]}" >/dev/null
  docker/tasks/open-ssh.sh "$prefix" "$domain" "$PWD/.minipool/$copy" "${hosts[@]}" >/dev/null
}

remove_copies() {
  local copy
  for copy in $({
    docker ps --all --filter "label=$label" --format '{{.Label "afhub.instance"}}'
    docker network ls --filter "label=$label" --format '{{.Label "afhub.instance"}}'
    docker volume ls --filter "label=$label" --format '{{.Label "afhub.instance"}}'
  } | sort -u); do
    [ "$copy" != "$of" ] || continue
    docker/tasks/remove-pool.sh "$copy"
  done
  { grep -lsxF "$of" .minipool/*/copy-of || true; } | cut -d/ -f2 | while read -r copy; do
    rm -rf ".minipool/$copy" ~/.ansible/cp-"$(prefix_of "$copy")"
  done
}

remove() {
  local images
  remove_copies
  # By number: one whose name is gone stays as long as a container uses it, and has to go as well.
  mapfile -t images < <(docker image ls --quiet --filter "label=$label" | sort -u)
  [ ${#images[@]} = 0 ] || { docker image rm --force "${images[@]}" >/dev/null && echo "changed: images"; }
  ! docker volume rm "$homes" >/dev/null 2>&1 || echo "changed: volume"
  rm -f ".minipool/$of/snapshot"
}

case $command in
take | remove) "$command" ;;
remove-copies) remove_copies ;;
run) run "${3:?$usage}" "${4:?$usage}" ;;
*) die "snapshot.sh knows no '$command'." "$usage" ;;
esac
