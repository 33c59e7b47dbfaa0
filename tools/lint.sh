#!/usr/bin/env bash
# make lint: every linter over everything, with no rule skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

output=$(mktemp -d)
trap 'rm -rf "$output"' EXIT
names=()
pids=()

# run NAME COMMAND...: beside all the others; what it says is shown at the end, in the order of these lines.
run() {
  local name=$1
  shift
  "$@" >"$output/$name" 2>&1 &
  names+=("$name")
  pids+=($!)
}

run ansible-lint ansible-lint --offline
run mypy mypy
run lint-lab tools/lint-lab.sh
run ruff ruff check .
run ruff-format ruff format --check .
run yamllint yamllint --strict .
mapfile -t scripts < <(git ls-files --cached --others --exclude-standard | while read -r file; do
  # A template is no script before it is rendered.
  [ -f "$file" ] && [[ $file != *.j2 ]] && head -n 1 "$file" | grep -qE '^#!.*(bash|sh)$' && printf '%s\n' "$file" || true
done)
run shellcheck shellcheck --external-sources "${scripts[@]}"

failed=()
for i in "${!names[@]}"; do
  wait "${pids[$i]}" || failed+=("${names[$i]}")
  printf '%s\n' "-- ${names[$i]}"
  cat "$output/${names[$i]}"
done
[ ${#failed[@]} = 0 ] || {
  echo "These complain: ${failed[*]}"
  exit 1
}
