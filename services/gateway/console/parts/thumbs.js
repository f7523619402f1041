// Thumbs on one answer: up, down, and why: a reason, tags, and what a bad answer should have been. A thumb is kept as
// soon as it is pressed, under the reviewer's name; pressing it again takes it back. It does not know where the answer
// comes from.

import { deleteThumb, putThumb } from "../api.js";
import { html, useEffect, useRef, useState } from "../vendor.js";
import { useAttempt } from "./attempt.js";
import { askReviewer } from "./caller.js";
import { TextArea, TextField } from "./field.js";
import { readTags } from "./format.js";
import { Icon } from "./icons.js";
import { Problem } from "./loaded.js";
import { notify } from "./notice.js";

/**
 * Presses a thumb, or takes it back where it is there already. Whoever has no name yet is asked for one.
 *
 * @param answer `{completionId, choice}` @param thumb the thumb that is there, or null @param label true is up
 * @returns the thumb that is there now, or null; `thumb` where somebody gave no name
 */
export async function pressThumb({ completionId, choice }, thumb, label) {
  if (thumb?.label === label) {
    await deleteThumb(thumb.id);
    return null;
  }
  // A thumb that is changed stays the thumb of whoever gave it, also where the name is another one by now.
  const end_user = thumb?.end_user ?? await askReviewer();
  return end_user === null ? thumb : await putThumb({ completion_id: completionId, choice, end_user, label });
}

/**
 * @param answer `{completionId, choice}` @param onThumb told of the thumb that is there now, or null @param text the
 *   answer's text, to correct @param press what presses a thumb, where it is not pressThumb: `(answer, thumb, label)`
 */
export function Thumbs({ answer, text, thumb, onThumb, name = "this answer", press = pressThumb }) {
  const [open, setOpen] = useState(false), { problem, busy, attempt } = useAttempt();
  const more = useRef(null);
  const pressed = (label) =>
    attempt(async () => {
      const now = await press(answer, thumb, label);
      onThumb(now);
      if (!now) setOpen(false);
    });
  // A button that is disabled loses the focus, so while a thumb is under way presses are passed over instead.
  const button = (label, icon, word) =>
    html`
      <button
        type="button"
        class="thumb ${icon}"
        aria-label="${word}: ${name}"
        title=${word}
        aria-pressed=${String(thumb?.label === label)}
        aria-busy=${String(busy)}
        onClick=${() => pressed(label)}
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
          <button type="button" ref=${more} class="quiet small" aria-expanded=${String(open)} onClick=${() =>
            setOpen(!open)}>
            ${why ? "Edit the reason" : thumb.label ? "Say why" : "Say why, or correct it"}
          </button>
        `}
      </div>
      ${problem && html`<${Problem} error=${problem} />`}
      ${thumb && open && html`
        <${Why}
          key=${thumb.id}
          answer=${answer}
          text=${text}
          thumb=${thumb}
          onSaved=${(saved) => {
            onThumb(saved);
            setOpen(false);
            more.current?.focus();
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
  const { problem, attempt } = useAttempt();
  const form = useRef(null);
  useEffect(() => {
    form.current.scrollIntoView({ block: "nearest" });
    form.current.querySelector("input").focus({ preventScroll: true });
  }, []);
  const save = (event) => {
    event.preventDefault();
    return attempt(async () => {
      const saved = await putThumb({
        completion_id: answer.completionId,
        choice: answer.choice,
        end_user: thumb.end_user,
        label: thumb.label,
        reason,
        tags: readTags(tags),
        correction: correction.trim() === "" ? null : correction,
      });
      onSaved(saved);
      notify("Kept.");
    });
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
      ${problem && html`<${Problem} error=${problem} />`}
      <div class="actions"><button type="submit" class="small primary">Save</button></div>
    </form>
  `;
}
