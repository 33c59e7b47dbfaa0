#!/usr/bin/env bash
# make test: lint, unit tests, then the whole stack on a mini-pool of its own (INSTANCE=test), which is removed at the end.
# KEEP=1 leaves it, to look at what a test complains of.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

export INSTANCE=test
# What one call of the engine may take on a busy disk; read by the modules of community.docker.
export DOCKER_TIMEOUT=600
PATH=$PWD/.venv/bin:$PATH
results=$PWD/test-results
mkdir -p "$results"
begin=$SECONDS

title() { printf '\n== %s (at %d s)\n' "$1" $((SECONDS - begin)); }

# make down has to remove every container, network and volume that the mini-pool made.
nothing_is_left() {
  local left
  left=$({
    docker ps --all --format '{{.Names}}'
    docker network ls --format '{{.Name}}'
    docker volume ls --format '{{.Name}}'
  } | grep -E "^afhub-$INSTANCE(-|$)" || true)
  [ -z "$left" ] || { say "ERROR: make down left these behind: $left"; return 1; }
}

cleanup() {
  local code=$?
  [ "$code" = 0 ] || docker/collect-logs.sh afhub-test "$results/logs" || true
  if [ "${KEEP:-}" = 1 ]; then
    say "KEEP=1: the mini-pool 'test' stays; remove it with 'make down INSTANCE=test'."
  else
    title "Remove the mini-pool of the tests"
    docker/minipool.sh down || code=1
    nothing_is_left || code=1
  fi
  printf '\n%d s in all.\n' $((SECONDS - begin))
  exit "$code"
}

title "Tools"
tools/venv.sh test
title "Lint, and beside it container engine, browser and images"
{
  docker/engine.sh
  have_chromium
  docker/images.sh
} >"$results/images.log" 2>&1 &
images=$!
# Whatever comes: nothing that began beside is left.
trap wait EXIT
tools/lint.sh
title "Container engine, browser and images"
wait $images || { cat "$results/images.log"; die "there are no images." "see the lines above"; }
cat "$results/images.log"
# Both wait more than they compute.
title "Unit tests, and beside them the Lab side in a plain JupyterLab"
python -m pytest --durations=10 tests/lab >"$results/lab.log" 2>&1 &
lab=$!
python -m pytest --durations=10 tests/unit
title "The Lab side in a plain JupyterLab"
wait $lab || { cat "$results/lab.log"; die "tests/lab failed." "see the lines above"; }
tail -n 1 "$results/lab.log"

trap cleanup EXIT
PORT=${PORT:-$(free_port)}
export PORT
title "Mini-pool: create, prepare, deploy, deploy again, look at every host"
molecule --version
for step in destroy create prepare converge idempotence; do
  at=$SECONDS
  molecule "$step" >"$results/molecule-$step.log" 2>&1 || {
    grep -vE '^(ok|included|skipping): |^$' "$results/molecule-$step.log" | tail -n 60
    die "molecule $step failed." "the whole output is in $results/molecule-$step.log"
  }
  printf '%-14s %4d s\n' "$step" $((SECONDS - at))
done

title "Tests on the running stack"
python -m pytest --durations=20 tests/infra tests/contract tests/limits tests/e2e
title "Faults: parts of the stack are broken on purpose"
python -m pytest --durations=10 tests/faults
