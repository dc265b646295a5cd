// Parse an AsyncAPI document with the official parser; print what it finds as JSON.
import { readFile } from "node:fs/promises";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const found = diagnostics.map(({ severity, code, message, path }) => ({ severity, code, message, path: path.join("/") }));
const messages = document ? document.messages().all().map((message) => message.id()) : [];
console.log(JSON.stringify({ found, messages }));
