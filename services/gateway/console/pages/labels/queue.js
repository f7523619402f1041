// Answers that wait for a thumb, one at a time, from the keyboard: which keys do what is the table below, and the page
// shows it.

import { listModels, listUnlabelled } from "../../api.js";
import { dialogIsOpen } from "../../parts/dialog.js";
import { Choice } from "../../parts/field.js";
import { questionOf, when, whenInFull } from "../../parts/format.js";
import { Icon } from "../../parts/icons.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { useLoaded } from "../../parts/state.js";
import { pressThumb, Thumbs } from "../../parts/thumbs.js";
import { html, useEffect, useRef, useState } from "../../vendor.js";
import { Mark } from "./thumb_list.js";

/** Thumbs of the queue are the reviewer's, not the person's who asked. */
const reviewer = "console";
const rowsOfPage = 50;

const keys = [
  { names: ["j", "ArrowDown"], shown: ["j", "↓"], what: "next" },
  { names: ["k", "ArrowUp"], shown: ["k", "↑"], what: "previous" },
  { names: ["u"], shown: ["u"], what: "thumb up", once: true },
  { names: ["d"], shown: ["d"], what: "thumb down", once: true },
];

const isTyping = ({ target }) => target.closest("input, textarea, select, [contenteditable]") !== null;

/** Every choice of every answer is judged on its own. */
const itemsOf = ({ data }) =>
  data.flatMap((answer) => answer.choices.map((choice) => ({ key: `${answer.id} ${choice.index}`, answer, choice })));

export function Queue() {
  const models = useLoaded(listModels, []), [model, setModel] = useState("");
  const queue = useLoaded(() => listUnlabelled({ model, limit: rowsOfPage }), [model]);
  return html`
    <div class="bar">
      <form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
        <${Choice}
          label="Model"
          value=${model}
          onChoose=${setModel}
          choices=${[["", "All models"], ...(models.value ?? []).filter(({ arms }) => !arms).map(({ id }) => [id, id])]}
        />
        <button type="button" class="quiet" onClick=${queue.reload}>Load anew</button>
      </form>
      <ul class="keys" aria-label="Keys">
        ${keys.map(({ shown, what }) =>
          html`<li key=${what}>${shown.map((key) => html`<kbd>${key}</kbd>`)} ${what}</li>`
        )}
      </ul>
    </div>
    <${Loaded} of=${queue} render=${(page) =>
      page.data.length === 0
        ? html`<${Empty} title="Nothing waits">Every answer has a thumb. New ones appear here as people ask.<//>`
        : html`<${Review} key=${`${model} ${page.data[0].id}`} items=${
          itemsOf(page)
        } more=${page.has_more} reload=${queue.reload} />`} />
  `;
}

/** @param items `{key, answer, choice}`; they stay in the list once judged, so that one can go back */
function Review({ items, more, reload }) {
  const [at, setAt] = useState(0), [thumbs, setThumbs] = useState({});
  const list = useRef(null);
  const { key, answer, choice } = items[at];
  const judged = Object.values(thumbs).filter(Boolean).length;
  const subject = { completionId: answer.id, choice: choice.index, endUser: reviewer };
  const move = (by) => setAt((at) => Math.min(Math.max(at + by, 0), items.length - 1));
  const keep = (thumb) => setThumbs((before) => ({ ...before, [key]: thumb }));
  const press = async (label) => {
    const before = thumbs[key] ?? null;
    // One goes on at once; the mark in the list says when the thumb is kept.
    if (before?.label !== label) move(1);
    try {
      keep(await pressThumb(subject, before, label));
    } catch (error) {
      setAt(at);
      notify(error.message);
    }
  };
  // Keys may come faster than effects are run: what they do is always that of the answer on the page.
  const acts = useRef({});
  acts.current = {
    next: () => move(1),
    previous: () => move(-1),
    "thumb up": () => press(true),
    "thumb down": () => press(false),
  };
  useEffect(() => {
    const typed = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event) || dialogIsOpen()) return;
      const found = keys.find(({ names }) => names.includes(event.key));
      if (!found || event.repeat && found.once) return;
      event.preventDefault();
      acts.current[found.what]();
    };
    addEventListener("keydown", typed);
    return () => removeEventListener("keydown", typed);
  }, []);
  useEffect(() => list.current.children[at]?.scrollIntoView({ block: "nearest" }), [at]);
  return html`
    <div class="review">
      <section class="card focus" aria-label="Answer to judge">
        <p class="meta">
          <span>${at + 1} of ${items.length}${more ? "+" : ""}</span>
          <span class="model">${answer.arm}</span>
          ${answer.end_user && html`<span>${answer.end_user}</span>`}
          <time title=${whenInFull(answer.created_at)}>${when(answer.created_at)}</time>
        </p>
        <${Prompt} prompt=${answer.prompt} />
        <div class="said">${choice.content === ""
          ? html`<span class="muted">The answer is empty.</span>`
          : choice.content}</div>
        <div class="focus-foot">
          <${Thumbs} key=${key} answer=${subject} text=${choice.content} thumb=${thumbs[key] ?? null} onThumb=${keep} />
          <div class="steps">
            <button type="button" class="small" disabled=${at === 0} onClick=${() => move(-1)}>Previous</button>
            <button type="button" class="small" disabled=${at === items.length - 1} onClick=${() =>
              move(1)}>Next</button>
          </div>
        </div>
        <p class="visually-hidden" role="status">Answer ${at + 1} of ${items.length}: ${questionOf(answer.prompt)}</p>
      </section>
      <section class="waiting" aria-label="Waiting answers">
        <ol ref=${list} tabindex="0" aria-label="Waiting answers">
          ${items.map(({ key, answer, choice }, index) =>
            html`
              <li key=${key}>
                <button type="button" class="waiting-item" aria-current=${index === at
                  ? "true"
                  : undefined} onClick=${() => setAt(index)}>
                  ${thumbs[key] ? html`<${Mark} label=${thumbs[key].label} />` : html`<span class="mark"></span>`}
                  <span class="waiting-text"><span class="asked">${questionOf(
                    answer.prompt,
                  )}</span><span class="excerpt">${choice.content}</span></span>
                </button>
              </li>
            `
          )}
        </ol>
        ${judged === items.length && html`
          <button type="button" class="primary"
            onClick=${reload}><${Icon} name="check" size=${16} />${more
              ? "Load the next ones"
              : "All judged: look for more"}</button>
        `}
      </section>
    </div>
  `;
}

/** The whole prompt: a text as it is, a conversation with who said what. */
function Prompt({ prompt }) {
  if (typeof prompt === "string") {
    return html`
      <div class="prompt">
        <p>${prompt}</p>
      </div>
    `;
  }
  return html`
    <div class="prompt">
      ${prompt.map(({ role, content }, index) =>
        html`<p key=${index} class=${role}><span class="role">${role}</span>${content}</p>`
      )}
    </div>
  `;
}
