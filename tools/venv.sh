#!/usr/bin/env bash
# Makes .venv with the pinned tools of requirements/<set>.txt (set: deploy or test). Quick when it is up to date.
set -euo pipefail
cd "$(dirname "$0")/.."
set_name=${1:?usage: tools/venv.sh deploy|test}
# shellcheck source=tools/lib.sh
. tools/lib.sh

# Two that make it at the same time would each clear away what the other installs. A linked .venv is one for several checkouts.
if command -v flock >/dev/null; then
  exec 9>"$(readlink -f .venv).lock"
  flock --nonblock 9 || {
    say "Waiting for another run that installs the tools."
    flock 9
  }
fi

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

say "Installing the pinned tools of requirements/$set_name.txt into .venv (half a minute on the first run)."
# A whole environment with the deploy set, as 'make up' leaves it, is added to. A half-made one of an interrupted run is
# not worth mending.
whole=
if [ -e "$(stamp_of deploy)" ] && .venv/bin/python -c '' 2>/dev/null; then whole=1; fi
rm -f .venv/.afhub-*
[ "$whole" ] || python3 -m venv --clear .venv
could_not="the tools could not be installed from the Python package index."
cure="check the network (and pip's own settings, 'pip config list'), then run this again"
pip() {
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes "$@" 2>&1 |
    { grep -v 'is ignored: it is neither a file nor a directory' || true; }
}
# uv does in seconds what takes pip more than a minute. It does not read pip's settings, so that an index of the site's is handed on.
index=$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)
[ -z "${PIP_INDEX_URL:-$index}" ] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-${PIP_INDEX_URL:-$index}}
export SSL_CERT_FILE=${SSL_CERT_FILE:-${PIP_CERT:-/etc/ssl/certs/ca-certificates.crt}}
pip -r requirements/uv.txt || die "$could_not" "$cure"
if ! .venv/bin/uv pip install --quiet --require-hashes --python .venv/bin/python -r "requirements/$set_name.txt"; then
  # Where only pip knows the way, for example by a proxy or a password of its own.
  pip -r "requirements/$set_name.txt" || die "$could_not" "$cure"
fi
# Programs that are used again and again start faster; what Ansible sends to hosts is never run here.
.venv/bin/python -m compileall -q -j 0 -x 'ansible_collections|ansible/modules|ansible_test|/tests?/' .venv/lib >/dev/null || true
touch "$(stamp_of "$set_name")"
