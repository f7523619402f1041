// A dialog over the page. The browser keeps the focus inside, closes it on Escape and gives the focus back after. It does
// not know what it asks.

import { html, useEffect, useRef } from "../vendor.js";
import { Icon } from "./icons.js";

let dialogs = 0;

/** @param children what it says and asks; buttons sit in an element of class `actions` */
export function Dialog({ title, onClose, children }) {
  const element = useRef(null), id = useRef(`dialog-${++dialogs}`);
  useEffect(() => {
    const opener = document.activeElement;
    element.current.showModal();
    return () => opener?.isConnected && opener.focus();
  }, []);
  return html`
    <dialog ref=${element} aria-labelledby=${id.current} onClose=${onClose}>
      <header>
        <h2 id=${id.current}>${title}</h2>
        <button type="button" class="quiet icon-only" aria-label="Close" onClick=${() => element.current.close()}>
          <${Icon} name="cross" />
        </button>
      </header>
      ${children}
    </dialog>
  `;
}

/** Whether some dialog is open, so that keys are its own. */
export const dialogIsOpen = () => document.querySelector("dialog[open]") !== null;
