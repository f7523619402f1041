// How questions of the playground are asked: system prompt, temperature, length; and which models there are to ask.

import { Choice, Field, TextArea, TextField } from "../../parts/field.js";
import { useStored } from "../../parts/state.js";
import { html, useEffect, useState } from "../../vendor.js";

const beginning = { system: "", temperature: 0.7, maxTokens: "" };

/** The settings, kept until the tab is closed, and how to change one. */
export function useSettings() {
  const [settings, setSettings] = useStored("playground settings", beginning);
  return [settings, (changed) => setSettings((before) => ({ ...before, ...changed }))];
}

/** Models as a choice: an alias says that it is one. */
export const modelChoices = (models) =>
  models.map(({ id, arms }) => [id, arms ? `${id} (alias)` : id === "base" ? "base (untuned)" : id]);

/** Which model is chosen first: what clients ask for. */
export const firstModel = (models) => (models.find(({ arms }) => arms) ?? models[0]).id;

/** A choice among the models. */
export function ModelChoice({ label, models, value, onChoose }) {
  return html`<${Choice} label=${label} wide value=${value} onChoose=${onChoose} choices=${modelChoices(models)} />`;
}

const wide = matchMedia("(min-width: 64rem)");

/** The fields that chat and comparison share. @param children the choice of models */
export function SettingsPanel({ settings, change, children }) {
  // Where there is no room beside the conversation they fold away.
  const [open, setOpen] = useState(wide.matches);
  useEffect(() => {
    const change = () => setOpen(wide.matches);
    wide.addEventListener("change", change);
    return () => wide.removeEventListener("change", change);
  }, []);
  return html`
    <details class="settings card" open=${open} onToggle=${(event) => setOpen(event.target.open)}>
      <summary>Settings</summary>
      <div class="settings-fields">
      ${children}
      <${TextArea}
        label="System prompt"
        placeholder="None"
        value=${settings.system}
        onText=${(system) => change({ system })}
      />
      <${Field}
        label="Temperature"
        wide
        hint="0 always takes the likeliest token."
        control=${(attributes) =>
          html`
            <div class="range">
              <input
                type="range"
                min="0"
                max="2"
                step="0.1"
                ...${attributes}
                value=${settings.temperature}
                onInput=${(event) => change({ temperature: Number(event.target.value) })}
              />
              <output for=${attributes.id}>${settings.temperature.toFixed(1)}</output>
            </div>
          `}
      />
      <${TextField}
        label="Max tokens"
        wide
        type="number"
          placeholder="As many as fit"
        min="1"
        step="1"
        value=${settings.maxTokens}
        onText=${(text) => change({ maxTokens: text === "" ? "" : Math.max(1, Math.floor(Number(text))) })}
      />
      </div>
    </details>
  `;
}
