"""Open what the bridge sealed (setting seal_to). Needs PyNaCl. Executed by deploy/recipes/test.sh.

    unseal(payload, seeds)                      in a consumer
    python unseal.py mews.key < messages.jsonl  from a shell: one JSON message a line
"""

import base64
import json
import sys

from nacl.public import Box, PrivateKey, PublicKey


class KeyNeeded(Exception):
    """No private key at hand opens the box."""


def unseal(payload, seeds):
    """Return the message in payload, opened with the private keys in seeds (texts, SX…): an object, or the bytes of a quarantined payload."""
    message = json.loads(payload)
    if isinstance(message, dict) and list(message) == ["SealedBody"]:
        return _open(message["SealedBody"], seeds)
    return _members(message, seeds)


def _members(value, seeds):
    if isinstance(value, list):
        return [_members(item, seeds) for item in value]
    if not isinstance(value, dict):
        return value
    opened = {}
    for name, member in value.items():
        if name == "Sealed" and member is not None:
            opened.update(json.loads(_open(member, seeds)))
        else:
            opened[name] = _members(member, seeds)
    return opened


def _open(text, seeds):
    recipient, sender, box = text.split(".")
    for seed in seeds:
        private = PrivateKey(_key(seed, 2))
        if bytes(private.public_key) == _key(recipient, 1):
            sealed = base64.b64decode(box)
            if sealed[:4] != b"xkv1":
                raise ValueError("not a box of this version")
            return Box(private, PublicKey(_key(sender, 1))).decrypt(sealed[4:])  # nonce and box
    raise KeyNeeded(f"sealed to {recipient}: the private key of it is needed")


def _key(text, prefix):
    """Return the 32 bytes of an nkey: before them stands its kind, behind them a checksum."""
    return base64.b32decode(text + "=" * (-len(text) % 8))[prefix : prefix + 32]


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        keys = file.read().split()
    for line in sys.stdin:
        plain = unseal(line, keys)
        print(plain.decode(errors="replace") if isinstance(plain, bytes) else json.dumps(plain))
