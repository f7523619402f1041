// How aliases spread requests over models, and how often each model's answers were found good.

import { listExperiments, setAlias } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { number, percent } from "../../parts/format.js";
import { Interval, inWords } from "../../parts/interval.js";
import { Loaded, Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { useLoaded } from "../../parts/state.js";
import { html, useEffect, useState } from "../../vendor.js";

/** @param models as the API lists them @param moved changes when an alias was moved elsewhere */
export function Traffic({ models, moved }) {
  const experiments = useLoaded(listExperiments, [moved], 10_000);
  const arms = models.filter(({ arms }) => !arms).map(({ id }) => id);
  return html`
    <${Loaded} of=${experiments} render=${(list) =>
      list.map((experiment) =>
        html`
          <${Split} key=${experiment.alias} experiment=${experiment} models=${arms} reload=${experiments.reload} />
        `
      )} />
  `;
}

/** One alias. Weights are changed here first, and sent when the person says so. */
function Split({ experiment: { alias, arms }, models, reload }) {
  const kept = JSON.stringify(arms.map(({ model, weight }) => [model, weight]));
  const [weights, setWeights] = useState({}), { problem, attempt } = useAttempt();
  useEffect(() => setWeights({}), [kept]);
  const weightOf = ({ model, weight }) => weights[model] ?? Number(weight.toFixed(1));
  const added = Object.keys(weights).filter((model) => !arms.some((arm) => arm.model === model));
  const rows = [...arms, ...added.map((model) => ({ model, weight: 0, answers: 0, judged: 0, rate: null }))];
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
        class="muted">Each person stays with one model. Bars show how often answers were found good, with the 95% interval.</p>
      <form onSubmit=${save}>
        <table class="rows plain">
          <thead>
            <tr>
              <th scope="col">Model</th>
              <th scope="col">Weight</th>
              <th scope="col" class="figure">Share</th>
              <th scope="col" class="rate">Found good</th>
              <th scope="col" class="figure">Thumbs</th>
              <th scope="col" class="figure">Answers</th>
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
                  <td data-label="Found good" class="rate"><${Interval} rate=${row
                    .rate} /><span class="under">${row.rate ? inWords(row.rate) : "No thumbs yet"}</span></td>
                  <td data-label="Thumbs" class="figure">${number(row.judged)}</td>
                  <td data-label="Answers" class="figure">${number(row.answers)}</td>
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
    </section>
  `;
}
