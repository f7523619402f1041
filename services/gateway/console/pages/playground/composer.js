// Where a question is typed: Enter sends it, Shift and Enter begins a line. While answers come it stops them.

import { Icon } from "../../parts/icons.js";
import { useStored } from "../../parts/state.js";
import { html, useRef } from "../../vendor.js";

/** @param name under which the draft is kept @param onAsk takes the question @param busy whether answers are coming */
export function Composer({ name, busy, onAsk, onStop }) {
  const [draft, setDraft] = useStored(`${name} draft`, "");
  const field = useRef(null);
  const send = () => {
    if (busy || draft.trim() === "") return;
    onAsk(draft.trim());
    setDraft("");
    field.current.focus();
  };
  const typed = (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  };
  const submit = (event) => {
    event.preventDefault();
    send();
  };
  return html`
    <form class="composer" onSubmit=${submit}>
      <label class="visually-hidden" for="question">Message</label>
      <textarea
        id="question"
        ref=${field}
        rows="1"
        placeholder="Ask something …"
        value=${draft}
        onInput=${(event) => setDraft(event.target.value)}
        onKeyDown=${typed}
      />
      ${busy
        ? html`
          <button key="stop" type="button" class="round" aria-label="Stop"
            onClick=${onStop}><${Icon} name="stop" /></button>
        `
        : html`
          <button key="send" type="submit" class="round primary" aria-label="Send" disabled=${draft.trim() === ""}>
            <${Icon} name="send" />
          </button>
        `}
    </form>
  `;
}
