// Consume the bridge's messages with NATS.Net and, when they are sealed, NATS.NKeys. It is neither compiled nor executed by a test.
//
//   dotnet run -- MEWS_EVENTS 'mews.events.ServiceOrderUpdated.>' housekeeping
//   dotnet run -- MEWS_EVENTS 'mews.events.>' housekeeping-again 2026-01-31T00:00:00Z     replays from then on
//
// NATS_URL, NATS_USER and NATS_PASSWORD say where NATS is; MEWSBRIDGE_UNSEAL_KEY holds the private keys, when there are any.

using System.Text.Json.Nodes;
using NATS.Client.Core;
using NATS.Client.JetStream;
using NATS.Client.JetStream.Models;
using NATS.NKeys;

string? Setting(string name) => Environment.GetEnvironmentVariable(name);

// The users of deploy/nats/users.conf have inboxes of their own.
var options = NatsOpts.Default with { Url = Setting("NATS_URL") ?? "nats://127.0.0.1:4222" };
if (Setting("NATS_USER") is { } user)
{
    options = options with
    {
        AuthOpts = NatsAuthOpts.Default with { Username = user, Password = Setting("NATS_PASSWORD") },
        InboxPrefix = $"_INBOX_{user}",
    };
}
var seeds = (Setting("MEWSBRIDGE_UNSEAL_KEY") ?? "").Split([' ', ',', '\n'], StringSplitOptions.RemoveEmptyEntries);

await using var connection = new NatsConnection(options);
var js = new NatsJSContext(connection);
var (stream, durable) = (args[0], args[2]);
INatsJSConsumer consumer;
try
{
    consumer = await js.GetConsumerAsync(stream, durable); // it is there, and goes on where it ended
}
catch (NatsJSApiException error) when (error.Error.Code == 404)
{
    var config = new ConsumerConfig(durable)
    {
        FilterSubject = args[1],
        AckPolicy = ConsumerConfigAckPolicy.Explicit,
        AckWait = TimeSpan.FromSeconds(30),
    };
    if (args.Length > 3)
    {
        config.DeliverPolicy = ConsumerConfigDeliverPolicy.ByStartTime;
        config.OptStartTime = DateTimeOffset.Parse(args[3]);
    }
    consumer = await js.CreateOrUpdateConsumerAsync(stream, config);
}

await foreach (var message in consumer.ConsumeAsync<byte[]>())
{
    try
    {
        Handle(Unseal(JsonNode.Parse(message.Data!)!)!);
    }
    catch (Exception error)
    {
        Console.Error.WriteLine($"not handled: {error.GetType().Name}"); // its text could hold a credential
        await message.NakAsync(delay: TimeSpan.FromSeconds(5)); // delivered again
        continue;
    }
    await message.AckAsync(new AckOpts { DoubleAck = true });
}

// Fetch the entity from the Mews API by its Id; expect the same event twice. An exception has it delivered again.
void Handle(JsonNode cloudEvent) => Console.WriteLine($"{cloudEvent["type"]} {cloudEvent["subject"]} {cloudEvent["data"]?["Value"]?.ToJsonString()}");

// The message with each member Sealed replaced by the members that it holds.
JsonNode? Unseal(JsonNode? value)
{
    switch (value)
    {
        case JsonArray array:
            return new JsonArray(array.Select(Unseal).ToArray());
        case JsonObject members:
            var opened = new JsonObject();
            foreach (var (name, member) in members)
            {
                if (name != "Sealed" || member is null)
                {
                    opened[name] = Unseal(member);
                    continue;
                }
                foreach (var (plainName, plain) in JsonNode.Parse(Open(member.GetValue<string>()))!.AsObject())
                {
                    opened[plainName] = plain?.DeepClone();
                }
            }
            return opened;
        default:
            return value?.DeepClone();
    }
}

// The bytes in a box: the value of Sealed, or of SealedBody in the quarantine.
byte[] Open(string text)
{
    var parts = text.Split('.');
    foreach (var seed in seeds)
    {
        using var pair = KeyPair.FromSeed(seed);
        if (pair.GetPublicKey() == parts[0])
        {
            return pair.Open(Convert.FromBase64String(parts[2]), parts[1]);
        }
    }
    throw new InvalidOperationException($"sealed to {parts[0]}: the private key of it is needed");
}
