"""Consume the bridge's messages with nats-py and, when they are sealed, PyNaCl. Its syntax is checked; it is not executed by a test.

    pip install nats-py pynacl
    python consume.py MEWS_EVENTS 'mews.events.ServiceOrderUpdated.>' housekeeping
    python consume.py MEWS_EVENTS 'mews.events.>' housekeeping-again 2026-01-31T00:00:00Z     replays from then on

NATS_URL, NATS_USER and NATS_PASSWORD say where NATS is; MEWSBRIDGE_UNSEAL_KEY holds the private keys, when there are any.
"""

import asyncio
import json
import os
import sys

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from unseal import unseal


def handle(event):
    """Fetch the entity from the Mews API by its Id; expect the same event twice. An exception has it delivered again."""
    print(event["type"], event.get("subject"), json.dumps(event["data"].get("Value")))


async def main(stream, subject, durable, since=None):
    user, password = os.environ.get("NATS_USER"), os.environ.get("NATS_PASSWORD")
    seeds = os.environ.get("MEWSBRIDGE_UNSEAL_KEY", "").replace(",", " ").split()
    connection = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:4222"),
        user=user,
        password=password,
        inbox_prefix=f"_INBOX_{user}".encode() if user else b"_INBOX",  # the users of deploy/nats/users.conf have their own
        max_reconnect_attempts=-1,
    )
    js = connection.jetstream()
    try:
        await js.consumer_info(stream, durable)  # it is there, and goes on where it ended
    except NotFoundError:
        start = {"deliver_policy": DeliverPolicy.BY_START_TIME, "opt_start_time": since} if since else {"deliver_policy": DeliverPolicy.ALL}
        await js.add_consumer(
            stream,
            config=ConsumerConfig(durable_name=durable, filter_subject=subject, ack_policy=AckPolicy.EXPLICIT, ack_wait=30, **start),
        )
    messages = await js.pull_subscribe_bind(durable, stream)
    while True:
        try:
            batch = await messages.fetch(100, timeout=30)
        except nats.errors.TimeoutError:
            continue  # nothing new
        for message in batch:
            try:
                handle(unseal(message.data, seeds))
            except Exception as error:
                print(f"not handled: {type(error).__name__}", file=sys.stderr)  # its text could hold a credential
                await message.nak(delay=5)  # delivered again
            else:
                await message.ack_sync()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
