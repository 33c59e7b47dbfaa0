#!/usr/bin/env bash
# 'molecule test' of the default scenario, but that the pool stays: made, prepared, deployed, deployed again, verified. Prints how
# long each step took; all that it says is in test-results/molecule.txt.
set -euo pipefail
cd "$(dirname "$0")/.."
results=test-results
step='' begin=$SECONDS
while IFS= read -r line; do
  printf '%s\n' "$line" >>"$results/molecule.txt"
  if [[ $line =~ \[default\ \>\ ([a-z]+)\]\ Executing ]]; then
    [ -z "$step" ] || printf '%-14s %4d s\n' "$step" $((SECONDS - begin))
    step=${BASH_REMATCH[1]} begin=$SECONDS
  fi
done < <(
  # Molecule remembers a pool that make down has removed since, and with --destroy=never does not begin by removing it itself.
  { NO_COLOR=1 molecule destroy && NO_COLOR=1 molecule test --destroy=never; } 2>&1 || echo "molecule test failed"
)
[ -z "$step" ] || printf '%-14s %4d s\n' "$step" $((SECONDS - begin))
if tail -n 1 "$results/molecule.txt" | grep -q '^molecule test failed$'; then
  grep -vE '^(ok|included|skipping): |^$' "$results/molecule.txt" | tail -n 80
  echo "molecule test failed in '$step'; all of it: $results/molecule.txt"
  exit 1
fi
grep -E '[0-9]+ passed' "$results/molecule.txt" | tail -n 1
