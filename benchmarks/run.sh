#!/usr/bin/env bash
# make bench: all measurements on a mini-pool of its own (INSTANCE=bench), which is removed at the end. KEEP=1 leaves it.
# QUICK=1 takes a few samples of everything, to see that it works, and writes to a temporary folder.
# OUTSOURCING=1 measures work that leaves a notebook instead, without the stock hub.
# Further arguments go to 'python -m benchmarks', for example --only clicks.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

export INSTANCE=bench ANSIBLE_FORCE_COLOR=0 PYTHONPATH=tests
PATH=$PWD/.venv/bin:$PATH
log=.minipool/bench.log
begin=$SECONDS

cure='read the lines above'

cleanup() {
  local code=$?
  rm -f "$log.stage"
  [ "$code" = 0 ] || docker/collect-logs.sh afhub-bench test-results/logs || true
  if [ "${KEEP:-}" = 1 ]; then
    say "KEEP=1: the mini-pool 'bench' stays; remove it with 'make down INSTANCE=bench'."
  else
    docker/minipool.sh down || code=1
  fi
  printf '%d s in all.\n' $((SECONDS - begin))
  exit "$code"
}

out=benchmarks
options=()
if [ "${QUICK:-}" = 1 ]; then
  out=$(mktemp -d "${TMPDIR:-/tmp}/afhub-bench-XXXXXX")
  options+=(--quick)
fi

tools/venv.sh test
docker/engine.sh
have_chromium
mkdir -p .minipool
: >"$log"
PORT=${PORT:-$(cat .minipool/bench/port 2>/dev/null || free_port)}
export PORT
trap cleanup EXIT
stage "Images (base, bare host, software tree)" docker/images.sh
stage "Seven bare hosts" ansible-playbook docker/create.yml
stage "Accounts and certificate of the site" ansible-playbook -i inventories/minipool docker/prepare.yml
stage "Deployment" env SITE=inventories/minipool tools/deploy.sh --extra-vars @benchmarks/overlay.yml
if [ "${OUTSOURCING:-}" = 1 ]; then
  python -m benchmarks.outsourcing --out "$out" "${options[@]}"
  exit
fi
stage "Stock batchspawner beside it" ansible-playbook -i inventories/minipool --extra-vars @benchmarks/overlay.yml \
  benchmarks/stock/deploy.yml
python -m benchmarks --out "$out" "${options[@]}" "$@"
