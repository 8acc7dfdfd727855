// oauth4webapi as a strict judge of the authorization server: every answer goes through its validation.
//
// usage: node oauth4webapi.mjs ISSUER RESOURCE FLOW    (FLOW: code | device)
// Prints one JSON object: the checks that passed and an access token.

import { execFileSync } from "node:child_process";
import * as oauth from "oauth4webapi";

import { confirmDevice } from "./person.mjs";

const [issuer, resource, flow] = process.argv.slice(2);
const REDIRECT_URI = "http://127.0.0.1:33996/callback";
const options = { [oauth.allowInsecureRequests]: true };
const passed = [];
const check = (name, good) => {
  if (!good) throw new Error(`${name} does not hold`);
  passed.push(name);
};

const resourceServer = await oauth.processResourceDiscoveryResponse(
  new URL(resource),
  await oauth.resourceDiscoveryRequest(new URL(resource), options),
);
check("the resource names its authorization server", resourceServer.authorization_servers.includes(issuer));

const as = await oauth.processDiscoveryResponse(
  new URL(issuer),
  await oauth.discoveryRequest(new URL(issuer), { ...options, algorithm: "oauth2" }),
);
check("discovery", as.issuer === issuer);

const device = "urn:ietf:params:oauth:grant-type:device_code";
const registered = await oauth.processDynamicClientRegistrationResponse(
  await oauth.dynamicClientRegistrationRequest(
    as,
    {
      client_name: "oauth4webapi",
      token_endpoint_auth_method: "none",
      ...(flow === "device"
        ? { grant_types: [device, "refresh_token"] }
        : {
            redirect_uris: [REDIRECT_URI],
            grant_types: ["authorization_code", "refresh_token"],
            response_types: ["code"],
          }),
    },
    options,
  ),
);
const client = { client_id: registered.client_id };
const none = oauth.None();
check("registration", typeof client.client_id === "string");

const tokens = flow === "device" ? await byDevice() : await byCode();
check("a bearer token with its life", tokens.token_type === "bearer" && tokens.expires_in > 0);

const refreshed = await oauth.processRefreshTokenResponse(
  as,
  client,
  await oauth.refreshTokenGrantRequest(as, client, none, tokens.refresh_token, {
    ...options,
    additionalParameters: { resource },
  }),
);
check("refresh rotates both tokens", refreshed.refresh_token !== tokens.refresh_token && refreshed.access_token !== tokens.access_token);
check("refresh keeps the scope", refreshed.scope === tokens.scope);

const revoked = await oauth.revocationRequest(as, client, none, refreshed.refresh_token, options);
check("revocation", (await oauth.processRevocationResponse(revoked)) === undefined);
const after = await oauth.refreshTokenGrantRequest(as, client, none, refreshed.refresh_token, options);
const refusal = await oauth.processRefreshTokenResponse(as, client, after).catch((error) => error);
check("a revoked token refreshes nothing", refusal instanceof oauth.ResponseBodyError && refusal.error === "invalid_grant");

console.log(JSON.stringify({ passed }));

async function byCode() {
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(as.authorization_endpoint);
  url.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    response_type: "code",
    scope: "ic:read ic:write",
    resource,
    state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
  });
  const browser = process.env.ICGATE_TEST_BROWSER;
  const ended = execFileSync("python3", [browser, url.href], { encoding: "utf8", timeout: 120_000 });
  const answer = oauth.validateAuthResponse(as, client, new URL(ended.trim()), state);
  check("the authorization response names its issuer", answer.get("iss") === issuer);
  return oauth.processAuthorizationCodeResponse(
    as,
    client,
    await oauth.authorizationCodeGrantRequest(as, client, none, answer, REDIRECT_URI, verifier, {
      ...options,
      additionalParameters: { resource },
    }),
  );
}

async function byDevice() {
  const begun = await oauth.processDeviceAuthorizationResponse(
    as,
    client,
    await oauth.deviceAuthorizationRequest(as, client, none, { scope: "ic:read ic:write", resource }, options),
  );
  check("a device code with its page", begun.verification_uri_complete.includes(begun.user_code));
  const poll = async () =>
    oauth.processDeviceCodeResponse(
      as,
      client,
      await oauth.deviceCodeGrantRequest(as, client, none, begun.device_code, options),
    );
  const early = await poll().catch((error) => error);
  check("polling before the consent", early.error === "authorization_pending");
  confirmDevice(begun.verification_uri_complete);
  for (let turn = 0; turn < 12; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, begun.interval * 1000));
    const tokens = await poll().catch((error) => error);
    if (!(tokens instanceof Error)) return tokens;
    if (!["authorization_pending", "slow_down"].includes(tokens.error)) throw tokens;
  }
  throw new Error("the device never got its tokens");
}
