#!/usr/bin/env bash
# make test: lint, unit tests, then the whole stack on mini-pools of its own, which are removed at the end.
#   POOLS=n   so many pools beside each other (1 works too); without it as many as cores and memory bear
#   KEEP=1    leaves the pools, to look at what a test complains of
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

export INSTANCE=test
# What one call of the engine may take on a busy disk; read by the modules of community.docker.
export DOCKER_TIMEOUT=600
PATH=$PWD/.venv/bin:$PATH
results=$PWD/test-results
rm -rf "$results"
mkdir -p "$results"
begin=$SECONDS

# What runs now, for the last words after a failure; how long each stage took is kept in stages.tsv.
stage=
stage_begin=$SECONDS
end_of_stage() {
  [ -z "$stage" ] || printf '%d\t%s\n' $((SECONDS - stage_begin)) "$stage" >>"$results/stages.tsv"
  stage=
}
title() {
  end_of_stage
  stage=$1 stage_begin=$SECONDS
  printf '\n== %s (at %d s)\n' "$1" $((SECONDS - begin))
}

# beside NAME COMMAND...: runs a command beside what follows, into NAME.log; 'join NAME' waits for it and shows what it printed.
declare -A beside_pids=() beside_begin=()
beside() {
  local name=$1
  shift
  # A process group of its own, so that nothing of it is left when the rest has failed.
  set -m
  "$@" >"$results/$name.log" 2>&1 </dev/null &
  set +m
  beside_pids[$name]=$! beside_begin[$name]=$SECONDS
}
join() {
  local name=$1 lines=${2:-1}
  wait "${beside_pids[$name]}" || { cat "$results/$name.log"; die "$name failed." "see the lines above"; }
  printf '%d\t%s (beside)\n' $((SECONDS - ${beside_begin[$name]})) "$name" >>"$results/stages.tsv"
  unset "beside_pids[$name]"
  tail -n "$lines" "$results/$name.log"
}

# in_front COMMAND...: waits for a command so that a signal ends it now; a shell heeds one only after a command that it runs itself.
in_front() {
  local code=0
  set -m
  "$@" </dev/null &
  set +m
  beside_pids[front]=$!
  wait $! || code=$?
  unset "beside_pids[front]"
  return $code
}

# make down has to remove every container, network, volume and image that the pools made.
nothing_is_left() {
  local left
  left=$({
    docker ps --all --format '{{.Names}}'
    docker network ls --format '{{.Name}}'
    docker volume ls --format '{{.Name}}'
    docker image ls --format '{{.Repository}}'
    docker image ls --filter "label=afhub.snapshot=$INSTANCE" --format "afhub-$INSTANCE-{{.ID}}"
  } | grep -E "^afhub-$INSTANCE(-|$)" || true)
  [ -z "$left" ] || { say "ERROR: make down left these behind: $left"; return 1; }
}

cleanup() {
  local code=$? failed=$stage
  trap - EXIT
  for pid in "${beside_pids[@]}"; do kill -- "-$pid" 2>/dev/null || true; done
  wait
  end_of_stage
  if [ "${KEEP:-}" = 1 ]; then
    say "KEEP=1: the pools ${INSTANCES:-test} stay; remove them with 'make down INSTANCE=test'."
  elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    title "Remove the pools of the tests"
    docker/minipool.sh down || code=1
    nothing_is_left || code=1
    end_of_stage
  fi
  printf '\nSeconds by stage (%s):\n' "$results/stages.tsv"
  sed 's/^/  /' "$results/stages.tsv"
  printf '\n%d s in all.\n' $((SECONDS - begin))
  [ "$code" = 0 ] || printf "FAILED in the stage '%s'. Logs, JUnit files and durations: %s\n" "$failed" "$results"
  exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

images() {
  docker/engine.sh
  have_chromium
  docker/images.sh
}

# How many pools: each takes a core's worth of work now and then and a gigabyte of memory.
pools() {
  local cores memory_gb
  cores=$(nproc)
  memory_gb=$(awk '/^MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  local number=$((cores + 1)) fit=$((memory_gb / 3))
  [ $number -le $fit ] || number=$fit
  [ $number -ge 1 ] || number=1
  echo "${POOLS:-$number}"
}

title "Tools"
tools/venv.sh test
if ! [[ ${POOLS:-1} =~ ^[1-9]$ ]]; then
  die "POOLS=$POOLS is no number of pools." "write 1 to 9, or leave it out"
fi
title "Lint, and beside it container engine, browser and images"
beside images images
tools/lint.sh
title "Container engine, browser and images"
join images 20

PORT=${PORT:-$(free_port)}
export PORT
title "Mini-pool by 'molecule test' (made, deployed, deployed again, every host looked at), and beside it the unit tests"
beside molecule tests/molecule.sh
beside lab python -m pytest --durations=10 --junitxml="$results/lab.xml" tests/lab
in_front python -m pytest --numprocesses logical --dist worksteal --durations=10 --junitxml="$results/unit.xml" tests/unit
title "The Lab side in a plain JupyterLab"
join lab
title "Mini-pool by 'molecule test'"
join molecule 20

POOLS=$(pools)
INSTANCES="test"
title "$POOLS pools from a snapshot"
# The job that outlasted the deployment. In a copy its schedd would wait for a starter that never was there.
docker exec afhub-test-batch timeout 60 sh -c 'condor_rm -all; while [ "$(condor_q -all -af ClusterId)" ]; do sleep 0.5; done'
docker/snapshot.sh take test
export SNAPSHOT=test
for ((number = 2; number <= POOLS; number++)); do
  INSTANCES+=" test-$number"
  beside "test-$number" docker/snapshot.sh run test "test-$number" "$(free_port)"
done
for ((number = 2; number <= POOLS; number++)); do join "test-$number"; done
export INSTANCES
title "Tests on $POOLS running pools"
export STAGE=pools
in_front python -m pytest --numprocesses "$POOLS" --durations=20 --junitxml="$results/pools.xml" \
  tests/limits tests/e2e tests/deployments tests/faults
