#!/usr/bin/env bash
# open-ssh.sh PREFIX DOMAIN STATE HOST...: puts the instance's key into the deploy accounts and writes STATE/ssh_config and
# STATE/known_hosts for the addresses that the containers have now. The engine is asked for the host keys, not the network.
set -euo pipefail
prefix=$1 domain=$2 state=$3
shift 3
new=$(mktemp -d)
trap 'rm -rf "$new"' EXIT

open_host() {
  local host=$1 container=$prefix-$1 deadline=$((SECONDS + 180)) address key
  until docker exec "$container" sh -c 'test -s /etc/ssh/ssh_host_ed25519_key.pub && systemctl is-active --quiet ssh' 2>/dev/null; do
    if [ $SECONDS -ge $deadline ]; then
      echo "sshd of $container did not start within 180 s: $(docker logs --tail 5 "$container" 2>&1)" >&2
      return 1
    fi
    sleep 0.3
  done
  key=$(docker exec -i "$container" sh -c 'f=/var/lib/deploy/.ssh/authorized_keys; k=$(cat); grep -qsF "$k" $f || {
    echo "$k" >> $f && chown deploy: $f && chmod 600 $f && echo changed; }
    cut -d" " -f1,2 /etc/ssh/ssh_host_ed25519_key.pub' <"$state/id_ed25519.pub")
  # The key comes last; before it, perhaps, that something has changed.
  [ "$(wc -l <<<"$key")" = 1 ] || echo changed
  address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container")
  printf '%s %s\n' "$container" "$(tail -n 1 <<<"$key")" >"$new/$host.known_hosts"
  cat >"$new/$host.ssh_config" <<TXT
Host $container $host $host.$domain
  HostName $address
  HostKeyAlias $container
  User deploy
  IdentityFile $state/id_ed25519
  IdentitiesOnly yes
  UserKnownHostsFile $state/known_hosts
  StrictHostKeyChecking yes
TXT
}

jobs=()
for host in "$@"; do
  open_host "$host" &
  jobs+=($!)
done
code=0
for job in "${jobs[@]}"; do wait "$job" || code=1; done
[ $code = 0 ] || exit 1

for file in known_hosts ssh_config; do
  for host in "$@"; do cat "$new/$host.$file"; done >"$new/$file"
  cmp -s "$new/$file" "$state/$file" || { install -m 0600 "$new/$file" "$state/$file" && echo "changed $file"; }
done
