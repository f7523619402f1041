// Answers that wait for the reviewer's thumb, one at a time, from the keyboard: which keys do what is the table below, and
// the page shows it.

import { listModels } from "../../api.js";
import { NameForm, useReviewer } from "../../parts/caller.js";
import { dialogIsOpen } from "../../parts/dialog.js";
import { Choice } from "../../parts/field.js";
import { count, questionOf, when, whenInFull } from "../../parts/format.js";
import { Icon } from "../../parts/icons.js";
import { Empty, Loading, Problem } from "../../parts/loaded.js";
import { useKept, useLoaded } from "../../parts/state.js";
import { pressThumb, Thumbs } from "../../parts/thumbs.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../../vendor.js";
import { askedChoices } from "./filters.js";
import { Mark } from "./thumb_list.js";
import { useWaiting } from "./waiting.js";

const keys = [
  { names: ["j", "ArrowDown"], shown: ["j", "↓"], what: "next" },
  { names: ["k", "ArrowUp"], shown: ["k", "↑"], what: "previous" },
  { names: ["u"], shown: ["u"], what: "thumb up", once: true },
  { names: ["d"], shown: ["d"], what: "thumb down", once: true },
];

const isTyping = ({ target }) => target.closest("input, textarea, select, [contenteditable]") !== null;

export function Queue() {
  const { reviewer, rename } = useReviewer(), asked = useRef(reviewer === null);
  // Whoever was asked for the name goes on with the first answer.
  if (reviewer !== null) return html`<${Judging} key=${reviewer} reviewer=${reviewer} entered=${asked.current} />`;
  return html`
    <section class="card" aria-label="Who judges?">
      <h2>Who judges?</h2>
      <${NameForm} onNamed=${rename} />
    </section>
  `;
}

function Judging({ reviewer, entered }) {
  const models = useLoaded(listModels, []), [model, setModel] = useState("");
  const [again, setAgain] = useKept("queue: judged by others", false);
  const waiting = useWaiting(reviewer, again, model), [turn, setTurn] = useState(0);
  const restart = () => {
    waiting.restart();
    setTurn(turn + 1);
  };
  return html`
    <div class="bar">
      <form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
        <${Choice} label="Asked as" value=${model} onChoose=${setModel} choices=${askedChoices(models.value ?? [])} />
        <${Choice}
          label="Judged by"
          value=${again ? "others" : "nobody"}
          onChoose=${(chosen) => setAgain(chosen === "others")}
          choices=${[["nobody", "Nobody yet"], ["others", "Others, or nobody yet"]]}
        />
        <button type="button" class="quiet" onClick=${restart}>Load anew</button>
      </form>
      <ul class="keys" aria-label="Keys">
        ${keys.map(({ shown, what }) =>
          html`<li key=${what}>${shown.map((key) => html`<kbd>${key}</kbd>`)} ${what}</li>`
        )}
      </ul>
    </div>
    ${waiting.error && html`<${Problem} error=${waiting.error} retry=${waiting.retry} />`}
    ${waiting.items.length > 0
      ? html`<${Review} key=${`${model} ${again} ${turn}`} waiting=${waiting} restart=${restart} entered=${
        entered || turn > 0
      } />`
      : !waiting.more
      ? html`<${Empty} title="Nothing waits">${
        again ? "You have judged every answer." : "Every answer has been judged."
      } New ones appear here as people ask.<//>`
      : !waiting.error && html`<${Loading} />`}
  `;
}

/** The answers in order, one of them to be judged. Past the last one it says that nothing is left. */
function Review({ waiting, restart, entered }) {
  const { items, more, error, setThumb, reach } = waiting;
  const [at, setAt] = useState(0), [moves, setMoves] = useState(entered ? 1 : 0), [failed, setFailed] = useState(null);
  const list = useRef(null), place = useRef(null), pressed = useRef(new Set());
  const item = items[at];
  const go = (to) => {
    setAt((at) => Math.min(Math.max(typeof to === "function" ? to(at) : to, 0), items.length));
    setMoves((moves) => moves + 1);
  };
  const move = (by) => go((at) => at + by);
  /** Presses a thumb, one at a time on each answer, and goes on at once: the mark in the list says when it is kept. */
  const press = async ({ key, answer, choice, thumb }, label) => {
    if (pressed.current.has(key)) return thumb;
    pressed.current.add(key);
    setFailed(null);
    if (thumb?.label !== label) move(1);
    try {
      const now = await pressThumb({ completionId: answer.id, choice: choice.index }, thumb, label);
      setThumb(key, now);
      return now;
    } catch (error) {
      // Whoever has gone on meanwhile must see what is not kept.
      go(items.findIndex((item) => item.key === key));
      setFailed({ key, error });
      return thumb;
    } finally {
      pressed.current.delete(key);
    }
  };
  // Keys may come faster than effects are run: what they do is always that of the answer on the page.
  const acts = useRef({});
  acts.current = {
    next: () => move(1),
    previous: () => move(-1),
    "thumb up": () => item && press(item, true),
    "thumb down": () => item && press(item, false),
  };
  // Before the page is painted: whoever sees an answer can judge it.
  useLayoutEffect(() => {
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
  useEffect(() => reach(at), [at, items.length]);
  // The answer that one has gone to has the focus, so that it is read out and Tab goes on from there.
  useLayoutEffect(() => {
    if (moves === 0) return;
    // Whoever goes on by a button stays on it.
    if (!document.activeElement.closest(".steps")) place.current.focus({ preventScroll: true });
    if (place.current.getBoundingClientRect().top < 0) place.current.scrollIntoView({ block: "start" });
    scrollWithin(list.current, list.current.children[at]);
  }, [moves]);
  return html`
    <div class="review">
      <section ref=${place} class="card focus" tabindex="-1" aria-label=${item
        ? `Answer ${at + 1} of ${items.length}`
        : "The end of the queue"}>
        ${item
          ? html`
            <div class="focus-head">
              <p class="meta">
                <span>${at + 1} of ${items.length}${more ? "+" : ""}</span>
                <span class="model">${item.answer.arm}</span>
                ${item.answer.end_user && html`<span class="person">${item.answer.end_user}</span>`}
                <time title=${whenInFull(item.answer.created_at)}>${when(item.answer.created_at)}</time>
              </p>
              <div class="steps">
                <button type="button" class="small" disabled=${at === 0} onClick=${() => move(-1)}>Previous</button>
                <button type="button" class="small" onClick=${() => move(1)}>Next</button>
              </div>
            </div>
            <${Answer}
              key=${item.key}
              item=${item}
              place=${`Answer ${at + 1} of ${items.length}`}
              press=${press}
              setThumb=${setThumb}
              failure=${failed?.key === item.key ? failed.error : null}
            />
          `
          : more && !error
          ? html`<${Loading} />`
          : html`<${Left} items=${items} go=${go} restart=${restart} />`}
      </section>
      <section class="waiting" aria-label="Waiting answers">
        <ol ref=${list} tabindex="0" aria-label="Waiting answers" onScroll=${({ target }) =>
          nearEnd(target) && reach(items.length)}>
          ${items.map(({ key, answer, choice, thumb }, index) =>
            html`
              <li key=${key}>
                <button type="button" class="waiting-item" aria-current=${index === at ? "true" : undefined}
                  onClick=${() => go(index)}>
                  ${thumb ? html`<${Mark} label=${thumb.label} />` : html`<span class="mark"></span>`}
                  <span class="waiting-text"><span class="asked">${questionOf(
                    answer.prompt,
                  )}</span><span class="excerpt">${choice.content.slice(0, 200)}</span></span>
                </button>
              </li>
            `
          )}
        </ol>
      </section>
    </div>
  `;
}

const nearEnd = (element) => element.scrollHeight - element.scrollTop - element.clientHeight < element.clientHeight;

/** Scrolls a list to one of its items, and nothing around the list. */
function scrollWithin(list, item) {
  if (!item) return;
  const above = item.offsetTop - list.scrollTop, below = above + item.offsetHeight - list.clientHeight;
  if (above < 0) list.scrollTop += above;
  else if (below > 0) list.scrollTop += below;
}

/** One answer with its question, to be judged. */
function Answer({ item, place, press, setThumb, failure }) {
  const { key, answer, choice, thumb } = item;
  return html`
    <${Prompt} prompt=${answer.prompt} />
    <div class="said">${choice.content === ""
      ? html`<span class="muted">The answer is empty.</span>`
      : choice.content}</div>
    ${failure && html`<${Problem} error=${failure} />`}
    <${Thumbs}
      answer=${{ completionId: answer.id, choice: choice.index }}
      text=${choice.content}
      thumb=${thumb}
      press=${(_answer, _thumb, label) => press(item, label)}
      onThumb=${(thumb) => setThumb(key, thumb)}
    />
    <p class="visually-hidden" role="status">${place}: ${questionOf(answer.prompt)}</p>
  `;
}

/** The end of the queue. */
function Left({ items, go, restart }) {
  const over = items.filter(({ thumb }) => thumb === null).length;
  return html`
    <div class="left">
      <h2>Nothing left</h2>
      <p>${over === 0
        ? `You have judged ${
          items.length === 1 ? "the one answer" : `all ${count(items.length, "answer")}`
        } that waited.`
        : `You have come to the end; ${count(over, "answer")} ${over === 1 ? "was" : "were"} passed over.`}</p>
      <div class="actions">
        <button type="button" onClick=${() => go(items.length - 1)}>Previous</button>
        ${over > 0 && html`
          <button type="button" onClick=${() =>
            go(items.findIndex(({ thumb }) => thumb === null))}>Judge what was passed over</button>
        `}
        <button type="button" class="primary" onClick=${restart}><${Icon} name="check" size=${16} />Look for more</button>
      </div>
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
