// Who uses the console: what their key may do, and by which name they judge. A key's owner is the name; without one the
// person is asked once, and the browser keeps it.

import { html, useRef, useState } from "../vendor.js";
import { Dialog } from "./dialog.js";
import { TextField } from "./field.js";
import { Icon } from "./icons.js";
import { useKept } from "./state.js";

const nameKey = "prospect-reviewer";

/** Keys and labels take no longer name. */
const longestName = 256;

/** `{key, owner, scopes, keys_required}` of whoever asks, as the gateway says; the frame sets it before any page. */
export const useCaller = () => useKept("caller", null);

/** Whether the caller has one of the scopes. */
export const may = (caller, ...scopes) => scopes.some((scope) => caller.scopes.includes(scope));

/** The name that thumbs are given under, or null while there is none; and how to change it. */
export function useReviewer() {
  const [caller] = useCaller(), [own, setOwn] = useKept("reviewer", localStorage.getItem(nameKey));
  const rename = (name) => {
    localStorage.setItem(nameKey, name);
    setOwn(name);
  };
  return { reviewer: caller?.owner ?? own, isOwner: Boolean(caller?.owner), rename };
}

let ask = () => Promise.resolve(null);

/** Asks for the name where there is none. @returns it, or null where the person gives none */
export const askReviewer = () => ask();

/** The field for the name. @param onNamed told of it */
export function NameForm({ onNamed, before = "" }) {
  const [name, setName] = useState(before);
  const submit = (event) => {
    event.preventDefault();
    if (name.trim() !== "") onNamed(name.trim());
  };
  return html`
    <form class="name-form" onSubmit=${submit}>
      <${TextField}
        label="Your name"
        wide
        autocomplete="nickname"
        maxlength=${longestName}
        hint="Thumbs carry it, so that those of two people on one answer stand side by side. This browser keeps it."
        value=${name}
        onText=${setName}
      />
      <div class="actions"><button type="submit" class="primary" disabled=${name.trim() ===
        ""}>Judge by this name</button></div>
    </form>
  `;
}

/** Who judges, with a way to change it; and the question, where somebody judges without a name. */
export function Reviewer() {
  const { reviewer, isOwner, rename } = useReviewer();
  const [asking, setAsking] = useState(null), named = useRef(null);
  ask = () => reviewer ? Promise.resolve(reviewer) : new Promise((resolve) => setAsking({ resolve }));
  const end = () => {
    setAsking(null);
    asking.resolve(named.current);
    named.current = null;
  };
  const take = (name) => {
    rename(name);
    named.current = name;
    end();
  };
  return html`
    ${reviewer &&
      (isOwner ? html`<p class="reviewer"><span class="muted">Judging as</span> <b>${reviewer}</b></p>` : html`
        <button type="button" class="quiet reviewer" aria-label="Judging as ${reviewer}: change" title="Change the name"
          onClick=${() => setAsking({ resolve: () => {} })}>
          <${Icon} name="person" size=${16} /><span class="reviewer-name">${reviewer}</span>
        </button>
      `)}
    ${asking && html`
      <${Dialog} title="Who judges?" onClose=${end}>
        <${NameForm} before=${reviewer ?? ""} onNamed=${take} />
        <//>
    `}
  `;
}
