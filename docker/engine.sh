#!/usr/bin/env bash
# Finds a container engine that works, or installs Debian's docker.io and starts it. Changes nothing where one answers.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

log=/var/log/afhub-dockerd.log

answers() { docker info >/dev/null 2>&1; }

wait_for_engine() {
  local deadline=$((SECONDS + 60))
  until answers; do
    [ $SECONDS -lt $deadline ] || die "the container engine did not answer within 60 s." "read $log or 'journalctl -u docker'"
    sleep 0.3
  done
}

start_by_hand() {
  # An engine that was killed leaves its pid file behind; the number may belong to another process by now.
  local pid_file=/var/run/docker.pid
  if [ -s "$pid_file" ] && ! grep -qs dockerd "/proc/$(cat "$pid_file")/comm"; then
    rm -f "$pid_file"
  fi
  setsid nohup dockerd >"$1" 2>&1 </dev/null &
}

# Every systemd in a container watches files with a few of these; the usual 128 are used up by four pools.
watchers=/proc/sys/fs/inotify/max_user_instances
if [ "$(cat $watchers)" -lt 1024 ] && (as_root sysctl -q -w fs.inotify.max_user_instances=1024) >/dev/null 2>&1; then
  say "fs.inotify.max_user_instances is 1024 until the next boot, so that several pools fit."
fi

if command -v docker >/dev/null && answers; then
  say "The container engine answers: $(docker version --format '{{.Server.Version}}')."
  exit 0
fi

said=$(command -v docker >/dev/null && docker info 2>&1 || true)
if grep -qi 'permission denied' <<<"$said"; then
  die "the container engine runs, but $(id -un) may not use it." \
    "usermod -aG docker $(id -un) as root, then log in again; or run this as root"
fi

if ! command -v dockerd >/dev/null && [ ! -x /usr/sbin/dockerd ]; then
  say "Installing the container engine (docker.io)."
  as_root apt_install docker.io iptables
fi

say "Starting the container engine."
if [ -d /run/systemd/system ]; then
  as_root systemctl start docker
else
  PATH=$PATH:/usr/sbin:/sbin
  as_root true
  if [ "$(id -u)" = 0 ]; then
    start_by_hand "$log"
  else
    sudo -n bash -c "$(declare -f start_by_hand); PATH=\$PATH:/usr/sbin:/sbin; start_by_hand $log"
  fi
fi
wait_for_engine
say "The container engine answers: $(docker version --format '{{.Server.Version}}')."
