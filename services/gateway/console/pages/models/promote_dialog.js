// Asks whether an adapter is to be promoted. Where the gate was not passed it takes a reason and a second yes.

import { promote } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { Dialog } from "../../parts/dialog.js";
import { TextField } from "../../parts/field.js";
import { Findings } from "../../parts/gate.js";
import { Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { html, useState } from "../../vendor.js";

/** @param onDone told once the alias has moved */
export function PromoteDialog({ adapter, alias, onClose, onDone }) {
  const { name, model } = adapter;
  // The service has the last word: what it finds replaces what the registry said.
  const [gate, setGate] = useState(adapter.gate), [reason, setReason] = useState("");
  const [confirming, setConfirming] = useState(false), { problem, attempt } = useAttempt();
  const override = gate !== null && gate !== undefined && !gate.passed;
  const send = () =>
    attempt(async () => {
      try {
        await promote({
          model,
          ...(reason.trim() ? { reason: reason.trim() } : {}),
          ...(override ? { override: true } : {}),
        });
      } catch (error) {
        setConfirming(false);
        if (error.code !== "gate_not_passed" || !error.body.gate || override) throw error;
        return setGate(error.body.gate);
      }
      notify(`${alias} is ${model} now.`);
      onClose();
      onDone();
    });
  const submit = (event) => {
    event.preventDefault();
    if (override && !confirming) setConfirming(true);
    else send();
  };
  return html`
    <${Dialog} title="Promote ${name}?" onClose=${onClose}>
      <form onSubmit=${submit}>
        <p>${alias} moves to ${model} at once. Answers under way are finished by the model that began them.</p>
        ${override && html`
          <div class="warning">
            <p><strong>The gate was not passed.</strong> Promoting it all the same needs a reason.</p>
          </div>
          <${Findings} gate=${{ ...gate, behaviour: null, findings: gate.findings.filter(({ passed }) => !passed) }} />
        `}
        ${confirming
          ? html`
            <p key="again" class="again"
              role="alert">Everyone who asks for ${alias} will get a model that did not pass. Reason: “${reason
                .trim()}”. Are you sure?</p>
          `
          : html`
            <${TextField} key="reason" label="Reason" wide required=${override} hint=${override
              ? "Kept with the change, and with whose key made it."
              : "Kept with the change; may be empty."} value=${reason}
              onText=${setReason} />
          `}
        ${problem && html`<${Problem} error=${problem} />`}
        <div class="actions">
          ${confirming && html`<button key="back" type="button" onClick=${() => setConfirming(false)}>Back</button>`}
          ${override
            ? html`<button key=${confirming ? "yes" : "override"} type="submit" class="danger" disabled=${
              reason.trim() === ""
            }>${confirming ? "Yes, promote it" : "Promote all the same"}</button>`
            : html`<button key="promote" type="submit" class="primary">Promote</button>`}
        </div>
      </form>
      <//>
  `;
}
