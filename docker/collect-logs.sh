#!/usr/bin/env bash
# collect-logs.sh PREFIX FOLDER: copies what explains a failure from a mini-pool: HTCondor's logs and the hub's journal.
set -euo pipefail
prefix=$1 folder=$2
mkdir -p "$folder"
for name in $(docker ps --filter "name=^$prefix-" --format '{{.Names}}'); do
  {
    docker exec "$name" sh -c 'journalctl --no-pager -n 5000 -u afhub-hub -u afhub-proxy -u nginx 2>/dev/null;
      for log in /var/log/condor/*Log; do echo "== $log"; tail -n 5000 "$log"; done; true'
  } >"$folder/$name.log" 2>&1 || true
done
echo "Logs of the hosts: $folder"
