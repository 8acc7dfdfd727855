// The person at the device page.

import { execFileSync } from "node:child_process";

export function confirmDevice(url) {
  const browser = process.env.ICGATE_TEST_BROWSER;
  execFileSync("python3", [browser, "--device", url], { encoding: "utf8", timeout: 120_000 });
}
