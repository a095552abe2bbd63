#!/usr/bin/env bash
# Builds the static binaries of a release and their checksums: deploy/release.sh VERSION [FOLDER]
#
#   FOLDER/mewsbridge-VERSION-OS-ARCH[.exe]   one for each of $TARGETS
#   FOLDER/SHA256SUMS                         check with: sha256sum -c SHA256SUMS
#
# The same source, version and Go make the same bytes, wherever and whenever they are built: no path, time or state of
# the working copy gets in. `go version -m FILE` lists the modules inside.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?usage: deploy/release.sh VERSION [FOLDER]}
folder=${2:-dist}
targets=${TARGETS:-linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64}

if ! [[ $version =~ ^[A-Za-z0-9._+-]+$ ]]; then
  echo "release.sh: version '$version' may hold only letters, digits and . _ + -" >&2
  exit 64
fi
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

built=()
for target in $targets; do
  name=mewsbridge-$version-${target/\//-}
  case $target in windows/*) name=$name.exe ;; esac
  echo "building $name"
  CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=$version" -o "$folder/$name" ./cmd/mewsbridge
  built+=("$name")
done

cd "$folder"
if command -v sha256sum >/dev/null; then
  sha256sum -- "${built[@]}" >SHA256SUMS
else # macOS
  shasum -a 256 -- "${built[@]}" >SHA256SUMS
fi
cat SHA256SUMS
