// The official TypeScript SDK, first generation: signs in from the bare URL and calls every tool of the plan.
//
// usage: node client_v1.mjs URL PLAN    (PLAN: JSON list of {"tool", "arguments"})

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

import { Person, carryOut } from "./person.mjs";

const [url, plan] = process.argv.slice(2);
const person = new Person();

function client() {
  return new Client({ name: "typescript-v1", version: "1" });
}

function transport() {
  return new StreamableHTTPClientTransport(new URL(url), { authProvider: person });
}

const first = transport();
try {
  await client().connect(first);
  throw new Error("the server let a client in that never signed in");
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
await first.finishAuth(person.answer.get("code"));

const session = client();
const connected = transport();
await session.connect(connected);
await carryOut(session, connected.protocolVersion, JSON.parse(plan));
await session.close();
