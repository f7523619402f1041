// A run's status in words, and what follows from it.

import { shortModel } from "../../parts/format.js";
import { html } from "../../vendor.js";

const words = {
  validating_files: ["Reading data", "live"],
  queued: ["Queued", ""],
  running: ["Running", "live"],
  succeeded: ["Succeeded", "good"],
  failed: ["Failed", "bad"],
  cancelled: ["Cancelled", ""],
};

/** Whether nothing more will happen to a run. */
export const isOver = ({ status }) => ["succeeded", "failed", "cancelled"].includes(status);

/** What a run is called: its adapter's name, the name it asked for, or its id. */
export const nameOf = ({ id, suffix, fine_tuned_model }) =>
  fine_tuned_model ? shortModel(fine_tuned_model) : suffix || id;

/** What a run learns from, in a word. */
export const sourceOf = ({ training_file }) => training_file === "labels" ? "Labels" : "File";

/** Whether a run would go on if a trainer were at work. */
export const isStalled = (run) => !isOver(run) && Boolean(run.notice);

export function Status({ run }) {
  if (isStalled(run)) return html`<span class="chip bad">Waiting for a trainer</span>`;
  const [word, tone] = words[run.status] ?? [run.status, ""];
  const place = run.status === "queued" && run.position > 0 ? `, place ${run.position}` : "";
  return html`<span class="chip ${tone}">${word}${place}</span>`;
}

/** How far a run is, with the time that is left. @param stalled nobody works on it */
export function ProgressBar({ progress, stalled }) {
  const { label, done, total, unit, eta_seconds } = progress;
  return html`
    <div class="progress">
      <progress max=${total || 1} value=${done} aria-label=${label}></progress>
      <span>${label}: ${Math.round(done).toLocaleString("en")} of ${total.toLocaleString("en")} ${unit}</span>
      ${stalled
        ? html`<span class="muted">stands still</span>`
        : eta_seconds != null && html`<span class="muted">${left(eta_seconds)}</span>`}
    </div>
  `;
}

function left(seconds) {
  if (seconds < 1) return "nearly done";
  return seconds < 60 ? `about ${Math.round(seconds)} s left` : `about ${Math.round(seconds / 60)} min left`;
}
