#!/usr/bin/env bash
# open-ssh.sh PREFIX DOMAIN STATE HOST...: puts the instance's key into the deploy accounts and writes STATE/ssh_config and
# STATE/known_hosts for the addresses that the containers have now. The engine is asked for the host keys, not the network.
set -euo pipefail
prefix=$1 domain=$2 state=$3
shift 3

for host in "$@"; do
  container=$prefix-$host
  deadline=$((SECONDS + 180))
  until docker exec "$container" test -s /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null &&
    docker exec "$container" systemctl is-active --quiet ssh 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      echo "sshd of $container did not start within 180 s: $(docker logs --tail 5 "$container" 2>&1)" >&2
      exit 1
    fi
    sleep 0.3
  done
  docker exec -i "$container" sh -c 'f=/var/lib/deploy/.ssh/authorized_keys; k=$(cat); grep -qsF "$k" $f && exit 0
    echo "$k" >> $f && chown deploy: $f && chmod 600 $f && echo changed' <"$state/id_ed25519.pub"
done

new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT
for host in "$@"; do
  container=$prefix-$host
  address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container")
  printf '%s %s\n' "$container" "$(docker exec "$container" cut -d' ' -f1,2 /etc/ssh/ssh_host_ed25519_key.pub)" >>"$new/known_hosts"
  cat >>"$new/ssh_config" <<TXT
Host $container $host $host.$domain
  HostName $address
  HostKeyAlias $container
  User deploy
  IdentityFile $state/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile $state/known_hosts
  StrictHostKeyChecking yes
TXT
done
for file in known_hosts ssh_config; do
  cmp -s "$new/$file" "$state/$file" || { install -m 0600 "$new/$file" "$state/$file" && echo "changed $file"; }
done
