// What a page says while it has nothing to show: that it loads, that there is nothing yet, that something went wrong.

import { html } from "../vendor.js";

/** An error with a way to try again. */
export function Problem({ error, retry }) {
  return html`
    <div class="problem" role="alert">
      <p>${error.message}</p>
      ${retry && html`<button type="button" class="small" onClick=${retry}>Try again</button>`}
    </div>
  `;
}

/** What is there instead of a page that the caller's key may not use. */
export function NotAllowed({ scope }) {
  return html`
    <${Empty} title="Not with this key">
      It needs a key with the scope ${scope}. The key can be changed beside the switch for light and dark.
    <//>
  `;
}

export const Loading = () => html`<p class="loading" role="status">Loading …</p>`;

/** Nothing here yet, and what to do about it. */
export function Empty({ title, children }) {
  return html`
    <div class="empty">
      <h2>${title}</h2>
      <p>${children}</p>
    </div>
  `;
}

/** Shows `render(value)` of what useLoaded gave, or why it is not there. */
export function Loaded({ of, render }) {
  if (of.value !== undefined) {
    return html`${of.error && html`<${Problem} error=${of.error} retry=${of.reload} />`}${render(of.value)}`;
  }
  return of.error ? html`<${Problem} error=${of.error} retry=${of.reload} />` : html`<${Loading} />`;
}
