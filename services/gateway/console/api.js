// The gateway's API as the console uses it: one function a request. Pages call these and know no addresses. How requests
// are sent is http.js's.

import { eventsOf, save, send, sendJson } from "./http.js";

/** Everything that can be asked: the base, adapters and aliases. */
export const listModels = async () => (await sendJson("GET", "/v1/models")).data;

/** Who asks here, by their key, and what they may do. */
export const getCaller = () => sendJson("GET", "/v1/me");

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
/** Takes a thumb back; one that is gone already is taken back. */
export async function deleteThumb(id) {
  try {
    await sendJson("DELETE", `/v1/feedback/${encodeURIComponent(id)}`);
  } catch (error) {
    if (error.code !== "feedback_not_found") throw error;
  }
}
export const thumbHistory = async (id) =>
  (await sendJson("GET", `/v1/feedback/${encodeURIComponent(id)}/history`)).data;
export const getThumb = (id) => sendJson("GET", `/v1/feedback/${encodeURIComponent(id)}`);
/** One page of thumbs. @param filter label, model, tag, end_user, since */
export const listThumbs = (filter, page) => sendJson("GET", "/v1/feedback", { query: { ...filter, ...page } });
export const exportThumbs = (filter) => save("/v1/feedback/export", "feedback.jsonl", filter);
export const importThumbs = (file) =>
  sendJson("POST", "/v1/feedback/import", { body: file, headers: { "Content-Type": "application/x-ndjson" } });
export const hygiene = (filter) => sendJson("GET", "/v1/feedback/hygiene", { query: filter });
/** One page of answers that nobody has judged, or that this person has not. @param filter model, limit, cursor */
export const listUnjudged = (person, filter) =>
  sendJson("GET", "/v1/answers", {
    query: { ...(person ? { unlabelled_by: person } : { unlabelled: true }), ...filter },
  });
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
/** Whether a trainer is at work, and when one was last seen. */
export const getTrainer = () => sendJson("GET", "/v1/trainer");
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
