// All runs, newest first, with what waits and what runs.

import { listRuns } from "../../api.js";
import { count, duration, number, when, whenInFull } from "../../parts/format.js";
import { GateMark } from "../../parts/gate.js";
import { Icon } from "../../parts/icons.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { useLoaded } from "../../parts/state.js";
import { html, useState } from "../../vendor.js";
import { isOver, isStalled, nameOf, ProgressBar, sourceOf, Status } from "./status.js";
import { TrainerNotice } from "./trainer_notice.js";

const rowsOfPage = 20;

export function RunList() {
  const [limit, setLimit] = useState(rowsOfPage);
  const runs = useLoaded(() => listRuns({ limit }), [limit], 2000);
  return html`
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Runs</h1>
          <p>Each run turns thumbs into an adapter. One runs at a time; the others wait in order.</p>
        </div>
        <a class="button primary" href="#/runs/new"><${Icon} name="plus" size=${16} />New run</a>
      </header>
      <${TrainerNotice} />
      <${Loaded} of=${runs} render=${({ data, has_more }) =>
        data.length === 0 ? html`<${Empty} title="No runs yet">Collect some thumbs, then train on them.<//>` : html`
          <${Table} runs=${data} />
          ${has_more &&
            html`<nav class="pager" aria-label="More runs"><button type="button" onClick=${() =>
              setLimit(limit + rowsOfPage)}>Show older runs</button></nav>`}
        `} />
    </div>
  `;
}

function Table({ runs }) {
  return html`
    <table class="rows">
      <thead>
        <tr>
          <th scope="col">Run</th>
          <th scope="col">Status</th>
          <th scope="col">Data</th>
          <th scope="col">Begun</th>
          <th scope="col" class="figure">Took</th>
          <th scope="col">Held-out AUC</th>
          <th scope="col">Gate</th>
        </tr>
      </thead>
      <tbody>
        ${runs.map((run) =>
          html`
            <tr key=${run.id}>
              <th scope="row" data-label="Run">
                <a href="#/runs/${run.id}">${nameOf(run)}</a>
                <span class="under">from ${run.model}</span>
              </th>
              <td data-label="Status">
                <${Status} run=${run} />
                ${run.error && html`<span class="under error-line">${run.error.message}</span>`}
                ${run.progress && !isOver(run) &&
                  html`<${ProgressBar} progress=${run.progress} stalled=${isStalled(run)} />`}
              </td>
              <td data-label="Data">
                ${sourceOf(run)}${run.data?.rows !== undefined &&
                  html`<span class="under">${count(run.data.rows, "row")}</span>`}
              </td>
              <td data-label="Begun"><time title=${whenInFull(1000 * run.created_at)}>${when(
                1000 * run.created_at,
              )}</time></td>
              <td data-label="Took" class="figure">${run.finished_at && run.started_at
                ? duration(run.finished_at - run.started_at)
                : "–"}</td>
              <td data-label="Held-out AUC">
                <${Auc} auc=${run.gate?.auc} />
              </td>
              <td data-label="Gate">${isOver(run) && run.gate ? html`<${GateMark} gate=${run.gate} brief />` : "–"}</td>
            </tr>
          `
        )}
      </tbody>
    </table>
  `;
}

function Auc({ auc }) {
  if (!auc) return "–";
  return html`${number(auc.value)}<span class="under">${number(auc.low)} to ${number(auc.high)}</span>`;
}
