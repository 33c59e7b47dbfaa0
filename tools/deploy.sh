#!/usr/bin/env bash
# make deploy: runs ansible/site.yml against the inventory $SITE. CHECK=1 shows what would change; LIMIT narrows the hosts.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

[ -e "${SITE:?}" ] || die "SITE=$SITE does not exist." "name an inventory, for example SITE=inventories/example ($(echo inventories/*))"
options=()
[ "${CHECK:-}" != 1 ] || options+=(--check --diff)
[ -z "${LIMIT:-}" ] || options+=(--limit "$LIMIT,localhost")
PATH=$PWD/.venv/bin:$PATH
exec ansible-playbook -i "$SITE" "${options[@]}" ansible/site.yml "$@"
