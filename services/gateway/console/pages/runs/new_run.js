// The form that starts a run: which thumbs, from which model on, and how. Fields left empty are chosen by the trainer.

import { createRun, hygiene, listModels, uploadFile } from "../../api.js";
import { gatewayNow } from "../../http.js";
import { useAttempt } from "../../parts/attempt.js";
import { Choice, Field, TextField } from "../../parts/field.js";
import { count, number } from "../../parts/format.js";
import { Loaded, Problem } from "../../parts/loaded.js";
import { useKept, useLoaded, useSettled } from "../../parts/state.js";
import { html, useState } from "../../vendor.js";
import { askedChoices } from "../labels/filters.js";
import { hyperparameters } from "./hyperparameters.js";
import { TrainerNotice } from "./trainer_notice.js";

const beginning = {
  source: "labels",
  model: "base",
  suffix: "",
  seed: "",
  tag: "",
  from: "",
  max_age_days: "",
  drop_contradictions: true,
  drop_stale: "",
};

const asNumber = (text) => text === "" ? undefined : Number(text);

/** Fields that were filled in. */
const given = (fields) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== ""));

function requestOf(form, numbers, training_file) {
  const { source, model, suffix, seed, tag, from, max_age_days, drop_contradictions, drop_stale } = form;
  const chosen = given(Object.fromEntries(hyperparameters.map(({ name }) => [name, asNumber(numbers[name] ?? "")])));
  const labels = given({
    tag,
    model: from,
    max_age_days: asNumber(max_age_days),
    drop_contradictions: drop_contradictions || undefined,
    drop_stale: asNumber(drop_stale),
  });
  return {
    training_file,
    model,
    method: { type: "kto", kto: { hyperparameters: chosen } },
    ...given({ suffix: suffix.trim(), seed: asNumber(seed) }),
    ...(source === "labels" && Object.keys(labels).length > 0 ? { labels } : {}),
  };
}

export function NewRun() {
  const models = useLoaded(listModels, []);
  return html`
    <div class="page">
      <nav class="crumbs" aria-label="Where this is"><a href="#/runs">Runs</a></nav>
      <header class="page-head">
        <div>
          <h1>New run</h1>
          <p>Choose what to learn from. The rest has sensible defaults.</p>
        </div>
      </header>
      <${TrainerNotice} />
      <${Loaded} of=${models} render=${(value) => html`<${Form} models=${value} />`} />
    </div>
  `;
}

function Form({ models: all }) {
  const models = all.filter(({ arms }) => !arms).map(({ id }) => id);
  const [form, setForm] = useKept("new run", beginning), [numbers, setNumbers] = useKept("new run numbers", {});
  const [file, setFile] = useState(null), counted = useCounted(form);
  const { problem, attempt } = useAttempt(), reason = whyNot(form, file, counted);
  const change = (changed) => setForm((before) => ({ ...before, ...changed }));
  const start = (event) => {
    event.preventDefault();
    return attempt(async () => {
      const training_file = form.source === "labels" ? "labels" : (await uploadFile(file)).id;
      const run = await createRun(requestOf(form, numbers, training_file));
      location.hash = `#/runs/${run.id}`;
    });
  };
  return html`
    <form class="run-form" aria-label="New run" onSubmit=${start}>
      <fieldset class="card">
        <legend>Data</legend>
        <div class="options">
          ${[["labels", "Labels", "Thumbs that this gateway has collected."], [
            "file",
            "A file",
            "Rows of feedback, one JSON object a line.",
          ]].map(([value, name, what]) =>
            html`
              <label key=${value} class="option">
                <input type="radio" name="source" value=${value} checked=${form.source === value} onChange=${() =>
                  change({ source: value })} />
                <span><b>${name}</b><span class="hint">${what}</span></span>
              </label>
            `
          )}
        </div>
        ${form.source === "labels"
          ? html`
            <div key="labels" class="fields">
              <${TextField} label="Tag" hint="Only thumbs with this tag." value=${form.tag} onText=${(tag) =>
                change({ tag })} />
              <${Choice} label="Asked as" hint="Only answers to requests for this model." value=${form
                .from} onChoose=${(from) => change({ from })}
                choices=${askedChoices(all)} />
              <${TextField} label="Greatest age in days" hint="Older thumbs are left out." type="number" min="0" step="any"
                value=${form.max_age_days} onText=${(max_age_days) => change({ max_age_days })} />
              <${TextField} label="Drop stale rows" hint="Leaves out answers that moved by more than this many nats a token."
                type="number" min="0" step="any" value=${form.drop_stale} onText=${(drop_stale) =>
                  change({ drop_stale })} />
              <label class="check wide">
                <input type="checkbox" checked=${form.drop_contradictions} onChange=${(event) =>
                  change({ drop_contradictions: event.target.checked })} />
                <span>Leave out contradictions<span class="hint">Thumbs up and down on the same answer cancel each other.</span></span>
              </label>
            </div>
            <${Preview} counted=${counted} />
          `
          : html`
            <div key="file" class="fields">
              <${Field} label="Feedback file" wide hint="JSON Lines in any of the formats that deno task train reads."
                control=${(attributes) =>
                  html`
                    <input type="file" accept=".jsonl,.ndjson,.json" required ...${attributes} onChange=${(event) =>
                      setFile(event.target.files[0] ?? null)} />
                  `} />
            </div>
          `}
      </fieldset>
      <fieldset class="card">
        <legend>Model</legend>
        <div class="fields">
          <${Choice} label="Start from" hint="An adapter goes on from where it is." value=${form.model} onChoose=${(
            model,
          ) => change({ model })} choices=${models.map((id) => [id, id === "base" ? "base (untuned)" : id])} />
          <${TextField} label="Name" hint="Of the new adapter: letters, digits, dots, dashes." placeholder="chosen for you" maxlength="64" pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" value=${form
            .suffix} onText=${(suffix) => change({ suffix })} />
          <${TextField} label="Seed" hint="The same seed and data give the same adapter." type="number" min="0" step="1" placeholder="0" value=${form
            .seed} onText=${(seed) => change({ seed })} />
        </div>
      </fieldset>
      <fieldset class="card">
        <legend>Training</legend>
        <div class="fields">
          ${hyperparameters.map(({ name, label, usual, hint }) =>
            html`
              <${TextField} key=${name} label=${label} hint=${hint} type="number" min="0" step="any" placeholder=${usual}
                value=${numbers[name] ?? ""} onText=${(text) =>
                  setNumbers((before) => ({ ...before, [name]: text }))} />
            `
          )}
        </div>
      </fieldset>
      ${problem && html`<${Problem} error=${problem} />`}
      <div class="actions">
        ${reason && html`<p class="muted" id="why-not">${reason}</p>`}
        <a class="button quiet" href="#/runs">Back</a>
        <button type="submit" class="primary" disabled=${reason !== null} aria-describedby=${reason
          ? "why-not"
          : undefined}>Train</button>
      </div>
    </form>
  `;
}

/** The thumbs that the choice leaves, counted by the gateway once typing has paused. */
function useCounted(form) {
  const { tag, from, max_age_days } = useSettled(form);
  const settled = tag === form.tag && from === form.from && max_age_days === form.max_age_days;
  const oldest = () => max_age_days === "" ? "" : Math.floor(gatewayNow() - 86_400_000 * Number(max_age_days));
  const counted = useLoaded(() => hygiene({ tag, model: from, since: oldest() }), [tag, from, max_age_days]);
  return { ...counted, loading: counted.loading || !settled };
}

/** Why there is nothing to train on, or null. */
function whyNot({ source }, file, { value, loading, error }) {
  if (source === "file") return file ? null : "Choose a file first.";
  // Where counting failed the gateway has the last word.
  if (error) return null;
  if (loading || !value) return "Counting the thumbs …";
  if (value.rows === 0) return "There are no thumbs to train on: judge some answers first, or choose others here.";
  if (value.desirable > 0 && value.undesirable > 0) return null;
  return `All thumbs are ${
    value.desirable > 0 ? "up" : "down"
  }: training learns from the difference, so it needs both kinds.`;
}

/** How many thumbs the choice leaves. */
function Preview({ counted }) {
  if (counted.error) return html`<p class="preview">${counted.error.message}</p>`;
  if (!counted.value) return null;
  const { rows, desirable, undesirable, contradictions, weights } = counted.value;
  return html`
    <p class="preview" role="status">
      <b>${count(rows, "row")}</b>: ${number(desirable)} up, ${number(undesirable)} down${contradictions > 0
        ? `, ${count(contradictions, "contradiction")}`
        : ""}.
      ${rows > 0 &&
        html`<span class="muted"> Weights would be ${number(weights.desirable)} and ${
          number(weights.undesirable)
        }.</span>`}
    </p>
  `;
}
