// A form's fields: a label, what it means, and the control, tied together for screen readers.

import { html, useRef } from "../vendor.js";

let fields = 0;

/**
 * @param control draws the control with the given attributes: `(attributes) => html`
 * @param hint a sentence on what it does
 */
export function Field({ label, hint, control, wide }) {
  const id = useRef(`field-${++fields}`).current;
  const attributes = { id, "aria-describedby": hint ? `${id}-hint` : undefined };
  return html`
    <div class=${wide ? "field wide" : "field"}>
      <label for=${id}>${label}</label>
      ${control(attributes)}
      ${hint && html`<p class="hint" id="${id}-hint">${hint}</p>`}
    </div>
  `;
}

/** A text, number, date or file field. Further attributes go to the input. */
export function TextField({ label, hint, wide, value, onText, ...rest }) {
  return html`
    <${Field}
      label=${label}
      hint=${hint}
      wide=${wide}
      control=${(attributes) =>
        html`
          <input type="text" ...${rest} ...${attributes} value=${value} onInput=${(event) =>
            onText(event.target.value)} />
        `}
    />
  `;
}

/** Several lines of text. */
export function TextArea({ label, hint, value, onText, ...rest }) {
  return html`
    <${Field}
      label=${label}
      hint=${hint}
      wide
      control=${(attributes) =>
        html`
          <textarea rows="3" ...${rest} ...${attributes} value=${value} onInput=${(event) =>
            onText(event.target.value)} />
        `}
    />
  `;
}

/** One of several. @param choices `[value, text]` of each */
export function Choice({ label, hint, wide, value, onChoose, choices, ...rest }) {
  return html`
    <${Field}
      label=${label}
      hint=${hint}
      wide=${wide}
      control=${(attributes) =>
        html`
          <select ...${rest} ...${attributes} value=${value} onChange=${(event) => onChoose(event.target.value)}>
            ${choices.map(([each, text]) =>
              html`
                <option key=${each} value=${each} selected=${each === value}>${text}</option>
              `
            )}
          </select>
        `}
    />
  `;
}
