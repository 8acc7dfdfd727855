// What both generations of the TypeScript SDK are given: an OAuth provider whose person has a browser.

import { execFileSync } from "node:child_process";

const REDIRECT_URL = "http://127.0.0.1:33997/callback";

export class Person {
  redirectUrl = REDIRECT_URL;
  clientMetadata = {
    client_name: "TypeScript SDK",
    redirect_uris: [REDIRECT_URL],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  };
  // The address of the client's own metadata document, which stands in for a registration.
  clientMetadataUrl = process.env.ICGATE_TEST_CLIENT_DOCUMENT;
  // The parameters of the authorization response, once the browser came back.
  answer = new URLSearchParams();
  // How often the browser was needed.
  signIns = 0;

  #client;
  #tokens;
  #verifier = "";
  #discovery;

  clientInformation() {
    return this.#client;
  }
  saveClientInformation(client) {
    this.#client = client;
  }
  tokens() {
    return this.#tokens;
  }
  saveTokens(tokens) {
    this.#tokens = tokens;
  }
  codeVerifier() {
    return this.#verifier;
  }
  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }
  discoveryState() {
    return this.#discovery;
  }
  saveDiscoveryState(state) {
    this.#discovery = state;
  }
  redirectToAuthorization(url) {
    this.signIns += 1;
    const browser = process.env.ICGATE_TEST_BROWSER;
    const ended = execFileSync("python3", [browser, url.href], { encoding: "utf8", timeout: 120_000 });
    this.answer = new URL(ended.trim()).searchParams;
  }
}

// Calls every tool of the plan and prints what came of it.
export async function carryOut(client, protocol, plan) {
  const { tools } = await client.listTools();
  const results = [];
  for (const { tool, arguments: args } of plan) {
    const result = await client.callTool({ name: tool, arguments: args });
    const text = result.content
      .filter((block) => block.type === "text")
      .map((block) => block.text)
      .join("\n");
    results.push({ error: result.isError === true, text });
  }
  console.log(JSON.stringify({ protocol, tools: tools.map((tool) => tool.name), results }));
}
