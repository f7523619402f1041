// How aliases spread requests over models, how often each model's answers were found good, and which is liked better.

import { listExperiments, setAlias } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { count, number, percent } from "../../parts/format.js";
import { Interval, inWords } from "../../parts/interval.js";
import { Loaded, Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { useLoaded } from "../../parts/state.js";
import { html, useEffect, useState } from "../../vendor.js";

/** @param models as the API lists them @param moved changes when an alias was moved elsewhere @param changed told of a new split */
export function Traffic({ models, moved, changed }) {
  const experiments = useLoaded(listExperiments, [moved], 30_000);
  const arms = models.filter(({ arms }) => !arms).map(({ id }) => id);
  return html`
    <${Loaded} of=${experiments} render=${(list) =>
      list.map((experiment) =>
        html`
          <${Split} key=${experiment.alias} experiment=${experiment} models=${arms} reload=${() => {
            experiments.reload();
            changed();
          }} />
        `
      )} />
  `;
}

/** One alias. Weights are changed here first, and sent when the person says so. */
function Split({ experiment: { alias, arms: versions }, models, reload }) {
  const arms = versions.filter(({ current }) => current), earlier = versions.filter(({ current }) => !current);
  const reference = versions.find(({ reference }) => reference)?.model;
  const kept = JSON.stringify(arms.map(({ model, weight }) => [model, weight]));
  const [weights, setWeights] = useState({}), { problem, attempt } = useAttempt();
  useEffect(() => setWeights({}), [kept]);
  const weightOf = ({ model, weight }) => weights[model] ?? Number(weight.toFixed(1));
  const added = Object.keys(weights).filter((model) => !arms.some((arm) => arm.model === model));
  const rows = [...arms, ...added.map((model) => ({ model, weight: 0, ...unasked }))];
  const total = rows.reduce((sum, row) => sum + Number(weightOf(row)), 0);
  const others = models.filter((model) => !rows.some((row) => row.model === model));
  const changed = Object.keys(weights).length > 0;
  const save = (event) => {
    event.preventDefault();
    const chosen = rows.map((row) => ({ model: row.model, weight: Number(weightOf(row)) })).filter(({ weight }) =>
      weight > 0
    );
    return attempt(async () => {
      await setAlias(alias, chosen);
      notify(`The split of ${alias} is kept.`);
      setWeights({});
      reload();
    });
  };
  return html`
    <section class="card traffic" aria-label="Traffic of ${alias}">
      <h2>Traffic of ${alias}</h2>
      <p
        class="muted">Each person stays with one model. Bars show how often answers were found good, with the 95% interval; many thumbs of one person say little more than one.${reference &&
          " A verdict holds however often you look."}</p>
      <form onSubmit=${save}>
        <table class="rows plain">
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Weight</th>
              <th scope="col" class="figure">Share</th>
              ${figureHeads(reference)}
            </tr>
          </thead>
          <tbody>
            ${rows.map((row) =>
              html`
                <tr key=${row.model}>
                  <th scope="row" data-label="Model">${row.model}</th>
                  <td
                    data-label="Weight"><input type="number" class="weight" min="0" step="any" required aria-label="Weight of ${row
                      .model}" value=${weightOf(row)} onInput=${(event) =>
                      setWeights((before) => ({ ...before, [row.model]: event.target.value }))} /></td>
                  <td data-label="Share" class="figure">${total > 0 ? percent(Number(weightOf(row)) / total) : "–"}</td>
                  <${Figures} arm=${row} reference=${reference} />
                </tr>
              `
            )}
          </tbody>
        </table>
        ${problem && html`<${Problem} error=${problem} />`}
        <div class="actions between">
          ${others.length > 0
            ? html`<select aria-label="Add a model to ${alias}" value="" onChange=${(event) => {
              const model = event.target.value;
              if (model) setWeights((before) => ({ ...before, [model]: 10 }));
              event.target.value = "";
            }}>
                <option value="">Add a model …</option>
                ${others.map((model) => html`<option key=${model} value=${model}>${model}</option>`)}
              </select>`
            : html`<span></span>`}
          <div class="actions">
            ${changed && html`<button type="button" class="quiet" onClick=${() => setWeights({})}>Undo</button>`}
            <button type="submit" class="primary" disabled=${!changed || !(total > 0)}>Save split</button>
          </div>
        </div>
      </form>
      ${earlier.length > 0 && html`<${Earlier} arms=${earlier} reference=${reference} />`}
    </section>
  `;
}

/** What is known of a model that has answered nothing for the alias. */
const unasked = { answers: 0, people: 0, judged: 0, judges: 0, judged_by_nobody: 0, rate: null, verdict: null };

const figureHeads = (reference) =>
  html`
    <th scope="col" class="rate">Found good</th>
    <th scope="col">${against(reference)}</th>
    <th scope="col" class="figure">Thumbs</th>
    <th scope="col" class="figure">Answers</th>
  `;

const against = (reference) => reference ? `Against ${reference}` : "Against the others";

/** What an arm answered and was told. */
function Figures({ arm, reference }) {
  const { rate, judged, judges, judged_by_nobody: nobodys, answers, people } = arm;
  return html`
    <td data-label="Found good" class="rate"><${Interval} rate=${rate} /><span class="under">${rate
      ? inWords(rate)
      : "No thumbs yet"}</span></td>
    <td data-label=${against(reference)}>
      <${Verdict} arm=${arm} />
    </td>
    <td data-label="Thumbs" class="figure">${number(judged)}${judged > 0 &&
      html`<span class="under">${judges > 0 ? `of ${count(judges, "person", "people")}` : "of nobody named"}${
        judges > 0 &&
        nobodys > 0 && `, ${number(nobodys)} of nobody`
      }</span>`}</td>
    <td data-label="Answers" class="figure">${number(answers)}${people > 0 &&
      html`<span class="under">to ${count(people, "person", "people")}</span>`}</td>
  `;
}

const tones = { better: "good", worse: "bad" };
const signed = (difference) => `${difference < 0 ? "\u2212" : "+"}${Math.abs(100 * difference).toFixed(0)}`;

function Verdict({ arm: { reference, verdict } }) {
  if (reference) return html`<span class="muted">reference</span>`;
  if (!verdict) return "–";
  const { result, low, high, message } = verdict, known = low > -1 || high < 1;
  return html`
    <span class="chip ${tones[result] ?? ""}" title=${message}>${result[0].toUpperCase() + result.slice(1)}</span>
    ${known && html`<span class="under">${signed(low)} to ${signed(high)} points</span>`}
  `;
}

/** Versions that no model's name means any more. */
function Earlier({ arms, reference }) {
  return html`
    <details class="earlier">
      <summary>${count(arms.length, "earlier version")}</summary>
      <table class="rows plain">
        <thead>
          <tr>
            <th scope="col">Model</th>
            ${figureHeads(reference)}
          </tr>
        </thead>
        <tbody>
          ${arms.map((arm) =>
            html`
              <tr key=${`${arm.model} ${arm.base} ${arm.adapter_version}`}>
                <th scope="row" data-label="Model">${arm.model}<span class="under">${versionOf(arm)}</span></th>
                <${Figures} arm=${arm} reference=${reference} />
              </tr>
            `
          )}
        </tbody>
      </table>
    </details>
  `;
}

/** The beginnings of the hashes that tell versions apart. */
function versionOf({ base, adapter_version: version }) {
  const [name, hash] = base?.split("@") ?? ["unknown"];
  return [version && `files ${version.slice(0, 8)}`, `on ${name}${hash ? `@${hash.slice(0, 8)}` : ""}`].filter(Boolean)
    .join(", ");
}
