// Views of one page, as links, so that each has an address.

import { html } from "../vendor.js";

/** @param views `[address, name]` of each @param current the address of the one that is shown */
export function Tabs({ name, views, current }) {
  return html`
    <nav class="tabs" aria-label=${name}>
      ${views.map(([address, text]) =>
        html`
          <a href=${address} aria-current=${address === current ? "page" : undefined}>${text}</a>
        `
      )}
    </nav>
  `;
}
