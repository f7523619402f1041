// Which model comes from which, as a tree from the base on.

import { number } from "../../parts/format.js";
import { html } from "../../vendor.js";

/** @param chosen the model that is looked at */
export function Lineage({ registry: { adapters, current }, chosen }) {
  const known = new Set(adapters.map(({ model }) => model));
  // What comes from a model that is gone hangs on the base.
  const childrenOf = (model) =>
    adapters.filter(({ parent }) => parent === model || model === "base" && !known.has(parent))
      .toSorted((a, b) => a.created_at - b.created_at);
  const branch = (model, above = new Set()) => {
    const children = childrenOf(model).filter((child) => !above.has(child.model));
    if (children.length === 0) return null;
    return html`<ul>${
      children.map((child) =>
        html`
          <li key=${child.model}>
            <${Node} adapter=${child} isCurrent=${child.model === current} isChosen=${child.model === chosen} />
            ${branch(child.model, new Set([...above, model]))}
          </li>
        `
      )
    }</ul>`;
  };
  return html`
    <section class="card lineage" aria-label="Lineage">
      <h2>Lineage</h2>
      <ul class="tree">
        <li>
          <div class="node ${current === "base"
            ? "is-current"
            : ""}"><span class="dot"></span><span class="node-name">base</span>${current === "base"
            ? html`<span class="chip good">current</span>`
            : html`<span class="muted">untuned</span>`}</div>
          ${branch("base")}
        </li>
      </ul>
      ${adapters.length === 0 &&
        html`<p class="muted">Nothing was trained yet. <a href="#/runs/new">Start a run</a>.</p>`}
    </section>
  `;
}

function Node({ adapter, isCurrent, isChosen }) {
  const { name, model, state, gate, metrics } = adapter;
  const auc = gate?.auc?.value ?? metrics?.auc?.value ?? metrics?.auc;
  return html`
    <a class="node ${isCurrent ? "is-current" : ""}" href="#/models/${encodeURIComponent(
      model,
    )}" aria-current=${isChosen ? "true" : undefined}>
      <span class="dot"></span>
      <span class="node-name">${name}</span>
      ${typeof auc === "number" && html`<span class="muted figures">AUC ${number(auc)}</span>`}
      <span class="chip ${isCurrent ? "good" : gate && !gate.passed ? "bad" : ""}">${isCurrent
        ? "current"
        : gate && !gate.passed
        ? "gate not passed"
        : state}</span>
    </a>
  `;
}
