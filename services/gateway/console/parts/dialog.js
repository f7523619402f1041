// A dialog over the page. The browser keeps the focus inside and closes it on Escape; the focus goes to the first thing
// that there is to do, and back to what opened it after. It does not know what it asks.

import { html, useLayoutEffect, useRef } from "../vendor.js";
import { enter } from "./focus.js";
import { Icon } from "./icons.js";

let dialogs = 0;

/** @param children what it says and asks; buttons sit in an element of class `actions` */
export function Dialog({ title, onClose, children }) {
  const element = useRef(null), id = useRef(`dialog-${++dialogs}`);
  useLayoutEffect(() => {
    const opener = document.activeElement;
    element.current.showModal();
    enter(element.current);
    return () => {
      const goesBack = opener?.isConnected && opener !== document.body && !opener.matches(":disabled");
      (goesBack ? opener : document.querySelector("main")).focus({ preventScroll: true });
    };
  }, []);
  return html`
    <dialog ref=${element} aria-labelledby=${id.current} onClose=${onClose}>
      <div class="dialog-head">
        <h2 id=${id.current} tabindex="-1">${title}</h2>
        <button type="button" class="quiet icon-only" aria-label="Close" onClick=${() => element.current.close()}>
          <${Icon} name="cross" />
        </button>
      </div>
      ${children}
    </dialog>
  `;
}

/** Whether some dialog is open, so that keys are its own. */
export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;
