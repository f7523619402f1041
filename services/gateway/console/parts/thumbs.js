// Thumbs on one answer: up, down, and why: a reason, tags, and what a bad answer should have been. A thumb is kept as
// soon as it is pressed; pressing it again takes it back. It does not know where the answer comes from.

import { deleteThumb, putThumb } from "../api.js";
import { html, useEffect, useRef, useState } from "../vendor.js";
import { TextArea, TextField } from "./field.js";
import { readTags } from "./format.js";
import { Icon } from "./icons.js";
import { notify } from "./notice.js";

/**
 * Presses a thumb, or takes it back where it is there already.
 *
 * @param answer `{completionId, choice, endUser}` @param thumb the thumb that is there, or null @param label true is up
 * @returns the thumb that is there now, or null
 */
export async function pressThumb({ completionId, choice, endUser }, thumb, label) {
  if (thumb?.label === label) {
    await deleteThumb(thumb.id);
    return null;
  }
  return await putThumb({ completion_id: completionId, choice, end_user: endUser, label });
}

/** @param onThumb told of the thumb that is there now, or null @param text the answer's text, to correct */
export function Thumbs({ answer, text, thumb, onThumb, name = "this answer" }) {
  const [open, setOpen] = useState(false), [busy, setBusy] = useState(false);
  const press = async (label) => {
    setBusy(true);
    try {
      const now = await pressThumb(answer, thumb, label);
      onThumb(now);
      if (!now) setOpen(false);
    } catch (error) {
      notify(error.message);
    }
    setBusy(false);
  };
  const button = (label, icon, word) =>
    html`
      <button
        type="button"
        class="thumb ${icon}"
        aria-label="${word}: ${name}"
        title=${word}
        aria-pressed=${String(thumb?.label === label)}
        disabled=${busy}
        onClick=${() => press(label)}
      >
        <${Icon} name=${icon} />
      </button>
    `;
  const why = thumb?.reason || thumb?.tags.length || thumb?.correction;
  return html`
    <div class="thumbs">
      <div class="thumb-row">
        ${button(true, "up", "Thumb up")} ${button(false, "down", "Thumb down")}
        ${thumb && html`
          <button type="button" class="quiet small" aria-expanded=${String(open)} onClick=${() => setOpen(!open)}>
            ${why ? "Edit the reason" : thumb.label ? "Say why" : "Say why, or correct it"}
          </button>
        `}
      </div>
      ${thumb && open && html`
        <${Why}
          key=${thumb.id}
          answer=${answer}
          text=${text}
          thumb=${thumb}
          onSaved=${(saved) => {
            onThumb(saved);
            setOpen(false);
          }}
        />
      `}
    </div>
  `;
}

/** Why a thumb was given. */
function Why({ answer, text, thumb, onSaved }) {
  const [reason, setReason] = useState(thumb.reason ?? "");
  const [tags, setTags] = useState(thumb.tags.join(", "));
  const [correction, setCorrection] = useState(thumb.correction ?? "");
  const form = useRef(null);
  useEffect(() => form.current.scrollIntoView({ block: "nearest" }), []);
  const save = async (event) => {
    event.preventDefault();
    try {
      const saved = await putThumb({
        completion_id: answer.completionId,
        choice: answer.choice,
        end_user: answer.endUser,
        label: thumb.label,
        reason,
        tags: readTags(tags),
        correction: correction.trim() === "" ? null : correction,
      });
      onSaved(saved);
      notify("Kept.");
    } catch (error) {
      notify(error.message);
    }
  };
  return html`
    <form class="why" ref=${form} onSubmit=${save}>
      <${TextField} label="Reason" wide value=${reason} onText=${setReason} maxlength="4096" />
      <${TextField} label="Tags" wide hint="Parted by commas, e.g. tone, facts" value=${tags} onText=${setTags} />
      ${!thumb.label && html`
        <${TextArea}
          label="Correction"
          hint="What the answer should have been. It is trained on as a good answer, beside this bad one."
          value=${correction}
          onText=${setCorrection}
        />
        ${correction === "" && text && html`
          <button type="button" class="quiet small" onClick=${() => setCorrection(text)}>Start from the answer</button>
        `}
      `}
      <div class="actions"><button type="submit" class="small primary">Save</button></div>
    </form>
  `;
}
