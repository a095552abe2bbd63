#!/usr/bin/env bash
# Makes images that stand in for the public ones, for a machine without a registry, from what the machine has:
#
#   golang   $GOROOT, busybox and the module cache: pass --build-arg GOPROXY=file:///modules
#   nats     nats-server as a static binary, built from the module that go.mod names
#   caddy, prometheus   the programs found in PATH, with their libraries
#
# Usage: deploy/local_images.sh [golang] [nats] [caddy] [prometheus]; none: all. Each gets the name that deploy/Dockerfile
# or docker-compose.yml uses. It needs Docker, and busybox-static, caddy and prometheus of Debian.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT

# named FILE IMAGE prints the whole name under which FILE uses the image.
named() { grep -oE "\b$2:[A-Za-z0-9._-]+" "$1" | head -n 1; }

# built NAME IMAGE makes an image of the Dockerfile on standard input and the folder $folder/NAME.
built() {
  cat >"$folder/$1/Dockerfile"
  docker build --quiet -t "$2" "$folder/$1" >/dev/null
  docker image inspect --format "$2: {{.Size}} bytes" "$2"
}

make_golang() {
  local root=$folder/golang cache
  mkdir -p "$root/bin" "$root/usr/local" "$root/etc/ssl/certs" "$root/tmp" "$root/root"
  cp "$(command -v busybox)" "$root/bin/busybox"
  "$root/bin/busybox" --list | grep -vx busybox | while read -r applet; do ln -s busybox "$root/bin/$applet"; done
  cp -r "$(go env GOROOT)" "$root/usr/local/go"
  rm -rf "$root/usr/local/go/"{test,doc,api}
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
  cache=$(go env GOMODCACHE)
  go mod download
  # Only what this module needs, out of all that the cache holds.
  GOMODCACHE=$folder/modcache GOPROXY=file://$cache/cache/download GOSUMDB=off go mod download
  mv "$folder/modcache/cache/download" "$root/modules"
  built golang "$(sed -n 's/^ARG GO_IMAGE=//p' deploy/Dockerfile)" <<'END'
FROM scratch
COPY . /
ENV PATH=/usr/local/go/bin:/bin GOTOOLCHAIN=local HOME=/root
END
}

make_nats() {
  mkdir "$folder/nats"
  CGO_ENABLED=0 go build -trimpath -o "$folder/nats/nats-server" github.com/nats-io/nats-server/v2
  built nats "$(named docker-compose.yml nats)" <<'END'
FROM scratch
COPY nats-server /nats-server
ENTRYPOINT ["/nats-server"]
END
}

# copied NAME IMAGE makes an image of a program in PATH; the Dockerfile on standard input goes on from there.
copied() {
  local binary library
  binary=$(command -v "$1")
  mkdir -p "$folder/$1/bin"
  cp "$binary" "$folder/$1/bin/$1"
  for library in $(ldd "$binary" | grep -o '/[^ ]*'); do
    mkdir -p "$folder/$1$(dirname "$library")"
    cp "$library" "$folder/$1$library"
  done
  { printf 'FROM scratch\nCOPY . /\n'; cat; } | built "$1" "$2"
}

make_caddy() {
  copied caddy "$(named docker-compose.yml caddy)" <<'END'
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
CMD ["/bin/caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]
END
}

make_prometheus() {
  copied prometheus "$(named docker-compose.yml prom/prometheus)" <<'END'
ENTRYPOINT ["/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
END
}

for image in "${@:-golang nats caddy prometheus}"; do
  for name in $image; do "make_$name"; done
done
