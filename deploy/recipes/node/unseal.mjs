// Open what the bridge sealed (setting seal_to). Needs tweetnacl. Executed by deploy/recipes/test.sh.
//
//   unseal(payload, seeds)                      in a consumer
//   node unseal.mjs mews.key < messages.jsonl   from a shell: one JSON message a line

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import nacl from "tweetnacl";

/** The message in payload, opened with the private keys in seeds (texts, SX…): an object, or the bytes of a quarantined payload. */
export function unseal(payload, seeds) {
  const message = JSON.parse(Buffer.from(payload).toString());
  const names = message !== null && typeof message === "object" ? Object.keys(message) : [];
  if (names.length === 1 && names[0] === "SealedBody") {
    return open(message.SealedBody, seeds);
  }
  return members(message, seeds);
}

function members(value, seeds) {
  if (Array.isArray(value)) {
    return value.map((item) => members(item, seeds));
  }
  if (value === null || typeof value !== "object") {
    return value;
  }
  const opened = {};
  for (const [name, member] of Object.entries(value)) {
    if (name === "Sealed" && member !== null) {
      Object.assign(opened, JSON.parse(open(member, seeds).toString()));
    } else {
      opened[name] = members(member, seeds);
    }
  }
  return opened;
}

function open(text, seeds) {
  const [recipient, sender, box] = text.split(".");
  for (const seed of seeds) {
    const pair = nacl.box.keyPair.fromSecretKey(key(seed, 2));
    if (!key(recipient, 1).equals(Buffer.from(pair.publicKey))) {
      continue;
    }
    const sealed = Buffer.from(box, "base64");
    if (sealed.subarray(0, 4).toString() !== "xkv1") {
      throw new Error("not a box of this version");
    }
    const plain = nacl.box.open(sealed.subarray(28), sealed.subarray(4, 28), key(sender, 1), pair.secretKey);
    if (plain === null) {
      throw new Error("the sealed value is damaged");
    }
    return Buffer.from(plain);
  }
  throw new Error(`sealed to ${recipient}: the private key of it is needed`);
}

/** The 32 bytes of an nkey (base32): before them stands its kind, behind them a checksum. */
function key(text, prefix) {
  const bytes = [];
  let bits = 0;
  let held = 0;
  for (const letter of text) {
    bits = ((bits << 5) | "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".indexOf(letter)) & 0xfff;
    held += 5;
    if (held >= 8) {
      held -= 8;
      bytes.push((bits >> held) & 0xff);
    }
  }
  return Buffer.from(bytes).subarray(prefix, prefix + 32);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const seeds = readFileSync(process.argv[2], "utf8").split(/\s+/).filter(Boolean);
  for await (const line of createInterface({ input: process.stdin })) {
    const plain = unseal(line, seeds);
    console.log(Buffer.isBuffer(plain) ? plain.toString() : JSON.stringify(plain));
  }
}
