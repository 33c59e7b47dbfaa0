# shellcheck shell=bash
# Words and rights that the shell scripts of this repository share. Sourced, never run.

say() { printf '%s\n' "$*"; }

# die PROBLEM CURE: one problem, and what to type next.
die() {
  printf '\nERROR: %s\n       What to do: %s\n' "$1" "$2" >&2
  exit 1
}

# Runs one of this file's functions or a command as root: directly, or through sudo where it asks no password.
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif sudo -n true 2>/dev/null; then
    sudo -n bash -c "$(declare -f say die apt_install); set -euo pipefail; \"\$@\"" as_root "$@"
  else
    die "root is needed for: $*" "run this once as root, or allow sudo without a password for it"
  fi
}

apt_install() {
  command -v apt-get >/dev/null || die "this machine has no apt-get, so $* cannot be installed here." "install it by hand"
  # A list that is missing or stale makes an install fail; a second try after an update tells the two apart.
  if ! DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null 2>&1; then
    apt-get update -qq || die "the package lists cannot be fetched." "check the network and /etc/apt/sources.list"
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null ||
      die "$* cannot be installed." "see what 'apt-get install $*' says"
  fi
}

# need_free_gb NUMBER WHAT: dies where the engine's disk has less room than WHAT needs.
need_free_gb() {
  local root free_gb
  root=$(docker info --format '{{.DockerRootDir}}' 2>/dev/null || true)
  root=${root:-/var/lib/docker}
  while [ ! -d "$root" ]; do root=$(dirname "$root"); done
  free_gb=$(($(df --output=avail -k "$root" | tail -n 1) / 1024 / 1024))
  [ "$free_gb" -ge "$1" ] || die "only $free_gb GB are free on the disk of $root; $2 needs $1 GB." \
    "free some space there, for example with 'docker system prune'"
}

# Not one of those that connections get by themselves: between this answer and its use pass minutes.
free_port() {
  python3 - <<'PYTHON'
import random
import socket

while True:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", random.randrange(20000, 32000)))
        except OSError:
            continue
        print(probe.getsockname()[1])
        break
PYTHON
}

have_chromium() {
  if ! command -v chromium >/dev/null; then
    say "Installing Chromium."
    as_root apt_install chromium
  fi
}

# What 'stage' logs to, and what to do after a failure: set by the script.
log=
cure=

# stage TITLE COMMAND...: one line for each stage, with its time; after a failure also the end of its output.
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
    # A command that says nothing fails as well.
    { grep -vE '^(ok|included|skipping): |^$' "$log.stage" || true; } | tail -n 40
    die "'$title' failed." "$cure (everything: $log)"
  fi
}

# The stage that runs beside the others, if any: its process group, title, start and the file with its output.
beside_pid=
beside_title=
beside_at=
beside_out=

# beside TITLE COMMAND...: a stage that runs beside the next ones, until 'join'. Ends with the script, however that ends.
beside() {
  beside_title=$1 beside_at=$SECONDS beside_out=$log.beside
  shift
  # A process group of its own, so that all of it can be ended.
  set -m
  (
    code=0
    "$@" >"$beside_out" 2>&1 || code=$?
    echo "$SECONDS" >"$beside_out.end"
    exit "$code"
  ) </dev/null &
  beside_pid=$!
  set +m
  trap stop_beside EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# Shell jobs end when they are told, but what they print last should not come after the script's own words.
stop_beside() {
  [ -n "$beside_pid" ] || return 0
  kill -- "-$beside_pid" 2>/dev/null || true
  wait "$beside_pid" 2>/dev/null || true
  rm -f "$beside_out" "$beside_out.end"
  beside_pid=
}

# join: waits for the stage that runs beside, and reports it as 'stage' does, with the time that it took itself.
join() {
  local at=$SECONDS code=0
  printf '%-58s' "$beside_title"
  wait "$beside_pid" || code=$?
  beside_pid=
  cat "$beside_out" >>"$log"
  at=$(cat "$beside_out.end" 2>/dev/null || echo "$SECONDS")
  if [ "$code" = 0 ]; then
    printf '%4d s beside\n' $((at - beside_at))
    rm -f "$beside_out" "$beside_out.end"
  else
    printf 'FAILED\n\n'
    tail -n 40 "$beside_out"
    rm -f "$beside_out" "$beside_out.end"
    die "'$beside_title' failed." "$cure (everything: $log)"
  fi
}
