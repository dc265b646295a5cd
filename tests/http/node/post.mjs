// Posts a CloudEvent with the SDK's own bindings: node post.mjs URL TOKEN MODE EVENT. Prints status and answer as JSON.
import { CloudEvent, HTTP, Mode } from "cloudevents";

const [url, token, mode, event] = process.argv.slice(2);
const message = HTTP[mode === Mode.BINARY ? "binary" : "structured"](new CloudEvent(JSON.parse(event)));
const answer = await fetch(url, {
  method: "POST",
  headers: { ...message.headers, authorization: `Bearer ${token}` },
  body: message.body,
});
console.log(JSON.stringify({ status: answer.status, body: await answer.json() }));
