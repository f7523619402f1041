// Whether a trainer is at work, said where runs are listed and begun: without one they wait.

import { getTrainer } from "../../api.js";
import { duration, whenInFull } from "../../parts/format.js";
import { useLoaded } from "../../parts/state.js";
import { html } from "../../vendor.js";

/** How often it is asked, in milliseconds. */
const interval = 5000;

export function TrainerNotice() {
  const { value: trainer } = useLoaded(getTrainer, [], interval);
  if (!trainer || trainer.at_work) return null;
  // The gateway reckons how long ago that is: the browser's clock may be another.
  const { last_seen, silent_seconds } = trainer;
  const seen = last_seen === null
    ? "None has been seen yet."
    : html`The last one was seen <time title=${whenInFull(last_seen)}>${duration(silent_seconds)} ago</time>.`;
  return html`
    <p class="warning"
      role="status"><strong>No trainer is at work.</strong> ${seen} Runs wait until one is: start one with
      <code>deno task trainer</code>, or use <code>deno task serve</code>.</p>
  `;
}
