// Consume the bridge's messages with nats.js 3 and, when they are sealed, tweetnacl. Its syntax is checked; it is not executed by a test.
//
//   npm install @nats-io/transport-node @nats-io/jetstream tweetnacl
//   node consume.mjs MEWS_EVENTS 'mews.events.ServiceOrderUpdated.>' housekeeping
//   node consume.mjs MEWS_EVENTS 'mews.events.>' housekeeping-again 2026-01-31T00:00:00Z     replays from then on
//
// NATS_URL, NATS_USER and NATS_PASSWORD say where NATS is; MEWSBRIDGE_UNSEAL_KEY holds the private keys, when there are any.

import { AckPolicy, DeliverPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, nanos } from "@nats-io/transport-node";
import { unseal } from "./unseal.mjs";

/** Fetch the entity from the Mews API by its Id; expect the same event twice. An exception has it delivered again. */
async function handle(event) {
  console.log(event.type, event.subject, event.data.Value);
}

const [stream, subject, durable, since] = process.argv.slice(2);
const { NATS_URL = "nats://127.0.0.1:4222", NATS_USER: user, NATS_PASSWORD: pass, MEWSBRIDGE_UNSEAL_KEY = "" } = process.env;
const seeds = MEWSBRIDGE_UNSEAL_KEY.split(/[\s,]+/).filter(Boolean);

// The users of deploy/nats/users.conf have inboxes of their own.
const login = user ? { user, pass, inboxPrefix: `_INBOX_${user}` } : {};
const connection = await connect({ servers: NATS_URL.split(","), maxReconnectAttempts: -1, ...login });
const manager = await jetstreamManager(connection);
try {
  await manager.consumers.info(stream, durable); // it is there, and goes on where it ended
} catch {
  await manager.consumers.add(stream, {
    durable_name: durable,
    filter_subjects: [subject],
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(30_000),
    ...(since ? { deliver_policy: DeliverPolicy.StartTime, opt_start_time: since } : { deliver_policy: DeliverPolicy.All }),
  });
}
const consumer = await jetstream(connection).consumers.get(stream, durable);
for await (const message of await consumer.consume()) {
  try {
    await handle(unseal(message.data, seeds));
  } catch (error) {
    console.error(`not handled: ${error.name}`); // its text could hold a credential
    message.nak(5000); // delivered again
    continue;
  }
  await message.ackAck();
}
