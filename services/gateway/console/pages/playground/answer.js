// One answer of the playground: asks for it, piece by piece, and shows it with its thumbs. It does not know what other
// answers stand beside it.

import { streamChat } from "../../api.js";
import { may, useCaller } from "../../parts/caller.js";
import { Thumbs } from "../../parts/thumbs.js";
import { html } from "../../vendor.js";

const endings = { length: "It was cut off at the greatest length.", stopped: "Stopped.", cancelled: "Stopped." };

/** An answer as it is after the page was loaded anew: what was under way has been stopped by that. */
export const stoppedAnswer = (answer) =>
  isOver(answer)
    ? answer
    : answer.completionId
    ? { ...answer, state: "done", ending: "Stopped, since the page was loaded anew." }
    : { ...answer, state: "failed", ending: "The page was loaded anew before the answer began." };

const isOver = ({ state }) => state === "done" || state === "failed";

/** An answer that is about to be asked for. */
export const newAnswer = (asked) => ({ asked, text: "", state: "waiting", thumb: null });

/** What is said to the model: the system prompt, the turns that went well, the question. */
export function messagesOf(system, turns, question) {
  const before = turns.filter(({ answer }) => answer.text !== "").flatMap(({ question, answer }) => [
    { role: "user", content: question },
    { role: "assistant", content: answer.text },
  ]);
  return [
    ...(system.trim() === "" ? [] : [{ role: "system", content: system }]),
    ...before,
    { role: "user", content: question },
  ];
}

/**
 * Asks, and tells of every change to the answer.
 *
 * @param update takes a function from the answer before to the answer now @param signal stops it
 */
export async function ask(model, messages, settings, user, update, signal) {
  const { temperature, maxTokens } = settings;
  try {
    const request = { model, messages, temperature, user, ...(maxTokens === "" ? {} : { max_tokens: maxTokens }) };
    for await (const { id, model, text, finishReason } of streamChat(request, signal)) {
      update((answer) => ({
        ...answer,
        completionId: id,
        model,
        text: answer.text + text,
        state: finishReason ? "done" : "streaming",
        ending: endings[finishReason],
      }));
    }
    update((answer) => answer.state === "done" ? answer : { ...answer, state: "done", ending: endings.stopped });
  } catch (error) {
    const stopped = error.name === "AbortError";
    update((answer) => ({
      ...answer,
      state: stopped ? "done" : "failed",
      ending: stopped ? endings.stopped : error.message,
    }));
  }
}

/** @param name what the answer is called @param showModel false while the comparison is blind */
export function Answer({ answer, update, name, showModel }) {
  const [caller] = useCaller();
  const { text, state, ending, completionId, model, asked, thumb } = answer;
  const over = isOver(answer);
  return html`
    <div class="answer" aria-busy=${String(!over)}>
      <div class="said">
        ${text}${!over && html`<span class="caret" aria-hidden="true"></span>`}
        ${over && text === "" && state !== "failed" && html`<span class="muted">The answer is empty.</span>`}
      </div>
      ${state === "failed" && html`<p class="failure" role="alert">${ending}</p>`}
      ${over && html`
        <div class="answer-foot">
          ${completionId && may(caller, "feedback", "reviewer") && html`
            <${Thumbs}
              answer=${{ completionId, choice: 0 }}
              name=${name}
              text=${text}
              thumb=${thumb}
              onThumb=${(thumb) => update((answer) => ({ ...answer, thumb }))}
            />
          `}
          ${state === "done" && html`
            <p class="meta">
              ${showModel && model && html`<span class="model">${model}</span>`}
              ${showModel && asked !== model && html`<span>asked as ${asked}</span>`}
              ${ending && html`<span>${ending}</span>`}
            </p>
          `}
        </div>
      `}
    </div>
  `;
}
