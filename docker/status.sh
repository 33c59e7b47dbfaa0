#!/usr/bin/env bash
# status.sh PREFIX: hosts and daemons of a mini-pool, then what the hub says of slots and notebooks.
set -euo pipefail
prefix=$1
printf '%-10s %-10s %s\n' HOST STATE DAEMONS
docker ps --all --filter "name=^$prefix-(hub|nbcm|worker1|worker2|big1|big2|batch)$" --format '{{.Names}} {{.State}}' | sort |
  while read -r name state; do
    daemons='-'
    if [ "$state" = running ]; then
      daemons=$(docker exec "$name" sh -c \
        "ps -eo args= | sed -nE 's#^(/usr/sbin/)?condor_(collector|negotiator|schedd|startd)( .*-local-name NB.*)?#\2\3#p' |
         sed -E 's/startd .*-local-name NB.*/notebook-startd/; s/ .*//' | sort | uniq -c | sed -E 's/^ *1 //; s/^ *([0-9]+) /\1x /'
         for unit in afhub-hub afhub-proxy nginx; do systemctl is-active --quiet \$unit && echo \$unit; done; true" </dev/null | paste -sd' ')
    fi
    printf '%-10s %-10s %s\n' "${name#"$prefix"-}" "$state" "$daemons"
  done
echo
docker exec "$prefix-hub" /opt/afhub/hub/current/bin/afhub status
