// A signed-in client of the official TypeScript SDK, second generation, from the bare URL.

import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";

export async function signedIn(url, person) {
  const client = () =>
    new Client(
      { name: "typescript-v2", version: "1" },
      { versionNegotiation: { mode: "auto" } },
    );
  const transport = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: person });
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
  return session;
}
