// One adapter: what it was trained on, what the gate found, its files; and the ways to promote, go on from, or delete it.

import { deleteAdapter } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { Dialog } from "../../parts/dialog.js";
import { Downloads } from "../../parts/downloads.js";
import { count, number, shortModel, when } from "../../parts/format.js";
import { Findings, GateMark } from "../../parts/gate.js";
import { Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { html, useState } from "../../vendor.js";
import { PromoteDialog } from "./promote_dialog.js";

export function Adapter({ adapter, registry, changed }) {
  const { name, model, parent, created_at, job_id, data, gate, files, fits } = adapter;
  const [dialog, setDialog] = useState(null), { problem, attempt } = useAttempt();
  const isCurrent = model === registry.current;
  const remove = () =>
    attempt(async () => {
      await deleteAdapter(name);
      setDialog(null);
      location.hash = "#/models";
      notify(`${name} is deleted.`);
      changed();
    });
  const ids = Object.values(files ?? {}).filter(Boolean);
  return html`
    <section class="card adapter" aria-label="Adapter ${name}">
      <div class="card-head">
        <h2>${name}</h2>
        ${isCurrent && html`<span class="chip good">current</span>`}
      </div>
      <p class="run-facts muted">
        <span>${when(created_at)}</span>
        <span>from ${shortModel(parent)}</span>
        ${job_id && html`<a href="#/runs/${job_id}">its run</a>`}
        ${data?.rows !== undefined && html`<span>${count(data.rows, "row")}</span>`}
      </p>
      ${!fits &&
        html`
          <div class="warning">
            <p>It was trained on another base model than the one that is served here.</p>
          </div>
        `}
      ${gate
        ? html`
          <div class="card-head">
            <h3>Gate</h3>
            <${GateMark} gate=${gate} />
          </div>
          <${Findings} gate=${gate} />
        `
        : html`<p class="muted">The gate has not measured this adapter.</p>`}
      <${Measured} metrics=${adapter.metrics} />
      ${ids.length > 0 && html`
        <h3>Files</h3>
        <${Downloads} ids=${ids} />
      `}
      <div class="actions">
        ${!isCurrent && html`<button type="button" class="quiet" onClick=${() => setDialog("delete")}>Delete</button>`}
        ${!isCurrent && fits &&
          html`<button type="button" class="primary" onClick=${() => setDialog("promote")}>Promote</button>`}
      </div>
    </section>
    ${dialog === "promote" &&
      html`<${PromoteDialog} adapter=${adapter} alias=${registry.alias} onClose=${() =>
        setDialog(null)} onDone=${changed} />`}
    ${dialog === "delete" && html`
      <${Dialog} title="Delete ${name}?" onClose=${() => setDialog(null)}>
        <p>It leaves the registry and answers no more. Its files go with it; its answers and thumbs stay, and so does what its run wrote.</p>
        ${problem && html`<${Problem} error=${problem} />`}
        <div
          class="actions"><button type="button" onClick=${() =>
            setDialog(
              null,
            )}>Keep it</button><button type="button" class="danger" onClick=${remove}>Delete</button></div>
        <//>
    `}
  `;
}

/** `kl` is the gate's: how far the candidate's own answers are from the base, in nats an answer. */
const names = {
  auc: "Held-out AUC",
  kl: "KL to the base",
  loss: "Loss",
  steps: "Steps",
  seconds: "Seconds",
};

/** The run's last numbers. */
function Measured({ metrics }) {
  const shown = Object.entries(metrics ?? {})
    .map(([field, value]) => [names[field] ?? field, value?.value ?? value])
    .filter(([, value]) => typeof value === "number");
  if (shown.length === 0) return null;
  return html`<dl class="facts">${
    shown.map(([name, value]) =>
      html`
        <div key=${name}>
          <dt>${name}</dt>
          <dd>${number(value)}</dd>
        </div>
      `
    )
  }</dl>`;
}
