"use strict";

// The link is read once and taken out of the address bar and the history.
const link = location.href;
history.replaceState(null, "", location.pathname);

const LIFETIMES = [[600, "10 minutes"], [3600, "1 hour"], [86400, "1 day"], [604800, "1 week"], [2592000, "30 days"]];
const byId = (id) => document.getElementById(id);
const form = byId("consent");

function problem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = false;
}

async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  };
  const response = await fetch(path, options);
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(answer.error || `The local network answered ${response.status}.`);
  return answer;
}

function anchorChoice(anchor, first) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  Object.assign(input, { type: "radio", name: "anchor", value: String(anchor.number), required: true, checked: first });
  const text = document.createElement("span");
  text.textContent = `${anchor.name} (${anchor.number})`;
  if (anchor.connected) {
    const note = document.createElement("small");
    note.textContent = "Has a connection already; allowing this one ends it.";
    text.append(note);
  }
  label.append(input, " ", text);
  return label;
}

function offerLifetimes(asked) {
  const choices = LIFETIMES.some(([seconds]) => seconds === asked)
    ? LIFETIMES
    : [[asked, `${Math.round(asked / 60)} minutes, as asked`], ...LIFETIMES];
  for (const [seconds, text] of choices) {
    byId("lifetime").append(new Option(text, String(seconds), seconds === asked, seconds === asked));
  }
}

async function show() {
  const [request, anchors] = await Promise.all([ask("/mcp/request", { link }), ask("/mcp/anchors")]);
  byId("server").textContent = request.server;
  byId("anchors").append(...anchors.map((anchor, index) => anchorChoice(anchor, index === 0)));
  offerLifetimes(request.ttl_seconds);
  form.hidden = false;
}

async function allow(event) {
  event.preventDefault();
  const chosen = new FormData(form);
  byId("allow").disabled = true;
  try {
    const { callback } = await ask("/mcp/consent", {
      link,
      anchor: Number(chosen.get("anchor")),
      access: chosen.get("access"),
      ttl_seconds: Number(byId("lifetime").value),
    });
    location.assign(callback);
  } catch (error) {
    problem(error.message);
    byId("allow").disabled = false;
  }
}

form.addEventListener("submit", allow);
byId("cancel").addEventListener("click", () => {
  form.hidden = true;
  problem("You did not allow it. Nothing was shared; you can close this tab.");
});
if (new URL(link).hash === "") {
  problem("Nobody is asking for access. Connect from an MCP client; it sends your browser here.");
} else {
  show().catch((error) => problem(`This link cannot be used: ${error.message}.`));
}
