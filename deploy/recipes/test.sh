#!/usr/bin/env bash
# Runs what of the recipes can be run without a package registry: the unsealing in Python and Node, on messages that a
# bridge has sealed. Of the consumers it checks the syntax. Needs Go, Node, and the Debian packages python3-nacl and node-tweetnacl.
set -euo pipefail
cd "$(dirname "$0")"
recipes=$PWD
python=/usr/bin/python3 # the one that Debian's packages are for
work=$(mktemp -d)
bridge=
cleanup() {
  if [ -n "$bridge" ]; then kill "$bridge" 2>/dev/null || true; wait "$bridge" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap cleanup EXIT

fail() { printf 'recipes: %s\n' "$*" >&2; exit 1; }

$python -c 'import nacl.public' 2>/dev/null || fail 'python3-nacl is missing'
[ -d /usr/share/nodejs/tweetnacl ] || fail 'node-tweetnacl is missing'

echo 'syntax of the consumers'
$python -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' python/consume.py
node --check node/consume.mjs

echo 'a bridge that seals'
go build -o "$work/mewsbridge" ../../cmd/mewsbridge
mews=$work/mewsbridge
export MEWSBRIDGE_TOKENS=recipes-0123456789abcdef
MEWSBRIDGE_SEAL_TO=$("$mews" seal-key "$work/mews.key")
export MEWSBRIDGE_SEAL_TO
"$mews" serve --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 --nats-listen 127.0.0.1:0 --data-dir "$work/data" 2>"$work/log" &
bridge=$!
for _ in $(seq 300); do
  grep -q '"taking webhooks"' "$work/log" && break
  kill -0 "$bridge" 2>/dev/null || fail "the bridge has ended: $(cat "$work/log")"
  sleep 0.1
done
read -r address nats < <($python - "$work/log" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    if "taking webhooks" in line:
        entry = json.loads(line)
        print(entry["address"], entry["nats"])
PY
)
[ -n "${nats:-}" ] || fail "the bridge does not start: $(cat "$work/log")"

$python - "http://$address/webhooks/mews?Token=$MEWSBRIDGE_TOKENS" <<'PY'
import sys, urllib.error, urllib.request
for body in (
    '{"Action":"IntegrationCreated","Data":{"Integration":{"Id":"i1","Name":"Door “locks”"},"AccessToken":"credential-1","Requestor":{"Name":"A"}}}',
    '{"Action":"IntegrationApiKeyCreated","Data":{"Integration":{"Id":"i1"},"ApiKey":"credential-2","Keys":[{"ApiKey":"credential-3"}]}}',
    '{"Action":"IntegrationDeleted","Data":{"Integration":{"Id":"i1"}}}',
    '{"NewKind":1,"ApiKey":"credential-4"}',
):
    assert urllib.request.urlopen(sys.argv[1], body.encode()).status == 202
PY
"$mews" tail --nats "$nats" --integrations --since 1h --count 3 --json --show-credentials >"$work/sealed"
"$mews" tail --nats "$nats" --quarantine --since 1h --count 1 --json --show-credentials |
  $python -c 'import json, sys; print(json.loads(json.load(sys.stdin)["raw"]))' >>"$work/sealed"
"$mews" unseal --key-file "$work/mews.key" <"$work/sealed" >"$work/want"
[ "$(grep -o 'credential-.' "$work/want" | sort -u | wc -l)" = 4 ] || fail 'mewsbridge unseal does not show the four credentials'
if grep -q credential- "$work/sealed"; then fail 'the bridge has not sealed'; fi

cp node/*.mjs "$work"
mkdir "$work/node_modules"
ln -s /usr/share/nodejs/tweetnacl "$work/node_modules/tweetnacl"
"$mews" seal-key "$work/other.key" >/dev/null
passed=0
for language in python node; do
  case $language in
    python) run="$python $recipes/python/unseal.py" ;;
    node) run="node $work/unseal.mjs" ;;
  esac
  echo "unseal in $language"
  PYTHONDONTWRITEBYTECODE=1 $run "$work/mews.key" <"$work/sealed" >"$work/got"
  $python - "$work/want" "$work/got" <<'PY' || fail "$language does not open what the bridge sealed"
import json, sys
want, got = ([json.loads(line) for line in open(name)] for name in sys.argv[1:])
sys.exit(want != got or len(want) != 4)
PY
  if PYTHONDONTWRITEBYTECODE=1 $run "$work/other.key" <"$work/sealed" >"$work/got" 2>"$work/errors"; then fail "$language opens with another key"; fi
  grep -q "sealed to $MEWSBRIDGE_SEAL_TO" "$work/errors" || fail "$language does not say which key is needed: $(cat "$work/errors")"
  passed=$((passed + 1))
done
echo "recipes: $passed languages open what the bridge sealed"
