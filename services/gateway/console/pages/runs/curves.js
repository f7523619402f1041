// The curves of a run, from its events. They have TRL's names for what is measured; it does not know how they come.

import { Plot } from "../../parts/plot.js";
import { html } from "../../vendor.js";

const curve = (name, tone, points, field) => ({ name, tone, values: points.map((point) => point[field] ?? null) });

/** Means over the last steps, a twenty-fifth of all: steps are noisy, and what matters is where they go. */
function trend(values) {
  const width = 1 + Math.floor(values.length / 25);
  return values.map((_, at) => {
    const last = values.slice(Math.max(0, at + 1 - width), at + 1).filter((value) => value !== null);
    return last.length === 0 ? null : last.reduce((sum, value) => sum + value, 0) / last.length;
  });
}

/** A noisy curve: its steps faintly, and their trend. */
function noisy(name, tone, points, field) {
  const steps = curve(name, tone, points, field);
  return [{ ...steps, faint: true }, { ...steps, values: trend(steps.values), trend: true }];
}

/** What each plot shows, by the names in metrics.jsonl. */
const plots = [
  ["Loss", "Mean over the batch; lower is better.", [["loss", "--series-1", "loss"]]],
  ["Rewards", "How much likelier answers became.", [
    ["desirable", "--series-1", "rewards/chosen"],
    ["undesirable", "--series-2", "rewards/rejected"],
  ]],
  [
    "Margin",
    "Above 0 it tells them apart.",
    [["margin", "--series-1", "rewards/margins"]],
    0,
  ],
  // TRL calls it kl. The KL to the base that the gate judges is another number, measured on the adapter's own answers.
  [
    "Reference point z0",
    "What rewards are compared with: KTO's estimate of the drift, never below 0.",
    [["z0", "--series-1", "kl"]],
  ],
];

/** The newest point of each step, in order: a run that was taken up again may tell a step twice. */
const inOrder = (points) =>
  [...new Map(points.map((point) => [point.step, point])).values()].sort((a, b) => a.step - b.step);

/** @param waiting whether there may still come something */
export function Curves({ events, waiting }) {
  const told = events.map(({ data }) => data).filter((data) => data !== null);
  const steps = inOrder(told.filter(({ loss }) => loss !== undefined));
  const evaluations = inOrder(told.filter(({ auc }) => auc));
  if (steps.length === 0) {
    return waiting ? html`<p class="empty-plots" role="status">Curves appear with the first step.</p>` : null;
  }
  const axis = steps.map(({ step }) => step);
  return html`
    <section class="plots" aria-label="Curves">
      <h2 class="visually-hidden">Curves</h2>
      ${plots.map(([title, caption, curves, level]) =>
        html`
          <${Plot}
            key=${title}
            title=${title}
            caption=${caption}
            steps=${axis}
            curves=${curves.flatMap(([name, tone, field]) => noisy(name, tone, steps, field))}
            level=${level}
          />
        `
      )}
      ${evaluations.length > 0 && html`<${Auc} key="auc" evaluations=${evaluations} />`}
      <${Plot} key="rate" title="Learning rate" caption="What the schedule gave each step." steps=${axis} curves=${[
        curve("rate", "--series-1", steps, "learning_rate"),
      ]} />
    </section>
  `;
}

/** Held-out AUC with its interval. */
function Auc({ evaluations }) {
  const of = (field) => evaluations.map(({ auc }) => auc[field]);
  return html`
    <${Plot}
      title="Held-out AUC"
      caption="On unseen thumbs; dashed is chance."
      steps=${evaluations.map(({ step }) => step)}
      curves=${[
        { name: "high", tone: "--series-1", values: of("high"), edge: true },
        { name: "low", tone: "--series-1", values: of("low"), edge: true },
        { name: "AUC", tone: "--series-1", values: of("value") },
      ]}
      band=${[0, 1]}
      level=${0.5}
    />
  `;
}
