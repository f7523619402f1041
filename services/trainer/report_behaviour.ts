// The part of a run's report that shows how answers changed beyond what the thumbs ask for: a picture of each figure
// before and after, drawn without scripts, and the numbers beside it. It does not know how they are measured.

import type { Behaviour, RateChange } from "../../shared/behaviour.ts";
import { describeLength, describeRate, noStatements } from "./behaviour.ts";
import { ruledLanguages } from "./behaviour_rules.ts";
import { escapeHtml } from "./report_html.ts";

/** A bar of the picture: what it says at its end, and how much of the full width it takes, 0 to 1. */
interface Bar {
  label: "before" | "after";
  share: number;
  value: string;
}

/** The part; nothing where nothing was measured. */
export function behaviourPart(behaviour: Behaviour | undefined): string {
  if (!behaviour) return "";
  const { tokens, words, refusals, agreement } = behaviour;
  const longest = Math.max(tokens.before, tokens.after, 1e-9);
  const figures = [
    figure(
      "Length of answers",
      `${describeLength(behaviour)}. In words: ${words.after.toFixed(1)}, before ${words.before.toFixed(1)}.`,
      [
        { label: "before", share: tokens.before / longest, value: `${tokens.before.toFixed(1)} tokens` },
        { label: "after", share: tokens.after / longest, value: `${tokens.after.toFixed(1)} tokens` },
      ],
    ),
    figure("Refusals", `${describeRate(refusals, "refuse")}.`, rateBars(refusals)),
    agreement
      ? figure(
        "Agreement with the user",
        `Of prompts that state a view of the user's, ${describeRate(agreement, "open by agreeing")}.`,
        rateBars(agreement),
      )
      : figure("Agreement with the user", `${noStatements}.`, []),
  ];
  return `<section aria-labelledby="behaviour">
<h2 id="behaviour">How answers changed</h2>
<p class="hint">Answers to held-out prompts by the base model (before) and by the tuned one (after), compared prompt by prompt. People tend to reward longer and more flattering answers, so look here before believing the thumbs. Refusals and agreement are told by a table of phrases in ${
    escapeHtml(ruledLanguages.join(", "))
  }: other languages and other words are not seen.</p>
<div class="charts">
${figures.join("\n")}
</div>
</section>`;
}

const rateBars = ({ prompts, before, after }: RateChange): Bar[] => [
  { label: "before", share: before / prompts, value: `${before} of ${prompts}` },
  { label: "after", share: after / prompts, value: `${after} of ${prompts}` },
];

/** Widths and places in the picture, in its own units. */
const label = 60, full = 280, height = 22, gap = 8, valueRoom = 110;

function figure(title: string, caption: string, bars: readonly Bar[]): string {
  const drawn = bars.map(({ label: name, share, value }, i) => {
    const y = i * (height + gap), width = Math.max(1, full * share), middle = y + height / 2;
    return `<text x="0" y="${middle}" dominant-baseline="central">${name}</text>` +
      `<rect class="${name}" x="${label}" y="${y}" width="${width.toFixed(1)}" height="${height}" rx="3"/>` +
      `<text x="${(label + width + 8).toFixed(1)}" y="${middle}" dominant-baseline="central">${
        escapeHtml(value)
      }</text>`;
  });
  const tall = bars.length * (height + gap) - gap, wide = label + full + valueRoom;
  const picture = bars.length === 0 ? "" : `
<svg class="bars" viewBox="0 0 ${wide} ${tall}" aria-hidden="true">${drawn.join("")}</svg>`;
  return `<figure>
<figcaption><h3>${escapeHtml(title)}</h3><p>${escapeHtml(caption)}</p></figcaption>${picture}
</figure>`;
}
