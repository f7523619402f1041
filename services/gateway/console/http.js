// Requests to the gateway: JSON, files and server-sent events, with a key where one is needed, and refusals as errors.
// It does not know which routes there are (api.js) nor what a page shows.

const keyName = "prospect-key";

/** Why a request came to nothing. `status` is 0 where the gateway could not be reached. */
export class Refusal extends Error {
  constructor(status, body, fallback) {
    super(body?.error?.message ?? fallback);
    this.status = status;
    /** Seconds after which it is worth trying again; null where the gateway did not say. */
    this.retryAfter = null;
    /** The error's code, e.g. `gate_not_passed`. */
    this.code = body?.error?.code ?? null;
    /** The whole body: a refused promotion has the gate's findings in it. */
    this.body = body;
  }
}

let askForKey = (_refusal, _refused) => Promise.resolve(false);
let asking;

/**
 * Says who asks the person for a key: `ask(refusal, refused)` resolves to true once there is a new one; `refused` says
 * whether a key was sent and not accepted.
 */
export function whenKeyNeeded(ask) {
  askForKey = ask;
}

export const hasKey = () => sessionStorage.getItem(keyName) !== null;

/** Keeps a key for as long as the tab lives. */
export function setKey(key) {
  if (key) sessionStorage.setItem(keyName, key);
  else sessionStorage.removeItem(keyName);
}

/** Several requests may find out at once that a key is missing; the person is asked once. */
function askOnce(refusal, sent) {
  if (sent !== sessionStorage.getItem(keyName)) return Promise.resolve(true);
  asking ??= askForKey(refusal, sent !== null).finally(() => asking = undefined);
  return asking;
}

/** Hears "lost" when the gateway cannot be reached, and "found" when it can again. */
export const connection = new EventTarget();
let lost = false;

export const isLost = () => lost;

/** How often a gateway that is gone is looked for, in milliseconds. */
const patience = 2000;

function noteLost() {
  if (lost) return;
  lost = true;
  connection.dispatchEvent(new Event("lost"));
  const look = () => fetch("/healthz").then(noteFound, () => setTimeout(look, patience));
  look();
}

function noteFound() {
  if (!lost) return;
  lost = false;
  connection.dispatchEvent(new Event("found"));
}

/** Milliseconds by which the gateway's clock is ahead of the browser's. */
let ahead = 0;

/** The time by the gateway's clock, in milliseconds since 1970: what it stores is compared with that. */
export const gatewayNow = () => Date.now() + ahead;

/** Fetches, and notes whether the gateway can be reached and what time it has. @throws Refusal with status 0 */
async function reach(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    noteLost();
    throw new Refusal(0, undefined, "The gateway cannot be reached. Is it still running?");
  }
  noteFound();
  const date = Date.parse(response.headers.get("Date") ?? "");
  // The header has whole seconds; a smaller difference is none.
  if (!Number.isNaN(date)) ahead = Math.abs(date - Date.now()) < 2000 ? 0 : date - Date.now();
  return response;
}

/** Whether the gateway can be reached and says that its model can answer. */
export const isReady = () => reach("/readyz").then(({ ok }) => ok, () => false);

function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length === 0 ? path : `${path}?${new URLSearchParams(given)}`;
}

/**
 * Sends a request and gives the response once its status is good.
 *
 * @param options `query`; one of `json`, `body`; `headers`; `signal`
 * @throws Refusal
 */
export async function send(method, path, options = {}) {
  const { query, json, body = json === undefined ? undefined : JSON.stringify(json), signal } = options;
  const headers = new Headers(options.headers);
  if (json !== undefined) headers.set("Content-Type", "application/json");
  const key = sessionStorage.getItem(keyName);
  if (key) headers.set("Authorization", `Bearer ${key}`);
  const response = await reach(address(path, query), { method, headers, body, signal });
  if (response.ok) return response;
  const refused = await response.json().catch(() => undefined);
  const refusal = new Refusal(
    response.status,
    refused,
    `The gateway answered ${response.status} to ${method} ${path}.`,
  );
  refusal.retryAfter = Number(response.headers.get("Retry-After")) || null;
  if (response.status === 401 && await askOnce(refusal, key)) return send(method, path, options);
  throw refusal;
}

/** Sends a request whose answer is JSON. */
export const sendJson = async (...request) => await (await send(...request)).json();

/** Fetches a file, with the key if there is one, and hands it to the browser to save. */
export async function save(path, filename, query) {
  const file = await (await send("GET", path, { query })).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(file), download: filename });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function brokeOff(error) {
  if (error?.name === "AbortError") throw error;
  if (error) noteLost();
  throw new Refusal(0, undefined, "The connection to the gateway broke off.");
}

/** Server-sent events of a response, parsed, until `[DONE]`. @throws Refusal for an error among them, or none of them at the end */
export async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "", data = [];
  try {
    for (;;) {
      const { done, value } = await reader.read().catch(brokeOff);
      if (done) brokeOff();
      const lines = (text + value).split(/\r?\n/);
      text = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        if (line !== "" || data.length === 0) continue;
        const event = data.join("\n");
        data = [];
        if (event === "[DONE]") return;
        const parsed = JSON.parse(event);
        if (parsed.error) throw new Refusal(response.status, parsed, "The stream broke off.");
        yield parsed;
      }
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}
