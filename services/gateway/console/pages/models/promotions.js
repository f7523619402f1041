// Every change of the current model, newest first.

import { shortModel, when, whenInFull } from "../../parts/format.js";
import { html } from "../../vendor.js";

export function Promotions({ promotions }) {
  if (promotions.length === 0) return null;
  const newestFirst = promotions.toSorted((a, b) => b.at - a.at);
  return html`
    <section class="card" aria-label="Changes">
      <h2>Changes</h2>
      <ol class="timeline">
        ${newestFirst.map(({ at, from, to, reason, override, by, kind }) =>
          html`
            <li key=${`${at} ${to}`}>
              <p>
                <strong>${kind === "rollback" ? "Rolled back" : "Promoted"}</strong>: ${shortModel(
                  from,
                )} → ${shortModel(to)}
                ${override && html`
                  <span class="chip bad">without the gate</span>
                `}
                <time class="muted" title=${whenInFull(at)}>${when(at)}</time>
              </p>
              ${reason && html`<p>${reason}</p>`}${by && html`<p class="muted">by key ${by}</p>`}
            </li>
          `
        )}
      </ol>
    </section>
  `;
}
