#!/usr/bin/env bash
# Makes .venv with the pinned tools of requirements/<set>.txt (set: deploy or test). Quick when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?usage: tools/venv.sh deploy|test}
# shellcheck source=tools/lib.sh
. tools/lib.sh

stamp_of() { printf '.venv/.afhub-%s-%s' "$1" "$(python3 -V | cat - "requirements/$1.txt" | sha256sum | cut -c1-16)"; }

# The test set holds the deploy set, so that either is good enough for a deployment.
for candidate in "$set_name" test; do
  if [ -e "$(stamp_of "$candidate")" ] && .venv/bin/python -c '' 2>/dev/null; then
    say "The tools in .venv are up to date."
    exit 0
  fi
done

command -v python3 >/dev/null || die "python3 is not installed." "apt-get install python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  die "python3 is $(python3 -V | cut -d' ' -f2); 3.11 or newer is needed." "put a newer python3 first on your PATH"
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  say "Installing python3-venv."
  as_root apt_install python3-venv
fi

say "Installing the pinned tools of requirements/$set_name.txt into .venv (a minute on the first run)."
rm -f .venv/.afhub-*
# --clear: a half-made environment of an interrupted run is not worth mending.
python3 -m venv --clear .venv
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "requirements/$set_name.txt" 2>&1 |
  { grep -v 'is ignored: it is neither a file nor a directory' || true; } ||
  die "the tools could not be installed from the Python package index." \
    "check the network (and pip's own settings, 'pip config list'), then run this again"
touch "$(stamp_of "$set_name")"
