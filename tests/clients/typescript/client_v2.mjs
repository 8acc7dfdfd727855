// The official TypeScript SDK, second generation: signs in from the bare URL and calls every tool of the plan.
//
// usage: node client_v2.mjs URL PLAN    (PLAN: JSON list of {"tool", "arguments"})

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

import { Person, carryOut } from "./person.mjs";

const [url, plan] = process.argv.slice(2);
const person = new Person();

function client() {
  return new Client(
    { name: "typescript-v2", version: "1" },
    { versionNegotiation: { mode: "auto" } },
  );
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
await first.finishAuth(person.answer);

const session = client();
await session.connect(transport());
await carryOut(session, session.getNegotiatedProtocolVersion(), JSON.parse(plan));
await session.close();
