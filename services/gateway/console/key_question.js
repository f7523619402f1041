// The question for an API key: when a request needs one, and when a person wants to change theirs. It says what became
// of the key before, where that was refused.

import { hasKey, setKey, whenKeyNeeded } from "./http.js";
import { Dialog } from "./parts/dialog.js";
import { TextField } from "./parts/field.js";
import { Icon } from "./parts/icons.js";
import { html, useEffect, useRef, useState } from "./vendor.js";

/** What the dialog says: a key that was sent was refused, none was sent, or a person wants another. */
const questions = {
  refused: (sentence) => ({ title: "This key was refused", problem: sentence }),
  needed: (sentence) => ({ title: "An API key is needed", text: sentence }),
  another: () => ({ title: "Another API key", text: "It replaces the one in use." }),
};

/**
 * A person who declines is not asked again until they say so.
 *
 * @param needed whether the gateway wants a key @param changed told once another key is in use
 */
export function KeyQuestion({ needed, changed }) {
  const [asked, setAsked] = useState(null), [key, setTyped] = useState("");
  const declined = useRef(false);
  useEffect(() =>
    whenKeyNeeded((refusal, refused) => {
      // A key that is not accepted is of no use to anything that follows.
      if (refused) setKey("");
      if (declined.current) return Promise.resolve(false);
      const question = questions[refused ? "refused" : "needed"](refusal.message);
      return new Promise((resolve) =>
        setAsked({
          ...question,
          resolve(given) {
            resolve(given);
            if (given) changed();
          },
        })
      );
    }), []);
  const end = (given) => {
    if (!asked) return;
    if (given) setKey(key.trim());
    declined.current = !given && !hasKey();
    setTyped("");
    setAsked(null);
    asked.resolve(given);
  };
  const submit = (event) => {
    event.preventDefault();
    if (key.trim() !== "") end(true);
  };
  const change = () => {
    const question = hasKey()
      ? questions.another()
      : questions.needed("It says who you are, and what you may do here.");
    setAsked({ ...question, resolve: (given) => given && changed() });
  };
  return html`
    ${(needed || hasKey() || declined.current) && html`
      <button type="button" class="quiet icon-only" aria-label="API key" title="API key" onClick=${change}>
        <${Icon} name="key" />
      </button>
    `}
    ${asked && html`
      <${Dialog} title=${asked.title} onClose=${() => end(false)}>
        <form onSubmit=${submit}>
          ${asked.problem && html`
            <div class="problem" role="alert">
              <p>${asked.problem}</p>
            </div>
          `}
          ${asked.text && html`<p>${asked.text}</p>`}
          <${TextField}
            label="API key"
            wide
            type="password"
            autocomplete="off"
            hint="It is kept in this tab until it is closed, and sent to this gateway only."
            value=${key}
            onText=${setTyped}
          />
          <div class="actions"><button type="submit" class="primary" disabled=${key.trim() ===
            ""}>Use this key</button></div>
        </form>
        <//>
    `}
  `;
}
