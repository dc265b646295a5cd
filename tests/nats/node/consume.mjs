// Consume a durable with the NATS client for Node: print sequence, subject, headers and payload of each message, a line
// each, until there are as many as wanted. Arguments: servers, path of the seed, stream, durable, count, [path of the CA].
import { readFile } from "node:fs/promises";
import { jetstream } from "@nats-io/jetstream";
import { connect, nkeyAuthenticator } from "@nats-io/transport-node";

const [servers, seed, stream, durable, count, caFile] = process.argv.slice(2);
const key = new TextEncoder().encode((await readFile(seed, "utf8")).trim());
const connection = await connect({
  servers,
  authenticator: nkeyAuthenticator(key),
  ...(caFile ? { tls: { caFile } } : {}),
});
const consumer = await jetstream(connection).consumers.get(stream, durable);
const messages = await consumer.consume({ max_messages: 50 });
let left = Number(count);
for await (const message of messages) {
  const headers = Object.fromEntries(message.headers.keys().map((name) => [name, message.headers.get(name)]));
  const payload = Buffer.from(message.data).toString("base64");
  console.log(JSON.stringify({ sequence: message.seq, subject: message.subject, headers, payload }));
  await message.ackAck();
  if (--left === 0) break;
}
await connection.close();
