// The gateway's API as the console uses it: one function a request. Pages call these and know no addresses. How requests
// are sent is http.js's.

import { eventsOf, save, send, sendJson } from "./http.js";

/** Everything that can be asked: the base, adapters and aliases. */
export const listModels = async () => (await sendJson("GET", "/v1/models")).data;

/** Whether the model can answer. */
export const isReady = () => fetch("/readyz").then(({ ok }) => ok, () => false);

/** Streams one answer: yields `{id, model, text, finishReason}` piece by piece. */
export async function* streamChat(request, signal) {
  const response = await send("POST", "/v1/chat/completions", { json: { ...request, stream: true }, signal });
  for await (const { id, model, choices } of eventsOf(response)) {
    const [choice] = choices;
    if (choice) yield { id, model, text: choice.delta.content ?? "", finishReason: choice.finish_reason };
  }
}

// Thumbs and the answers they are on.

export const putThumb = (thumb) => sendJson("POST", "/v1/feedback", { json: thumb });
export const deleteThumb = (id) => sendJson("DELETE", `/v1/feedback/${encodeURIComponent(id)}`);
export const thumbHistory = async (id) =>
  (await sendJson("GET", `/v1/feedback/${encodeURIComponent(id)}/history`)).data;
export const getThumb = (id) => sendJson("GET", `/v1/feedback/${encodeURIComponent(id)}`);
/** One page of thumbs. @param filter label, model, tag, end_user, since */
export const listThumbs = (filter, page) => sendJson("GET", "/v1/feedback", { query: { ...filter, ...page } });
export const exportThumbs = (filter) => save("/v1/feedback/export", "feedback.jsonl", filter);
export const importThumbs = (file) =>
  sendJson("POST", "/v1/feedback/import", { body: file, headers: { "Content-Type": "application/x-ndjson" } });
export const hygiene = (filter) => sendJson("GET", "/v1/feedback/hygiene", { query: filter });
export const listUnlabelled = (page) => sendJson("GET", "/v1/answers", { query: { unlabelled: true, ...page } });
export const getAnswer = (id) => sendJson("GET", `/v1/answers/${encodeURIComponent(id)}`);

// Files and runs.

const jobs = "/v1/fine_tuning/jobs";
const job = (id) => `${jobs}/${encodeURIComponent(id)}`;

export function uploadFile(file) {
  const body = new FormData();
  body.set("purpose", "fine-tune");
  body.set("file", file);
  return sendJson("POST", "/v1/files", { body });
}
export const getFile = (id) => sendJson("GET", `/v1/files/${encodeURIComponent(id)}`);
export const saveFile = (id, filename) => save(`/v1/files/${encodeURIComponent(id)}/content`, filename);
export const createRun = (request) => sendJson("POST", jobs, { json: request });
export const listRuns = (page) => sendJson("GET", jobs, { query: page });
export const getRun = (id) => sendJson("GET", job(id));
export const cancelRun = (id) => sendJson("POST", `${job(id)}/cancel`);
/** Events of a run, oldest first, then live until it ends. */
export async function* streamRun(id, signal) {
  yield* eventsOf(await send("GET", `${job(id)}/events`, { query: { stream: true }, signal }));
}

// Models: the registry, and how aliases spread requests.

export const getRegistry = () => sendJson("GET", "/v1/registry");
export const promote = (request) => sendJson("POST", "/v1/registry/promote", { json: request });
export const rollBack = (reason) => sendJson("POST", "/v1/registry/rollback", { json: reason ? { reason } : {} });
export const deleteAdapter = (name) => sendJson("DELETE", `/v1/registry/${encodeURIComponent(name)}`);
export const listExperiments = async () => (await sendJson("GET", "/v1/experiments")).data;
export const setAlias = (name, arms) => sendJson("PUT", `/v1/aliases/${encodeURIComponent(name)}`, { json: { arms } });
