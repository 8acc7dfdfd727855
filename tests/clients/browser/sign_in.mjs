// A person signs in with Chromium. Usage: node sign_in.mjs JOURNEY START_URL REDIRECT_URI SCREENSHOTS
// Prints one line of JSON: what the pages showed and did.
// Environment: ICGATE_TEST_DEVNET, devnet's Internet Computer URL; ICGATE_TEST_II, `ii` or `ii_prod`.

import { join } from "node:path";
import { chromium } from "playwright-core";

const [journey, authorizeUrl, redirectUri, screenshots] = process.argv.slice(2);
/** Bound of every single wait, in milliseconds. */
const BOUND = 20_000;
const PHONE = { width: 390, height: 844 };
/** Down to which nothing may have to be scrolled sideways (WCAG 2.2, section 1.4.10), in CSS pixels. */
const NARROWEST = 320;

const seen = { console: [], origins: [], shots: [] };

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  headless: true,
  // These pages are the product's own, and root, as which containers run, has no sandbox.
  chromiumSandbox: false,
  args: [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});

/** A person's browser with one tab: no cookies, no cache, nothing of any other. */
async function freshBrowser() {
  const context = await browser.newContext({ viewport: PHONE });
  context.setDefaultTimeout(BOUND);
  context.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (!seen.origins.includes(origin)) seen.origins.push(origin);
  });
  context.on("console", (message) => {
    // Browsers look for an icon of any page; these have none.
    if (message.location().url.endsWith("/favicon.ico")) return;
    // Chromium tells violations of a page's policy and failed loads here too.
    if (["error", "warning"].includes(message.type())) seen.console.push(message.text());
  });
  context.on("weberror", (error) => seen.console.push(String(error.error())));
  return context.newPage();
}

/** Keeps what a phone shows, light and dark, and whether a narrow one has to be scrolled sideways. */
async function shoot(page, name) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(screenshots, `${name}-${colorScheme}.png`), fullPage: true });
  }
  await page.setViewportSize({ ...PHONE, width: NARROWEST });
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  await page.setViewportSize(PHONE);
  seen.shots.push({ name, too_wide: width > NARROWEST });
}

async function history(page) {
  const session = await page.context().newCDPSession(page);
  const { entries } = await session.send("Page.getNavigationHistory");
  await session.detach();
  return entries.map((entry) => entry.url);
}

/** Tabs to an element as somebody without a mouse does. */
async function tabTo(page, element) {
  for (let presses = 0; presses < 20; presses += 1) {
    await page.keyboard.press("Tab");
    if (await element.evaluate((it) => it === document.activeElement)) return;
  }
  throw new Error("the keyboard does not reach the button");
}

async function openConsent(page) {
  await page.goto(authorizeUrl);
  return page.getByRole("button", { name: "Continue to Internet Identity" });
}

/** Agrees on the consent page and waits for Internet Identity's. */
async function toInternetIdentity(page) {
  await (await openConsent(page)).click();
  await page.getByRole("button", { name: "Allow" }).waitFor();
}

async function allow(page) {
  await page.getByLabel("Alice").check();
  await page.getByLabel("Actions and questions").check();
  await page.getByRole("button", { name: "Allow" }).click();
}

/** Enters the code that the device page has and waits for the question whether it is the device's. */
async function enterCode(page) {
  await page.getByLabel("Code on the device").press("Enter");
  const button = page.getByRole("button", { name: "My device shows this code" });
  await button.waitFor();
  return button;
}

const atClient = (url) => url.href.startsWith(redirectUri);

async function arrive(page) {
  await page.waitForURL(atClient);
  return page.url();
}

/** Ticks or presses what somebody without a mouse has come to. */
async function press(page, element, key = "Enter") {
  await tabTo(page, element);
  await page.keyboard.press(key);
}

/** What the callback page says when it cannot go on. */
async function refusal(page) {
  await page.getByRole("heading", { name: "Sign-in is not complete" }).waitFor();
  return {
    text: await page.getByRole("status").innerText(),
    retry: await page.getByRole("button", { name: "Try again" }).isVisible(),
    address: page.url(),
  };
}

const journeys = {
  /** From the authorize link to the client, the first page with the keyboard alone. */
  async allow() {
    const page = await freshBrowser();
    let redeem;
    await page.route("**/oauth/connect/redeem", async (route) => {
      redeem = {
        address: await page.evaluate(() => location.href),
        history: await history(page),
      };
      await route.continue();
    });
    const button = await openConsent(page);
    await shoot(page, "consent");
    await press(page, button);
    await page.getByRole("button", { name: "Allow" }).waitFor();
    await shoot(page, "internet-identity");
    await allow(page);
    return { arrived: await arrive(page), redeem, history: await history(page) };
  },

  /** What the server says about itself to whoever comes by. */
  async info() {
    const page = await freshBrowser();
    await page.goto(new URL("/", authorizeUrl).href);
    await shoot(page, "info");
    const text = await page.getByRole("main").innerText();
    await press(page, page.getByRole("link", { name: "Your connections" }).first());
    await page.getByRole("button", { name: "Connect this browser" }).waitFor();
    return { text };
  },

  /** The consent page of a client that nobody has met. */
  async stranger() {
    const page = await freshBrowser();
    await openConsent(page);
    await shoot(page, "consent-stranger");
    return { text: await page.getByRole("main").innerText() };
  },

  /** A browser connects itself and makes a key; an app connected in another one asks which connections go on. */
  async connections() {
    const page = await freshBrowser();
    const start = new URL("/connections", authorizeUrl).href;
    await page.goto(start);
    await shoot(page, "browser-sign-in");
    await page.getByRole("button", { name: "Connect this browser" }).click();
    await allow(page);
    await page.getByRole("heading", { name: "Your connections" }).waitFor();
    await shoot(page, "connections");
    await page.getByLabel("Name").fill("a key for nothing");
    for (const box of await page.getByRole("checkbox").all()) await box.uncheck();
    await press(page, page.getByRole("button", { name: "Make the key" }));
    await page.getByRole("alert").getByText("Tick at least one thing").waitFor();
    await shoot(page, "connections-problem");
    await page.getByLabel("Name").fill("a key with a name as long as the sixty-four letters that it may have".slice(0, 64));
    await press(page, page.getByRole("button", { name: "Make the key" }));
    await page.getByText("It is shown this once").waitFor();
    const text = await page.locator("#key").innerText();
    // A picture of the key stays nowhere.
    await page.evaluate((key) => {
      const hidden = "icg_key_".padEnd(key.length, "x");
      document.querySelectorAll("pre").forEach((it) => (it.textContent = it.textContent.replaceAll(key, hidden)));
    }, text);
    await shoot(page, "new-key");

    const other = await freshBrowser();
    await toInternetIdentity(other);
    await allow(other);
    await other.getByRole("heading", { name: "Which of your connections go on?" }).waitFor();
    await shoot(other, "question");
    await press(other, other.getByLabel("a key with a name"), "Space");
    await press(other, other.getByLabel("Browser"), "Space");
    // An answer without content leaves the browser on the page that leads back.
    await other.route(atClient, (route) => route.fulfill({ status: 204 }), { times: 1 });
    await press(other, other.getByRole("button", { name: "Continue" }));
    const back = other.getByRole("link", { name: "Back to the app" });
    await back.waitFor();
    await shoot(other, "back-to-app");
    await press(other, back);
    const arrived = await arrive(other);

    await page.getByRole("link", { name: "Back to your connections" }).click();
    await page.getByRole("button", { name: "End a key" }).waitFor();
    await shoot(page, "connections-of-three");
    await press(page, page.getByRole("button", { name: "Sign out of this browser" }));
    await page.getByRole("button", { name: "Connect this browser" }).waitFor();
    return { arrived, text };
  },

  /** The earlier handshake: the page at Internet Identity asks and tells the gateway by itself. */
  async key_request() {
    const page = await freshBrowser();
    await toInternetIdentity(page);
    await allow(page);
    return { arrived: await arrive(page), history: await history(page) };
  },

  /** The page that the earlier handshake comes back to, when the network fails once. */
  async finish() {
    const page = await freshBrowser();
    await page.route("**/oauth/connect/redeem", (route) => route.abort(), { times: 1 });
    await toInternetIdentity(page);
    await allow(page);
    const refused = await refusal(page);
    await shoot(page, "finish-try-again");
    await press(page, page.getByRole("button", { name: "Try again" }));
    return { refused, arrived: await arrive(page) };
  },

  /** Somebody opens the address that is for apps. */
  async endpoint() {
    const page = await freshBrowser();
    const path = process.env.ICGATE_TEST_II === "ii" ? "/mcp" : "/mcp-prod";
    const answer = await page.goto(new URL(path, authorizeUrl).href);
    if (answer.status() !== 401) throw new Error(`status ${answer.status()}`);
    await shoot(page, "mcp-endpoint");
    return { text: await page.getByRole("main").innerText() };
  },

  /** Somebody whose address asked too often. */
  async too_many() {
    const page = await freshBrowser();
    await page.setExtraHTTPHeaders({ "x-forwarded-for": "203.0.113.9" });
    await openConsent(page);
    const answer = await page.goto(authorizeUrl);
    if (answer.status() !== 429) throw new Error(`status ${answer.status()}`);
    await shoot(page, "too-many");
    return { text: await page.getByRole("main").innerText() };
  },

  /** From the link that a device shows to the page that says to go back to it. */
  async device() {
    const page = await freshBrowser();
    await page.goto(authorizeUrl);
    await shoot(page, "device-code");
    const button = await enterCode(page);
    await shoot(page, "device-confirm");
    const text = await page.getByRole("main").innerText();
    await press(page, button);
    await page.getByRole("button", { name: "Allow" }).waitFor();
    await allow(page);
    await page.getByRole("heading", { name: "Your device is connected" }).waitFor();
    await shoot(page, "device-done");
    return { text, history: await history(page) };
  },

  /** A code that no device shows, and then the device's own, refused. */
  async device_refused() {
    const page = await freshBrowser();
    await page.goto(authorizeUrl);
    const field = page.getByLabel("Code on the device");
    const code = await field.inputValue();
    await field.fill("BCDFG-HJKLM");
    await field.press("Enter");
    const text = await page.getByRole("alert").innerText();
    await shoot(page, "device-unknown-code");
    await field.fill(code);
    await enterCode(page);
    await press(page, page.getByRole("button", { name: "Deny" }));
    await page.getByRole("heading", { name: "The device was refused" }).waitFor();
    await shoot(page, "device-refused");
    return { text };
  },

  /** Nothing ticked is not a consent; then the person refuses. */
  async deny() {
    const page = await freshBrowser();
    const button = await openConsent(page);
    for (const box of await page.getByRole("checkbox").all()) await box.uncheck();
    await press(page, button);
    const text = await page.getByRole("alert").innerText();
    await shoot(page, "consent-nothing-ticked");
    await press(page, page.getByRole("button", { name: "Deny" }));
    const arrived = await arrive(page);
    await shoot(page, "consent-refused");
    return { arrived, text };
  },

  async cancel() {
    const page = await freshBrowser();
    let calledBack = false;
    page.on("request", (request) => {
      calledBack ||= request.url().includes("/oauth/connect/");
    });
    await toInternetIdentity(page);
    await page.getByRole("button", { name: "Cancel" }).click();
    const text = await page.getByRole("alert").innerText();
    const form = await page.getByRole("button", { name: "Allow" }).isVisible();
    await shoot(page, "internet-identity-cancelled");
    return { text, form, called_back: calledBack };
  },

  /** The link back is opened in a browser that did not start the sign-in, and then in the one that did. */
  async second_browser() {
    const first = await freshBrowser();
    await toInternetIdentity(first);
    // An answer without content leaves the browser where it is.
    let stop;
    const stopped = new Promise((resolve) => (stop = resolve));
    const stay = (route) => stop(route.fulfill({ status: 204 }));
    await first.route("**/oauth/connect/callback", stay, { times: 1 });
    const consented = first.waitForResponse((response) => response.url().endsWith("/mcp/consent"));
    await allow(first);
    const { callback } = await (await consented).json();
    await stopped;

    const second = await freshBrowser();
    await second.goto(callback);
    const refused = await refusal(second);
    await shoot(second, "callback-refused");

    await first.goto(callback);
    return { refused, arrived: await arrive(first) };
  },

  async unknown_state() {
    const page = await freshBrowser();
    const callback = new URL("connect/callback", authorizeUrl);
    await page.goto(callback.href);
    const empty = await refusal(page);
    await shoot(page, "callback-empty");
    callback.hash = new URLSearchParams({ state: "unknown", delegation: "{}" });
    await page.goto("about:blank");
    await page.goto(callback.href);
    return { empty, refused: await refusal(page) };
  },

  /** The link back is opened when what Internet Identity signed is no longer good, and the consent page's with a
   * client that nobody knows. */
  async expired_link() {
    const page = await freshBrowser();
    // Internet Identity's page takes the request out of its address.
    const leaving = page.waitForResponse((response) => response.request().method() === "POST");
    await toInternetIdentity(page);
    const link = (await leaving).headers().location;
    const consent = await fetch(`${process.env.ICGATE_TEST_DEVNET}/control/consent`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        ii: process.env.ICGATE_TEST_II,
        link,
        anchor: 10000,
        access: "all",
        fault: "expired",
      }),
    });
    const { callback } = await consent.json();
    await page.goto(callback);
    const refused = await refusal(page);
    await shoot(page, "callback-expired");

    const unknown = new URL(authorizeUrl);
    unknown.searchParams.set("client_id", "nobody");
    await page.goto(unknown.href);
    const text = await page.getByRole("main").innerText();
    await shoot(page, "error");
    return { refused, text };
  },

  /** The network fails once; the page's button does it again. */
  async retry() {
    const page = await freshBrowser();
    await page.route("**/oauth/connect/redeem", (route) => route.abort(), { times: 1 });
    await toInternetIdentity(page);
    await allow(page);
    const refused = await refusal(page);
    await shoot(page, "callback-try-again");
    await press(page, page.getByRole("button", { name: "Try again" }));
    return { refused, arrived: await arrive(page) };
  },
};

try {
  const outcome = await journeys[journey]();
  console.log(JSON.stringify({ ...seen, ...outcome }));
} catch (error) {
  console.error(JSON.stringify(seen));
  throw error;
} finally {
  await browser.close();
}
