#!/usr/bin/env bash
# Refuses what cannot work before anything is made: the instance's name ($INSTANCE), its port ($PORT), the space on the disk.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

instance=${INSTANCE:-default}
[[ $instance =~ ^[a-z0-9][a-z0-9-]{0,20}$ ]] ||
  die "INSTANCE=$instance cannot be part of a container's name." \
    "write 1 to 21 lower-case letters, digits or dashes, for example INSTANCE=second"

# An instance keeps the port it was made with; docker/create.yml writes it down.
of_before=$(cat ".minipool/$instance/port" 2>/dev/null || true)
port=${PORT:-${of_before:-8443}}
if ! [[ $port =~ ^[0-9]{1,5}$ ]] || [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then
  die "PORT=$port is no port." "write a number from 1 to 65535, for example PORT=8444"
fi
if [ -n "$of_before" ] && [ "$port" != "$of_before" ]; then
  die "PORT=$port, but the instance '$instance' has port $of_before already." \
    "leave PORT out, or run 'make down INSTANCE=$instance' first"
fi
if [ -z "$of_before" ] && (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
  die "port $port of this machine is taken by another program (or another instance, see 'docker ps')." \
    "choose another one, for example PORT=$((port + 1))"
fi

need_free_gb "${MINIPOOL_MIN_FREE_GB:-8}" "the mini-pool"

# Every systemd watches files with a few of these, and one that gets none ends with exit code 255.
watchers=${MINIPOOL_INOTIFY_INSTANCES:-$(cat /proc/sys/fs/inotify/max_user_instances)}
others=$(docker ps --quiet --filter name=^afhub- 2>/dev/null | wc -l || true)
if [ "$watchers" -lt $(((others + 7) * 6)) ]; then
  die "fs.inotify.max_user_instances is $watchers, too few for seven hosts more beside the $others that run." \
    "as root: sysctl fs.inotify.max_user_instances=1024"
fi
