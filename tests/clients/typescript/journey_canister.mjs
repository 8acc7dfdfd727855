// A journey with the official TypeScript SDK: creates a canister with ICP, installs a module that is uploaded, asks
// for its status, tops it up, stops and deletes it. Whoever runs it kills the server while the canister is being paid
// for, and starts it again.
//
// usage: node journey_canister.mjs URL MODULE
// Prints one JSON object with what every step found.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { request } from "node:http";

import { Person } from "./person.mjs";
import { signedIn } from "./session_v2.mjs";

const BOUND_MS = 60_000;
const FIRST_PART = 1_000_000;
// Of the second part, before the line breaks.
const BROKEN_AFTER = 700_000;

const [url, file] = process.argv.slice(2);
const person = new Person();
const session = await signedIn(url, person);
await session.listTools();

async function call(name, args, options) {
  const result = await session.callTool({ name, arguments: args }, options);
  const text = result.content.map((block) => block.text).join("\n");
  return { failed: result.isError === true, code: result._meta?.["icgate/code"], text, ...result.structuredContent };
}

async function done(name, args, options) {
  const result = await call(name, args, options);
  if (result.failed) throw new Error(`${name}: ${result.text}`);
  return result;
}

// Asks again until the answer is what was waited for.
async function until(what, ask) {
  const end = Date.now() + BOUND_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

const pay = { icp: "0.5", pay_with: "icp" };
const unanswered = await call("create_canister", pay).then(
  (result) => {
    throw new Error(`the server was not killed: ${result.text}`);
  },
  (error) => String(error),
);
const resumed = await until("the server", () => call("resume_funding", {}).catch(() => undefined));
const created = await done("create_canister", pay);
const canister = created.canister_id;

const module = readFileSync(file);
const sha256 = createHash("sha256").update(module).digest("hex");
const upload = await done("begin_upload", { bytes: module.length, sha256 });
const authorization = upload.command.match(/'Authorization: ([^']+)'/)[1];

// The head of a part of the module.
function head(start, end) {
  return { authorization, "content-range": `bytes ${start}-${end - 1}/${module.length}` };
}

async function put(start, end) {
  const answer = await fetch(upload.url, {
    method: "PUT",
    headers: head(start, end),
    body: module.subarray(start, end),
  });
  return { status: answer.status, ...(await answer.json()) };
}

function breakOff(start, end, sent) {
  return new Promise((resolve) => {
    const headers = { ...head(start, end), "content-length": end - start };
    const sending = request(upload.url, { method: "PUT", headers });
    sending.on("error", resolve);
    sending.on("close", resolve);
    sending.write(module.subarray(start, start + sent), () => sending.destroy());
  });
}

const first = await put(0, FIRST_PART);
await breakOff(FIRST_PART, module.length, BROKEN_AFTER);
const offset = await until("what arrived of the second part", async () => {
  const state = await (await fetch(upload.url, { headers: { authorization } })).json();
  return state.offset > FIRST_PART ? state.offset : undefined;
});
// The part that broke off may still be being written.
const last = await until("the upload to be free", async () => {
  const answer = await put(offset, module.length);
  return answer.status === 409 ? undefined : answer;
});

const steps = [];
const installed = await done(
  "install_code",
  { canister_id: canister, upload_id: upload.upload_id },
  { onprogress: (progress) => steps.push(progress) },
);
const running = await done("canister_status", { canister_id: canister });
const topUp = await done("top_up_canister", { canister_id: canister, icp: "0.2", pay_with: "icp" });
const richer = await done("canister_status", { canister_id: canister });
await done("stop_canister", { canister_id: canister });
const stopped = await done("canister_status", { canister_id: canister });
await done("delete_canister", { canister_id: canister });
const deleted = await call("canister_status", { canister_id: canister });

console.log(
  JSON.stringify({
    protocol: session.getNegotiatedProtocolVersion(),
    sign_ins: person.signIns,
    unanswered,
    resumed,
    created,
    sha256,
    upload: { first, offset, last },
    installed,
    steps,
    running,
    top_up: topUp,
    richer,
    stopped,
    deleted,
  }),
);
await session.close();
