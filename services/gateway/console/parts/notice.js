// A short word on what has just happened, at the edge of the page, with at most one thing to do about it.

import { html } from "../vendor.js";
import { useKept } from "./state.js";

let show = (_notice) => {};
let timer;

/** Shows a sentence for some seconds. @param action `{name, run}` a button, e.g. to put back what was taken */
export function notify(sentence, action) {
  clearTimeout(timer);
  show({ sentence, action });
  timer = setTimeout(() => show(null), action ? 10_000 : 5000);
}

/** Where notices appear; screen readers read them out. */
export function Notices() {
  const [notice, setNotice] = useKept("notice", null);
  show = setNotice;
  const act = () => {
    setNotice(null);
    notice.action.run();
  };
  return html`
    <div class="notices" role="status">
      ${notice && html`
        <div class="notice">
          <span>${notice.sentence}</span>
          ${notice.action && html`<button type="button" class="small" onClick=${act}>${notice.action.name}</button>`}
        </div>
      `}
    </div>
  `;
}
