// openid-client as a strict judge of the authorization server: the whole flow through its high-level interface.
//
// usage: node openid_client.mjs ISSUER RESOURCE FLOW    (FLOW: code | device)
// Prints one JSON object: the checks that passed.

import { execFileSync } from "node:child_process";
import * as client from "openid-client";

import { confirmDevice } from "./person.mjs";

const [issuer, resource, flow] = process.argv.slice(2);
const REDIRECT_URI = "http://127.0.0.1:33995/callback";
const passed = [];
const check = (name, good) => {
  if (!good) throw new Error(`${name} does not hold`);
  passed.push(name);
};

const grants = {
  code: {
    redirect_uris: [REDIRECT_URI],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
  },
  device: { grant_types: ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"] },
};
const config = await client.dynamicClientRegistration(
  new URL(issuer),
  { client_name: "openid-client", token_endpoint_auth_method: "none", ...grants[flow] },
  client.None(),
  { algorithm: "oauth2", execute: [client.allowInsecureRequests] },
);
check("discovery and registration", config.serverMetadata().issuer === issuer);
check("PKCE is announced", config.serverMetadata().supportsPKCE());

const tokens = flow === "device" ? await byDevice() : await byCode();
check("tokens", typeof tokens.access_token === "string" && tokens.expiresIn() > 0);

const refreshed = await client.refreshTokenGrant(config, tokens.refresh_token, { resource });
check("refresh", refreshed.refresh_token !== tokens.refresh_token);
const spent = await client.refreshTokenGrant(config, "icg_rt_" + "A".repeat(43)).catch((error) => error);
check("a made-up token is refused", spent instanceof client.ResponseBodyError && spent.error === "invalid_grant");
await client.tokenRevocation(config, refreshed.refresh_token);
passed.push("revocation");

console.log(JSON.stringify({ passed }));

async function byCode() {
  const verifier = client.randomPKCECodeVerifier();
  const state = client.randomState();
  const url = client.buildAuthorizationUrl(config, {
    redirect_uri: REDIRECT_URI,
    scope: "ic:read",
    resource,
    state,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const browser = process.env.ICGATE_TEST_BROWSER;
  const ended = execFileSync("python3", [browser, url.href], { encoding: "utf8", timeout: 120_000 });
  const checks = { pkceCodeVerifier: verifier, expectedState: state };
  const tokens = await client.authorizationCodeGrant(config, new URL(ended.trim()), checks, { resource });
  check("the scope that was asked for", tokens.scope === "ic:read");
  return tokens;
}

async function byDevice() {
  const begun = await client.initiateDeviceAuthorization(config, { scope: "ic:read", resource });
  check("a device code", begun.expires_in === 600 && begun.interval === 5);
  confirmDevice(begun.verification_uri_complete);
  return client.pollDeviceAuthorizationGrant(config, begun);
}
