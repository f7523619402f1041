// How answers changed from the base to the adapter: a picture of length, refusals and agreement. The numbers and what
// they are of stand in the gate's findings.

import { html } from "../vendor.js";

/** A figure's two bars, in shares of the full width. */
function Bars({ title, before, after, full, unit }) {
  const widest = Math.max(full, 1e-9);
  const bar = (name, value, y) =>
    html`
      <text x="0" y=${y + 8} dominant-baseline="central">${name}</text>
      <rect class=${name} x="50" y=${y} width=${Math.max(1, 150 * value / widest)} height="16" rx="3" />
      <text x=${58 + 150 * value / widest} y=${y + 8} dominant-baseline="central">${unit(value)}</text>
    `;
  return html`
    <figure class="change">
      <figcaption>${title}</figcaption>
      <svg viewBox="0 0 290 38" aria-hidden="true">${bar("before", before, 0)}${bar("after", after, 22)}</svg>
      <p class="visually-hidden">before ${unit(before)}, after ${unit(after)}</p>
    </figure>
  `;
}

const rate = (title, { prompts, before, after }) =>
  html`<${Bars} title=${title} before=${before} after=${after} full=${prompts} unit=${(value) =>
    `${value} of ${prompts}`} />`;

/** Nothing where it was not measured. */
export function Behaviour({ behaviour }) {
  if (!behaviour) return null;
  const { tokens, refusals, agreement } = behaviour;
  return html`
    <div class="changes">
      <${Bars} title="Length of answers" before=${tokens.before} after=${tokens.after}
        full=${Math.max(tokens.before, tokens.after)} unit=${(value) => `${value.toFixed(1)} tokens`} />
      ${rate("Refusals", refusals)}
      ${agreement && rate("Agreement with the user", agreement)}
    </div>
  `;
}
