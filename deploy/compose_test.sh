#!/usr/bin/env bash
# Proves docker-compose.yml: starts it whole, sends 10,000 events, kills a NATS server and a bridge meanwhile, looks for every
# event in the stream, and stops everything. An event may be there twice: what the bridge had stored and not yet answered
# when it was killed.
#
# It takes about two minutes and needs Docker, so it is not part of the ordinary tests. Images that are not there are made from this
# machine (deploy/local_images.sh): to test the public ones, pull them before.
set -euo pipefail
cd "$(dirname "$0")/.."

export COMPOSE_PROJECT_NAME=mewsbridge-test VERSION=compose-test
image=mewsbridge:$VERSION
for name in MEWSBRIDGE_TOKENS MEWS_BRIDGE_PASSWORD MEWS_CONSUMER_PASSWORD MEWS_INTEGRATIONS_PASSWORD MEWS_OPERATOR_PASSWORD NATS_SYS_PASSWORD; do
  export "$name=t$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')"
done
operator=operator:$MEWS_OPERATOR_PASSWORD
export HTTP_PORT=0 NATS_PORT=0 PROMETHEUS_PORT=0 # any that is free

if docker compose version >/dev/null 2>&1; then compose=(docker compose); else compose=(docker-compose); fi
compose() { "${compose[@]}" "$@"; }
step() { printf '\n== %s\n' "$*"; }
fail() { printf 'FAIL: %s\n' "$*" >&2; exit 1; }

end() {
  status=$?
  if [ $status -ne 0 ]; then compose logs --tail 40 || true; fi
  compose down --volumes --timeout 15 >/dev/null 2>&1 || true
  exit $status
}
trap end EXIT

# until_true WHAT COMMAND… waits up to 60 s.
until_true() {
  local what=$1 deadline=$((SECONDS + 60))
  shift
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $deadline ] || fail "$what: not within 60 s"
    sleep 0.5
  done
  echo "$what: yes"
}

# send WEBHOOKS SEED OPTIONS… sends webhooks of 20 events through the proxy and looks for the events in NATS.
send() {
  docker run --rm --network "${COMPOSE_PROJECT_NAME}_default" "$image" send --webhooks "$1" --events 20 --seed "$2" --retry-after 3s --verify \
    --url "http://proxy:8080/webhooks/mews?Token=$MEWSBRIDGE_TOKENS" \
    --nats "nats://$operator@nats-1:4222,nats://$operator@nats-3:4222" "${@:3}"
}

healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$(compose ps -q "$1")")" = healthy ]; }

step 'images'
for name in $(grep -oE '\b(nats|caddy|prom/prometheus):[A-Za-z0-9._-]+$' docker-compose.yml | sort -u); do
  program=${name%%:*}
  docker image inspect "$name" >/dev/null 2>&1 || deploy/local_images.sh "${program##*/}"
done
deploy/image.sh "$VERSION" "$image"

step 'start'
compose up --detach --no-build
for bridge in bridge-1 bridge-2; do
  until_true "$bridge ready" compose exec -T "$bridge" /mewsbridge health --ready
  until_true "$bridge healthy, says Docker" healthy "$bridge"
done

# prometheus QUERY prints the value of an expression.
prometheus() {
  curl -fsG "http://$(compose port prometheus 9090)/api/v1/query" --data-urlencode "query=$1" | sed -nE 's/.*"value":\[[^,]*,"([^"]*)"\].*/\1/p'
}
is() { [ "$(prometheus "$1")" = "$2" ]; }

step 'monitoring'
compose up --detach --no-build --no-deps prometheus
until_true 'Prometheus sees both bridges' is 'sum(up{job="mewsbridge"})' 2

step '10,000 events, while a NATS server and a bridge are killed'
send 500 1 --rate 25 &
sender=$!
sleep 5
compose kill nats-2
sleep 5
compose kill bridge-1
kill -0 $sender 2>/dev/null || fail 'all was sent before the kills'
wait $sender || fail 'events were lost'

step 'both come back'
compose start nats-2 bridge-1
until_true 'bridge-1 ready' compose exec -T bridge-1 /mewsbridge health --ready
send 50 2 || fail 'events were lost'

until_true 'Prometheus counts the events' is 'max(mewsbridge_stream_messages{stream="MEWS_EVENTS"}) >= bool 11000' 1

step 'stop'
compose stop --timeout 15
for bridge in bridge-1 bridge-2; do
  code=$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet "$bridge" 2>/dev/null || compose ps -q "$bridge")")
  echo "$bridge ended with $code"
  [ "$code" = 0 ] || fail "$bridge did not stop in order"
done
step 'nothing was lost'
