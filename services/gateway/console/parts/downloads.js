// Files of a run or an adapter, to save.

import { getFile, saveFile } from "../api.js";
import { useAttempt } from "./attempt.js";
import { Icon } from "./icons.js";
import { Loaded, Problem } from "./loaded.js";
import { useLoaded } from "./state.js";
import { html } from "../vendor.js";

const size = (bytes) => bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** @param ids of files */
export function Downloads({ ids }) {
  const { problem, attempt } = useAttempt();
  const files = useLoaded(() => Promise.all(ids.map(getFile)), [ids.join(" ")]);
  return html`
    <${Loaded} of=${files} render=${(list) =>
      html`
        <ul class="downloads">
          ${list.map(({ id, filename, bytes }) =>
            html`
              <li key=${id}>
                <button type="button" class="small" onClick=${() => attempt(() => saveFile(id, filename))}>
                  <${Icon} name="download" size=${14} />${filename}<span class="muted">${size(bytes)}</span>
                </button>
              </li>
            `
          )}
        </ul>
        ${problem && html`<${Problem} error=${problem} />`}
      `} />
  `;
}
