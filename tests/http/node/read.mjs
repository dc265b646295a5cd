// Reads stored events with the SDK, strictly: node read.mjs URL TOKEN. Prints the ids of those it takes as valid.
import { CloudEvent } from "cloudevents";

const [url, token] = process.argv.slice(2);
const answer = await fetch(url, { headers: { authorization: `Bearer ${token}` } });
const lines = (await answer.text()).trim().split("\n");
const ids = lines.map((line) => {
  const event = new CloudEvent(JSON.parse(line));
  event.validate();
  return event.id;
});
console.log(JSON.stringify(ids));
