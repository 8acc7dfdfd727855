// The official TypeScript SDK, second generation: signs in from the bare URL and calls every tool of the plan.
//
// usage: node client_v2.mjs URL PLAN    (PLAN: JSON list of {"tool", "arguments"})

import { Person, carryOut } from "./person.mjs";
import { signedIn } from "./session_v2.mjs";

const [url, plan] = process.argv.slice(2);
const session = await signedIn(url, new Person());
await carryOut(session, session.getNegotiatedProtocolVersion(), JSON.parse(plan));
await session.close();
