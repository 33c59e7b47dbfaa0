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
    grep -vE '^(ok|included|skipping): |^$' "$log.stage" | tail -n 40
    die "'$title' failed." "$cure (everything: $log)"
  fi
}
