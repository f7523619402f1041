// The thumbs that were given, page by page, with the answers they are on; taking one back, its history, files in and out.

import { deleteThumb, exportThumbs, getAnswer, importThumbs, listModels, listThumbs, putThumb } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { may, useCaller } from "../../parts/caller.js";
import { count, questionOf, shortModel, when, whenInFull } from "../../parts/format.js";
import { Icon } from "../../parts/icons.js";
import { Empty, Loaded, Problem } from "../../parts/loaded.js";
import { notify } from "../../parts/notice.js";
import { useLoaded } from "../../parts/state.js";
import { html, useEffect, useRef, useState } from "../../vendor.js";
import { Filters, useFilters } from "./filters.js";
import { History } from "./history.js";

const rowsOfPage = 20;

/** Answers do not change, so each is fetched once; one that cannot be had is null. */
const answers = new Map();
function answerOf(id) {
  if (!answers.has(id)) answers.set(id, getAnswer(id).catch(() => (answers.delete(id), null)));
  return answers.get(id);
}

/** A page of thumbs, each with its answer. */
async function loadPage(filter, cursor) {
  const { data, next_cursor } = await listThumbs(filter, { limit: rowsOfPage, cursor });
  const answers = await Promise.all(data.map(({ completion_id }) => answerOf(completion_id)));
  return { rows: data.map((thumb, index) => ({ thumb, answer: answers[index] })), next: next_cursor };
}

export function ThumbList() {
  const filters = useFilters(), { filter, settled } = filters;
  const models = useLoaded(listModels, []);
  // Cursors of the pages up to this one: going back is dropping the last.
  const [cursors, setCursors] = useState([undefined]);
  const chosen = JSON.stringify(settled);
  useEffect(() => setCursors([undefined]), [chosen]);
  const page = useLoaded(() => loadPage(settled, cursors.at(-1)), [chosen, cursors.length]);
  const [history, showHistory] = useState(null);
  const [caller] = useCaller(), { problem, attempt } = useAttempt();
  const takeBack = (thumb) =>
    attempt(async () => {
      await deleteThumb(thumb.id);
      const { completion_id, choice, end_user, label, reason, tags, correction } = thumb;
      notify("The thumb is taken back.", {
        name: "Put it back",
        run: () =>
          putThumb({ completion_id, choice, end_user, label, reason, tags, correction })
            .then(page.reload, (error) => notify(error.message)),
      });
      await page.reload();
    });
  return html`
    <div class="bar">
      <${Filters} filters=${filters} models=${models.value ?? []} fields=${[
        "label",
        "model",
        "tag",
        "end_user",
        "since",
      ]} />
      ${may(caller, "admin") && html`<${Files} filter=${filter} onImported=${page.reload} />`}
    </div>
    ${problem && html`<${Problem} error=${problem} />`}
    <${Loaded}
      of=${page}
      render=${({ rows, next }) =>
        rows.length === 0
          ? html`<${Empty} title="No thumbs here">Judge answers in the playground or in the queue, or import a file.<//>`
          : html`
            <${Table} rows=${rows} takeBack=${takeBack} showHistory=${showHistory} />
            <nav class="pager" aria-label="Pages of thumbs">
              <button type="button" disabled=${cursors.length === 1} onClick=${() =>
                setCursors(cursors.slice(0, -1))}>Newer</button>
              <span>Page ${cursors.length}</span>
              <button type="button" disabled=${!next} onClick=${() => setCursors([...cursors, next])}>Older</button>
            </nav>
          `}
    />
    ${history &&
      html`<${History} thumb=${history.thumb} answer=${history.answer} onClose=${() => showHistory(null)} />`}
  `;
}

function Table({ rows, takeBack, showHistory }) {
  return html`
    <table class="rows thumb-table">
      <thead>
        <tr>
          <th scope="col">Thumb</th>
          <th scope="col">Question and answer</th>
          <th scope="col">Model</th>
          <th scope="col">Person</th>
          <th scope="col">Given</th>
          <th scope="col"><span class="visually-hidden">Actions</span></th>
        </tr>
      </thead>
      <tbody>
        ${rows.map(({ thumb, answer }) =>
          html`
            <tr key=${thumb.id}>
              <td data-label="Thumb">
                <${Mark} label=${thumb.label} />
              </td>
              <td data-label="Question and answer" class="exchange">
                <${Exchange} thumb=${thumb} answer=${answer} />
              </td>
              <td data-label="Model">${answer ? shortModel(answer.arm) : "–"}</td>
              <td data-label="Person">${thumb.end_user ?? "–"}</td>
              <td data-label="Given">
                <time title=${whenInFull(thumb.updated_at)}>${when(thumb.updated_at)}</time>
                ${thumb.version > 1 &&
                  html`<br /><span class="muted">changed ${count(thumb.version - 1, "time")}</span>`}
              </td>
              <td class="row-actions">
                <button type="button" class="quiet icon-only" aria-label="History" title="History" onClick=${() =>
                  showHistory({ thumb, answer })}>
                  <${Icon} name="history" />
                </button>
                <button type="button" class="quiet icon-only" aria-label="Take back" title="Take back" onClick=${() =>
                  takeBack(thumb)}>
                  <${Icon} name="undo" />
                </button>
              </td>
            </tr>
          `
        )}
      </tbody>
    </table>
  `;
}

/** A thumb that cannot be pressed. */
export function Mark({ label }) {
  return html`
    <span class="mark ${label ? "up" : "down"}">
      <${Icon} name=${label ? "up" : "down"} size=${16} /><span class="visually-hidden">${label ? "Up" : "Down"}</span>
    </span>
  `;
}

function Exchange({ thumb, answer }) {
  const content = answer?.choices.find(({ index }) => index === thumb.choice)?.content;
  return html`
    ${answer
      ? html`
        <p class="asked">${questionOf(answer.prompt)}</p>
        <p class="excerpt">${content}</p>
      `
      : html`<p class="muted">The answer ${thumb.completion_id} cannot be shown.</p>`}
    ${thumb.reason && html`<p class="reason">${thumb.reason}</p>`}
    ${thumb.correction && html`<p class="correction"><span>Should have been:</span> ${thumb.correction}</p>`}
    ${thumb.tags.length > 0 &&
      html`<p class="tags">${thumb.tags.map((tag) => html`<span key=${tag}>${tag}</span>`)}</p>`}
  `;
}

/** Files of thumbs, in and out. */
function Files({ filter, onImported }) {
  const picker = useRef(null), { problem, attempt } = useAttempt();
  const take = (event) => {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    return attempt(async () => {
      const { rows, desirable, undesirable, notes } = await importThumbs(file);
      notify([`${count(rows, "row")} taken in: ${desirable} up, ${undesirable} down.`, ...notes].join(" "));
      onImported();
    });
  };
  const give = () => attempt(() => exportThumbs(filter));
  return html`
    <div class="files">
      <input ref=${picker} type="file" accept=".jsonl,.ndjson,.json" aria-label="File to import" hidden
        onChange=${take} />
      <button type="button" onClick=${() => picker.current.click()}><${Icon} name="upload" size=${16} />Import</button>
      <button type="button" onClick=${give}><${Icon} name="download" size=${16} />Export</button>
      ${problem && html`<${Problem} error=${problem} />`}
    </div>
  `;
}
