#!/usr/bin/env bash
# Makes the images of the mini-pool: a Debian 13 base (pulled, or built from Debian's packages where no registry
# answers), the bare host, and the tree that stands in for a CVMFS repository. What is there already is kept.
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=tools/lib.sh
. tools/lib.sh

release=trixie
base=afhub-base:$release
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

make_base() {
  docker image inspect "$base" >/dev/null 2>&1 && return
  if timeout 90 docker pull --quiet "debian:$release-slim" >/dev/null 2>&1; then
    say "Base image: pulled debian:$release-slim."
    docker tag "debian:$release-slim" "$base"
    return
  fi
  say "Base image: no registry answers, building Debian $release from its packages."
  command -v mmdebstrap >/dev/null || as_root apt_install mmdebstrap
  # A tar between the two commands, so that a failure of the first is not imported as a small image.
  mmdebstrap --quiet --variant=minbase --include=ca-certificates "$release" "$context/base.tar" ||
    die "Debian $release could not be built from its packages." "check that this machine reaches a Debian mirror"
  docker import "$context/base.tar" "$base" >/dev/null
  rm -f "$context/base.tar"
}

# Where an egress proxy signs TLS anew, the bare hosts trust what this machine trusts.
copy_local_certificates() {
  mkdir -p "$1/certificates"
  find /usr/local/share/ca-certificates -name '*.crt' -exec cp {} "$1/certificates/" \; 2>/dev/null || true
  touch "$1/certificates/.keep"
}

build() {
  local tag=$1 folder=$2
  shift 2
  if ! docker build --quiet --tag "$tag" "$@" "$folder" >"$folder.log" 2>&1; then
    cat "$folder.log" >&2
    die "the image $tag could not be built." "read the lines above; docker/images.sh can be run by itself"
  fi
}

proxies=()
for name in http_proxy https_proxy no_proxy; do
  [ -z "${!name:-}" ] || proxies+=(--build-arg "$name=${!name}")
done

make_base
cp -r docker/host "$context/host"
cp -r docker/cvmfs "$context/cvmfs"
cp requirements/kernel.txt requirements/kernel-build.txt "$context/cvmfs/"
cp -r python/afhub-outsource "$context/cvmfs/"
copy_local_certificates "$context/host"
copy_local_certificates "$context/cvmfs"

# Neither of the two is made from the other.
say "Bare host image."
build afhub-host:$release "$context/host" --build-arg "BASE=$base" "${proxies[@]}" &
host=$!
say "Tree that stands in for the CVMFS repository af.example.org (some minutes on the first run)."
build afhub-cvmfs:latest "$context/cvmfs" --build-arg "BASE=$base" "${proxies[@]}" &
tree=$!
code=0
wait "$host" || code=1
wait "$tree" || code=1
exit "$code"
