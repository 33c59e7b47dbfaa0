#!/usr/bin/env bash
# make bench: all measurements on a mini-pool of its own (INSTANCE=bench), which is removed at the end. KEEP=1 leaves it.
# QUICK=1 takes a few samples of everything, to see that it works, and writes to a temporary folder.
# Further arguments go to 'python -m benchmarks', for example --only clicks.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

export INSTANCE=bench ANSIBLE_FORCE_COLOR=0 PYTHONPATH=tests
PATH=$PWD/.venv/bin:$PATH
log=.minipool/bench.log
begin=$SECONDS

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# stage TITLE COMMAND...: one line for each stage, with its time; the whole output is in the log, and shown after a failure.
stage() {
  local title=$1 at=$SECONDS
  shift
  printf '%-58s' "$title"
  if "$@" >"$log.stage" 2>&1; then
    cat "$log.stage" >>"$log"
    printf '%4d s\n' $((SECONDS - at))
  else
    cat "$log.stage" >>"$log"
    printf 'FAILED\n\n'
    grep -vE '^(ok|included|skipping): |^$' "$log.stage" | tail -n 40
    die "'$title' failed." "the whole output is in $log"
  fi
}

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
if ! command -v chromium >/dev/null; then
  say "Installing Chromium."
  as_root apt_install chromium
fi
mkdir -p .minipool
: >"$log"
PORT=${PORT:-$(cat .minipool/bench/port 2>/dev/null || free_port)}
export PORT
trap cleanup EXIT
stage "Images (base, bare host, software tree)" docker/images.sh
stage "Seven bare hosts" ansible-playbook docker/create.yml
stage "Accounts and certificate of the site" ansible-playbook -i inventories/minipool docker/prepare.yml
stage "Deployment" env SITE=inventories/minipool tools/deploy.sh --extra-vars @benchmarks/overlay.yml
stage "Stock batchspawner beside it" ansible-playbook -i inventories/minipool --extra-vars @benchmarks/overlay.yml \
  benchmarks/stock/deploy.yml
python -m benchmarks --out "$out" "${options[@]}" "$@"
