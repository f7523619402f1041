// How good the thumbs are as data: their counts, the weights that follow from them, and what spoils them.

import { getAnswer, getThumb, hygiene, listModels } from "../../api.js";
import { count, number, percent, questionOf } from "../../parts/format.js";
import { Empty, Loaded } from "../../parts/loaded.js";
import { useLoaded } from "../../parts/state.js";
import { html } from "../../vendor.js";
import { Filters, useFilters } from "./filters.js";
import { Mark } from "./thumb_list.js";

/** What can be wrong with rows, and why it matters. */
const faults = [
  ["contradictions", "Contradictions", "The same answer has thumbs up and down. They cancel each other."],
  ["exact_duplicates", "Exact duplicates", "The same question, answer and thumb more than once count double."],
  ["near_duplicates", "Near duplicates", "Almost the same text; many of them pull training one way."],
  ["empty", "Empty answers", "There is nothing in them to learn from."],
];

export function Quality() {
  const filters = useFilters();
  const { model, tag, since } = filters.settled;
  const models = useLoaded(listModels, []);
  const measured = useLoaded(() => hygiene({ model, tag, since }), [model, tag, since]);
  return html`
    <div class="bar">
      <${Filters} filters=${filters} models=${models.value ?? []} fields=${["model", "tag", "since"]} />
    </div>
    <${Loaded} of=${measured} render=${(numbers) =>
      numbers.rows === 0
        ? html`<${Empty} title="No thumbs here">Judge some answers first; their quality is measured as they come.<//>`
        : html`<${Numbers} numbers=${numbers} />`} />
  `;
}

function Numbers({ numbers }) {
  const { rows, desirable, undesirable, weights, stale, examples, truncated } = numbers;
  const share = desirable / (desirable + undesirable || 1);
  return html`
    <section class="card balance" aria-label="Balance">
      <div class="balance-head">
        <p class="big">${count(rows, "row")}</p>
        <p
          class="muted">Training weighs a thumb up ${number(weights.desirable)} and a thumb down ${number(
            weights.undesirable,
          )}, so that neither side drowns the other.${truncated
            ? " There are more rows; the oldest were looked through."
            : ""}</p>
      </div>
      <div class="balance-bar" role="img"
        aria-label="${desirable} up, ${undesirable} down"><span style="width: ${100 * share}%"></span></div>
      <div class="balance-ends">
        <span><${Mark} label=${true} /> ${desirable.toLocaleString("en")} <span class="muted">${percent(
          share,
        )}</span></span>
        <span><span class="muted">${percent(1 - share)}</span> ${undesirable.toLocaleString(
          "en",
        )} <${Mark} label=${false} /></span>
      </div>
    </section>
    <div class="tiles">
      ${faults.map(([field, name, why]) =>
        html`
          <section key=${field} class="card tile" aria-label=${name}>
            <p class="big ${numbers[field] > 0 ? "" : "none"}">${numbers[field].toLocaleString("en")}</p>
            <h2>${name}</h2>
            <p class="muted">${why}</p>
          </section>
        `
      )}
    </div>
    ${stale.measured > 0 && html`
      <section class="card" aria-label="Stale rows">
        <h2>Stale rows</h2>
        <p
          class="muted">How far the log-probs of ${count(
            stale.measured,
            "answer",
          )} moved per token since they were given, as the newest run measured it.</p>
        <table class="rows plain">
          <thead>
            <tr>
              <th scope="col">Moved by more than</th>
              <th scope="col" class="figure">Rows</th>
              <th scope="col" class="figure">Share</th>
            </tr>
          </thead>
          <tbody>${stale.beyond.map(({ moved, rows }) =>
            html`
              <tr key=${moved}>
                <td>${number(moved)} nats</td>
                <td class="figure">${rows.toLocaleString("en")}</td>
                <td class="figure">${percent(rows / stale.measured)}</td>
              </tr>
            `
          )}</tbody>
        </table>
      </section>
    `}
    ${["contradictions", "near_duplicates"].filter((kind) => examples?.[kind]?.length > 0).map((kind) =>
      html`
        <${Examples} key=${kind} title="${faults.find(([field]) =>
          field === kind
        )[1]}, some of them" ids=${examples[kind]} />
      `
    )}
  `;
}

/** Some thumbs by their ids, with what they are on. */
function Examples({ title, ids }) {
  const shown = ids.slice(0, 6);
  const thumbs = useLoaded(() =>
    Promise.all(shown.map(async (id) => {
      const thumb = await getThumb(id);
      return { thumb, answer: await getAnswer(thumb.completion_id) };
    })), [shown.join(" ")]);
  return html`
    <section class="card" aria-label=${title}>
      <h2>${title}</h2>
      <${Loaded} of=${thumbs} render=${(rows) =>
        html`
          <ul class="examples">
            ${rows.map(({ thumb, answer }) =>
              html`
                <li key=${thumb.id}>
                  <${Mark} label=${thumb.label} />
                  <span><span class="asked">${questionOf(answer.prompt)}</span> <span class="muted">${answer
                    .choices[thumb.choice]?.content}</span></span>
                </li>
              `
            )}
          </ul>
        `} />
    </section>
  `;
}
