#!/usr/bin/env bash
# Types, rules and format of the Lab side of python/jupyter-afhub. Node.js comes with .venv, the tools from the lock file.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
# shellcheck source=tools/lib.sh
. tools/lib.sh
cd python/jupyter-afhub/lab

stamp=node_modules/.afhub-$(sha256sum package-lock.json | cut -c1-16)
if [ ! -e "$stamp" ]; then
  say "Installing the pinned tools of python/jupyter-afhub/lab/package-lock.json."
  # What the operating system trusts, a site's own registry included. No package of the lock needs a script of its own.
  NODE_USE_SYSTEM_CA=1 npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier ||
    die "the tools of the Lab side could not be installed from the npm registry." \
      "check the network (and npm's own settings, 'npm config list'), then run this again"
  touch "$stamp"
fi

node node_modules/typescript/bin/tsc --project .
node node_modules/eslint/bin/eslint.js --max-warnings 0 .
node node_modules/prettier/bin/prettier.cjs --log-level warn --check .
