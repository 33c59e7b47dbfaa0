#!/usr/bin/env bash
# minipool.sh up|down|status: the mini-pool of the instance $INSTANCE, on this machine's container engine.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

command=${1:?usage: minipool.sh up|down|status}
instance=${INSTANCE:-default}
prefix=afhub$([ "$instance" = default ] || echo "-$instance")
state=.minipool/$instance
log=$state.log
# What one call of the engine may take on a busy disk is read by the modules of community.docker.
export INSTANCE=$instance ANSIBLE_FORCE_COLOR=0 DOCKER_TIMEOUT=600
PATH=$PWD/.venv/bin:$PATH

cure="read the lines above, mend it, then run 'make up' again: it goes on from there"

case $command in
up)
  docker/check.sh
  mkdir -p .minipool
  : >"$log"
  say "Mini-pool '$instance': making it, or what is missing of it. Everything is logged in $log."
  # Neither engine nor images need the tools.
  beside "Tools of the control node (.venv)" tools/venv.sh deploy
  stage "Container engine" docker/engine.sh
  stage "Images (base, bare host, software tree)" docker/images.sh
  join
  stage "Seven bare hosts" ansible-playbook docker/create.yml
  stage "Accounts and certificate of the site" ansible-playbook -i inventories/minipool docker/prepare.yml
  stage "Deployment (make deploy SITE=inventories/minipool)" env SITE=inventories/minipool tools/deploy.sh
  rm -f "$log.stage"
  cat <<TXT

The hub is at    https://localhost:$(cat "$state/port")/
Log in as        alice or bob (the password is the name; accounts of this mini-pool only)
See it           make status$([ "$instance" = default ] || echo " INSTANCE=$instance")
A shell on a host    ssh -F $state/ssh_config worker1   (hub nbcm worker1 worker2 big1 big2 batch)
Remove it        make down$([ "$instance" = default ] || echo " INSTANCE=$instance")
The browser warns of a certificate that it does not know: it is signed by $state/tls/ca.pem.
TXT
  ;;
down)
  mkdir -p .minipool
  tools/venv.sh deploy >/dev/null
  if command -v docker >/dev/null && docker info >/dev/null 2>&1; then
    ansible-playbook docker/destroy.yml >"$log" 2>&1 || { tail -n 30 "$log"; die "the mini-pool '$instance' was not removed." "see above"; }
  elif [ -d "$state" ]; then
    docker/engine.sh
    exec "$0" down
  fi
  rm -rf "$state" "$log" "$log.stage"
  rmdir .minipool 2>/dev/null || true
  say "Mini-pool '$instance': removed. Images stay as a cache ('docker image rm afhub-host:trixie afhub-cvmfs afhub-base:trixie')."
  ;;
status)
  if ! command -v docker >/dev/null || ! docker info >/dev/null 2>&1; then
    die "no container engine answers." "make up starts it"
  fi
  docker container inspect "$prefix-hub" >/dev/null 2>&1 || die "there is no mini-pool '$instance'." "make up"
  exec docker/status.sh "$prefix"
  ;;
*) die "minipool.sh knows no '$command'." "use up, down or status" ;;
esac
