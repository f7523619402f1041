// One run, live: how far it is, its curves, what it was told, its log; and the button that ends it.

import { cancelRun, getRun, streamRun } from "../../api.js";
import { useAttempt } from "../../parts/attempt.js";
import { Dialog } from "../../parts/dialog.js";
import { count, duration, number, when, whenInFull } from "../../parts/format.js";
import { Findings, GateMark } from "../../parts/gate.js";
import { Loaded, Problem } from "../../parts/loaded.js";
import { useLoaded } from "../../parts/state.js";
import { html, useEffect, useRef, useState } from "../../vendor.js";
import { Curves } from "./curves.js";
import { labelOf } from "./hyperparameters.js";
import { Downloads } from "../../parts/downloads.js";
import { isOver, isStalled, nameOf, ProgressBar, sourceOf, Status } from "./status.js";

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/**
 * A run's events so far. They come in bursts, so they are gathered and shown a few times a second; a stream that breaks
 * off is taken up again, and events that are there already are passed over.
 */
function useEvents(id) {
  const [events, setEvents] = useState([]), [progress, setProgress] = useState(null);
  useEffect(() => {
    const aborter = new AbortController(), seen = new Set();
    let fresh = [];
    const show = () => {
      if (fresh.length === 0) return;
      const more = fresh;
      fresh = [];
      setEvents((before) => [...before, ...more]);
    };
    const timer = setInterval(show, 250);
    const follow = async () => {
      while (!aborter.signal.aborted) {
        try {
          for await (const event of streamRun(id, aborter.signal)) {
            if (event.type === "progress") setProgress(event.data);
            if (event.type === "progress" || seen.has(event.id)) continue;
            seen.add(event.id);
            fresh.push(event);
          }
          return show();
        } catch (error) {
          if (aborter.signal.aborted || error.status >= 400 && error.status < 500) return;
          await pause(2000);
        }
      }
    };
    follow();
    return () => {
      aborter.abort();
      clearInterval(timer);
    };
  }, [id]);
  return { events, progress };
}

export function Run({ id }) {
  const [over, setOver] = useState(false);
  const run = useLoaded(() => getRun(id), [id], over ? undefined : 1000);
  const { events, progress } = useEvents(id);
  const finished = run.value !== undefined && isOver(run.value);
  useEffect(() => setOver(finished), [finished]);
  return html`
    <div class="page">
      <nav class="crumbs" aria-label="Where this is"><a href="#/runs">Runs</a></nav>
      <${Loaded} of=${run} render=${(value) =>
        html`<${Shown} run=${value} events=${events} told=${progress} reload=${run.reload} />`} />
    </div>
  `;
}

function Shown({ run, events, told, reload }) {
  const [asking, setAsking] = useState(false), { problem, attempt } = useAttempt();
  const over = isOver(run);
  const progress = over ? null : told ?? run.progress;
  const cancel = () =>
    attempt(async () => {
      await cancelRun(run.id);
      setAsking(false);
      reload();
    });
  return html`
    <header class="page-head">
      <div>
        <h1>${nameOf(run)}</h1>
        <p class="run-facts"><${Status} run=${run} /><span>${sourceOf(run)}${run.data?.rows
          ? `, ${count(run.data.rows, "row")}`
          : ""}</span><span>from ${run.model}</span>
          <time title=${whenInFull(1000 * run.created_at)}>${when(1000 * run.created_at)}</time>
          ${run.started_at && run.finished_at && html`<span>${duration(run.finished_at - run.started_at)}</span>`}
        </p>
      </div>
      <div class="head-actions">
        ${!over && html`<button type="button" onClick=${() => setAsking(true)}>Cancel run</button>`}
        ${run.fine_tuned_model &&
          html`<a class="button primary" href="#/models/${
            encodeURIComponent(run.fine_tuned_model)
          }">Look at the model</a>`}
      </div>
    </header>
    ${run.error && html`
      <div class="problem" role="alert">
        <p>${run.error.message}</p>
      </div>
    `}
    ${run.notice && html`<p class="warning" role="status">${run.notice}</p>`}
    ${progress && html`
      <div class="card">
        <${ProgressBar} progress=${progress} stalled=${isStalled(run)} />
      </div>
    `}
    <${Curves} events=${events} waiting=${!over} />
    <div class="halves">
      <div>
        ${run.gate && html`
          <section class="card" aria-label="Gate">
            <div class="card-head">
              <h2>Gate</h2>
              <${GateMark} gate=${run.gate} />
            </div>
            <${Findings} gate=${run.gate} />
          </section>
        `}
        <${Configuration} run=${run} />
        ${run.result_files.length > 0 && html`
          <section class="card" aria-label="Files">
            <h2>Files</h2>
            <${Downloads} ids=${run.result_files} />
          </section>
        `}
      </div>
      <${Log} events=${events} />
    </div>
    ${asking && html`
      <${Dialog} title="Cancel this run?" onClose=${() => setAsking(false)}>
        <p>What it has learned so far is dropped. The thumbs stay.</p>
        ${problem && html`<${Problem} error=${problem} />`}
        <div
          class="actions"><button type="button" onClick=${() =>
            setAsking(
              false,
            )}>Let it run</button><button type="button" class="danger" onClick=${cancel}>Cancel the run</button></div>
        <//>
    `}
  `;
}

/** What the run was told, and what it found its data to be. */
function Configuration({ run }) {
  const { hyperparameters, seed, data } = run;
  const entries = [
    ["Method", run.method.type],
    ...Object.entries(hyperparameters ?? {}).map(([name, value]) => [labelOf(name), value]),
    ["Seed", seed],
    ...(data ? [["Thumbs up", data.desirable], ["Thumbs down", data.undesirable]] : []),
    ...(run.trained_tokens ? [["Trained tokens", run.trained_tokens]] : []),
    ["Run", run.id],
  ].filter(([, value]) => value !== null && value !== undefined);
  return html`
    <section class="card" aria-label="Configuration">
      <h2>Configuration</h2>
      <dl class="facts">
        ${entries.map(([name, value]) =>
          html`
            <div key=${name} class=${name === "Run" ? "wide" : undefined}>
              <dt>${name}</dt>
              <dd>${typeof value === "number" && name !== "Seed" ? number(value) : String(value)}</dd>
            </div>
          `
        )}
      </dl>
      ${data?.notes?.length > 0 &&
        html`<ul class="notes">${data.notes.map((note) => html`<li key=${note}>${note}</li>`)}</ul>`}
    </section>
  `;
}

/** What the run said, newest last and in sight. */
function Log({ events }) {
  // Evaluations are in a plot, and said in a sentence of their own beside.
  const said = events.filter(({ type, data }) => type === "message" && !data?.auc);
  const list = useRef(null), following = useRef(true);
  useEffect(() => {
    if (following.current) list.current.scrollTop = list.current.scrollHeight;
  }, [said.length]);
  // Whoever scrolls up reads; whoever comes back to the end follows again.
  const scrolled = ({ target }) => {
    following.current = target.scrollHeight - target.scrollTop - target.clientHeight < 24;
  };
  return html`
    <section class="card log-card" aria-label="Log">
      <h2>Log</h2>
      <div class="log" ref=${list} onScroll=${scrolled} tabindex="0" role="log" aria-label="Log">
        <ol>
        ${said.map(({ id, created_at, level, message }) =>
          html`
            <li key=${id} class=${level}><time>${when(1000 * created_at)}</time><span>${level !== "info" &&
              html`<b>${level} </b>`}${message}</span></li>
          `
        )}
        ${said.length === 0 && html`<li><span class="muted">Nothing was said yet.</span></li>`}
      </ol>
      </div>
    </section>
  `;
}
