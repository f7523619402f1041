// Which thumbs are looked at: the same choice for the list and for its quality. It asks for nothing itself.

import { Choice, TextField } from "../../parts/field.js";
import { useKept, useSettled } from "../../parts/state.js";
import { html } from "../../vendor.js";

const everything = { label: "", model: "", tag: "", end_user: "", since: "" };

/** The filters as they are typed, as the API takes them, the same once typing has paused, and how to change one. */
export function useFilters() {
  const [typed, setTyped] = useKept("label filters", everything);
  const change = (changed) => setTyped((before) => ({ ...before, ...changed }));
  const filter = { ...typed, since: typed.since === "" ? "" : new Date(`${typed.since}T00:00`).getTime() };
  return { typed, filter, settled: useSettled(filter), change, clear: () => setTyped(everything) };
}

/** What answers can be asked from, as a choice: the API's filter is by that name, an alias or a model. */
export const askedChoices = (models) => [["", "All models"], ...models.map(({ id }) => [id, id])];

/** @param fields which of the filters are shown */
export function Filters({ filters, models, fields }) {
  const { typed, change, clear } = filters;
  const shown = {
    label: () =>
      html`
        <${Choice}
          label="Label"
          value=${typed.label}
          onChoose=${(label) => change({ label })}
          choices=${[["", "All"], ["desirable", "Thumbs up"], ["undesirable", "Thumbs down"]]}
        />
      `,
    model: () =>
      html`
        <${Choice}
          label="Asked as"
          value=${typed.model}
          onChoose=${(model) => change({ model })}
          choices=${askedChoices(models)}
        />
      `,
    tag: () => html`<${TextField} label="Tag" value=${typed.tag} onText=${(tag) => change({ tag })} />`,
    end_user: () =>
      html`<${TextField} label="Person" value=${typed.end_user} onText=${(end_user) => change({ end_user })} />`,
    since: () =>
      html`<${TextField} label="Since" type="date" value=${typed.since} onText=${(since) => change({ since })} />`,
  };
  const narrowed = fields.some((field) => typed[field] !== "");
  return html`
    <form class="filters" aria-label="Filters" onSubmit=${(event) => event.preventDefault()}>
      ${fields.map((field) => html`<div key=${field}>${shown[field]()}</div>`)}
      ${narrowed && html`<button type="button" class="quiet" onClick=${clear}>Clear</button>`}
    </form>
  `;
}
