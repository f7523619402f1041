// What a thumb was before, version by version.

import { thumbHistory } from "../../api.js";
import { Dialog } from "../../parts/dialog.js";
import { questionOf, when, whenInFull } from "../../parts/format.js";
import { Loaded } from "../../parts/loaded.js";
import { useLoaded } from "../../parts/state.js";
import { html } from "../../vendor.js";

const verbs = { set: "Given", replaced: "Changed", deleted: "Taken back" };

export function History({ thumb, answer, onClose }) {
  const history = useLoaded(() => thumbHistory(thumb.id), [thumb.id]);
  return html`
    <${Dialog} title="History of a thumb" onClose=${onClose}>
      ${answer && html`
        <div class="quoted">
          <p class="asked">${questionOf(answer.prompt)}</p>
          <p>${answer.choices.find(({ index }) => index === thumb.choice)?.content}</p>
        </div>
      `}
      <${Loaded} of=${history} render=${(versions) =>
        html`
          <ol class="timeline">
            ${versions.toReversed().map(({ version, kind, at, label, end_user, reason, tags, correction }) =>
              html`
                <li key=${`${version} ${kind}`}>
                  <p><strong>${verbs[kind]}</strong>${kind !== "deleted" && (label ? ": up" : ": down")}${end_user &&
                    ` by ${end_user}`} <time class="muted" title=${whenInFull(at)}>${when(at)}</time></p>
                  ${kind !== "deleted" && html`<${Why} reason=${reason} tags=${tags} correction=${correction} />`}
                </li>
              `
            )}
          </ol>
        `} />
    <//>
  `;
}

function Why({ reason, tags, correction }) {
  return html`
    ${reason && html`<p>${reason}</p>`}
    ${correction && html`<p class="correction"><span>Should have been:</span> ${correction}</p>`}
    ${tags.length > 0 && html`<p class="tags">${tags.map((tag) => html`<span key=${tag}>${tag}</span>`)}</p>`}
  `;
}
