#!/usr/bin/env bash
# make lint: every linter over everything, with no rule skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

run() {
  printf '%s\n' "-- $1"
  "$@"
}

run ruff check .
run ruff format --check .
run mypy
run yamllint --strict .
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard | while read -r file; do
  # A template is no script before it is rendered.
  [ -f "$file" ] && [[ $file != *.j2 ]] && head -n 1 "$file" | grep -qE '^#!.*(bash|sh)$' && printf '%s\n' "$file" || true
done)
run shellcheck --external-sources "${scripts[@]}"
run tools/lint-lab.sh
run ansible-lint --offline
