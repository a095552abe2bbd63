#!/usr/bin/env bash
# Builds the image of deploy/Dockerfile with the Go of this machine instead of a Go image: deploy/image.sh VERSION [TAG]
#
# The binary is the one of deploy/release.sh, and the last stage of deploy/Dockerfile is taken as it is. TARGET is the
# platform (linux/amd64), CA_BUNDLE the file with the certificate authorities.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${1:?usage: deploy/image.sh VERSION [TAG]}
tag=${2:-mewsbridge:$version}
target=${TARGET:-linux/amd64}
bundle=${CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir -p "$context/binary" "$context/out/root/etc/ssl/certs" "$context/out/owned/data"
TARGETS=$target deploy/release.sh "$version" "$context/binary" >&2
mv "$context/binary/mewsbridge-$version-${target/\//-}" "$context/out/root/mewsbridge"
cp "$bundle" "$context/out/root/etc/ssl/certs/ca-certificates.crt"
sed -n '/^FROM scratch$/,$s/^COPY --from=build /COPY /; /^FROM scratch$/,$p' deploy/Dockerfile >"$context/Dockerfile"

docker build --quiet --platform "$target" --build-arg VERSION="$version" \
  --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || true)" -t "$tag" "$context" >&2
size=$(docker image inspect --format '{{.Size}}' "$tag")
echo "$tag: $size bytes, $target"
if [ "$size" -gt $((30 << 20)) ]; then
  echo "image.sh: the image is larger than 30 MiB" >&2
  exit 1
fi
