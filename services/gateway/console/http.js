// Requests to the gateway: JSON, files and server-sent events, with a key where one is needed, and refusals as errors.
// It does not know which routes there are (api.js) nor what a page shows.

const keyName = "prospect-key";

/** Why a request came to nothing. `status` is 0 where the gateway could not be reached. */
export class Refusal extends Error {
  constructor(status, body, fallback) {
    super(body?.error?.message ?? fallback);
    this.status = status;
    /** The error's code, e.g. `gate_not_passed`. */
    this.code = body?.error?.code ?? null;
    /** The whole body: a refused promotion has the gate's findings in it. */
    this.body = body;
  }
}

let askForKey = (_why) => Promise.resolve(false);
let asking;

/** Says who asks the person for a key: resolves to true once there is a new one. */
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
function askOnce(why, refused) {
  if (refused !== sessionStorage.getItem(keyName)) return Promise.resolve(true);
  asking ??= askForKey(why).finally(() => asking = undefined);
  return asking;
}

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
  let response;
  try {
    response = await fetch(address(path, query), { method, headers, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, undefined, "The gateway cannot be reached. Is it still running?");
  }
  if (response.ok) return response;
  const refused = await response.json().catch(() => undefined);
  const refusal = new Refusal(
    response.status,
    refused,
    `The gateway answered ${response.status} to ${method} ${path}.`,
  );
  if (response.status === 401 && await askOnce(refusal.message, key)) return send(method, path, options);
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
