// What the gate found about an adapter: whether it may be promoted, and why.

import { html } from "../vendor.js";
import { Behaviour } from "./behaviour.js";
import { Icon } from "./icons.js";

const rules = {
  "auc-above-chance": "Tells good from bad",
  "auc-above-current": "No worse than the current model",
  "kl-within-budget": "Close enough to the base",
  "no-degeneration": "Answers stay sound",
  "length-within-bound": "Length of answers",
  "refusals-within-bound": "Refusals",
  "agreement-within-bound": "Agreement with the user",
};

/** The verdict in a word. @param brief in a table, whose column says that it is the gate */
export function GateMark({ gate, brief }) {
  if (!gate) return html`<span class="chip">Not measured</span>`;
  return gate.passed
    ? html`<span class="chip good"><${Icon} name="check" size=${14} />${brief ? "Passed" : "Gate passed"}</span>`
    : html`<span class="chip bad"><${Icon} name="cross" size=${14} />${
      brief ? "Not passed" : "Gate not passed"
    }</span>`;
}

/** Every rule with its sentence. */
export function Findings({ gate }) {
  return html`
    <ul class="findings">
      ${gate.findings.map(({ rule, passed, message }) =>
        html`
          <li key=${rule} class=${passed ? "good" : "bad"}>
            <${Icon} name=${passed ? "check" : "cross"} />
            <div><strong>${rules[rule] ?? rule}<span class="visually-hidden">: ${passed
              ? "passed"
              : "not passed"}</span></strong><p>${message}</p></div>
          </li>
        `
      )}
    </ul>
    <${Behaviour} behaviour=${gate.behaviour} />
  `;
}
