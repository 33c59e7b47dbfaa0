#!/usr/bin/env bash
# remove-pool.sh INSTANCE [VOLUME]: removes the containers, networks and volumes that carry the label of an instance, all of a kind at
# once; the VOLUME named stays. Prints 'changed' where there was anything.
set -euo pipefail
label=afhub.instance=$1
kept=${2:-}

mapfile -t containers < <(docker ps --all --quiet --filter "label=$label")
mapfile -t networks < <(docker network ls --quiet --filter "label=$label")
mapfile -t volumes < <(docker volume ls --quiet --filter "label=$label" | grep -vFx "$kept")

[ ${#containers[@]} = 0 ] || { docker rm --force --volumes "${containers[@]}" >/dev/null && echo "changed: containers"; }
[ ${#networks[@]} = 0 ] || { docker network rm "${networks[@]}" >/dev/null && echo "changed: networks"; }
[ ${#volumes[@]} = 0 ] || { docker volume rm "${volumes[@]}" >/dev/null && echo "changed: volumes"; }
