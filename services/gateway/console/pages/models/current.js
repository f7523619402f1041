// Which model clients get now, and the way back to the one before.

import { rollBack } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { Dialog } from "../../parts/dialog.js";
import { TextField } from "../../parts/field.js";
import { percent, shortModel, when } from "../../parts/format.js";
import { Icon } from "../../parts/icons.js";
import { Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { html, useState } from "../../vendor.js";

/** @param arms what the alias spreads requests over, which may be others than what was promoted */
export function Current({ registry, arms, changed }) {
  const { alias, current, previous, promotions } = registry;
  const [asking, setAsking] = useState(false), [reason, setReason] = useState("");
  const { problem, attempt } = useAttempt();
  const since = promotions.findLast(({ to }) => to === current);
  const asked = arms.filter(({ weight }) => weight > 0), total = asked.reduce((sum, { weight }) => sum + weight, 0);
  const isSplit = asked.some(({ model }) => model !== current);
  const back = (event) => {
    event.preventDefault();
    return attempt(async () => {
      await rollBack(reason.trim());
      setAsking(false);
      notify(`${alias} is ${previous} again.`);
      setReason("");
      changed();
    });
  };
  return html`
    <section class="card current" aria-label="Current model">
      <div>
        <p class="muted">Clients that ask for <b>${alias}</b> get</p>
        <p class="big">${isSplit
          ? asked.map(({ model, weight }) => `${shortModel(model)} ${percent(weight / total)}`).join(", ")
          : shortModel(current)}</p>
        <p class="muted">${isSplit && `as split below; promoted is ${shortModel(current)}, `}${since
          ? `since ${when(since.at)}`
          : "since the beginning"}${previous ? `, before that ${shortModel(previous)}` : ""}</p>
      </div>
      ${previous && html`
        <button type="button" onClick=${() => setAsking(true)}><${Icon} name="undo" size=${16} />Roll back</button>
      `}
    </section>
    ${asking && html`
      <${Dialog} title="Roll back to ${previous}?" onClose=${() => setAsking(false)}>
        <form onSubmit=${back}>
          <p>${alias} moves from ${current} to ${previous} at once. Answers under way are finished by the model that began them.</p>
          <${TextField} label="Reason" wide hint="Kept with the change; may be empty." value=${reason} onText=${setReason} />
          ${problem && html`<${Problem} error=${problem} />`}
          <div class="actions"><button type="submit" class="primary">Roll back</button></div>
        </form>
        <//>
    `}
  `;
}
