// The report of a training run: one HTML page that can be mailed, opened from disk and read on a phone. It asks the
// network for nothing and treats every text it shows (prompts, answers, settings) as untrusted. It does not know how
// the numbers came about; charts are in report_charts.ts, looks in report_style.ts.

import type { Behaviour } from "../../shared/behaviour.ts";
import { formatSeconds } from "../../shared/progress.ts";
import { samplesPart } from "../../shared/report_samples.ts";
import type { AucEstimate } from "./auc.ts";
import type { StepMetrics } from "./metrics.ts";
import { behaviourPart } from "./report_behaviour.ts";
import { type Chart, chartsOf, describeChart, type Evaluation } from "./report_charts.ts";
import { escapeHtml } from "./report_html.ts";
import { pageParts } from "./report_style.ts";

export type { Evaluation } from "./report_charts.ts";

/** One prompt answered by the model before and after training. A verdict left out is shown as nothing. */
export interface ReportSample {
  prompt: string;
  before: string;
  after: string;
  beforeDesirable?: boolean | undefined;
  afterDesirable?: boolean | undefined;
}

/** The outcome in numbers. What is left out is not shown. */
export interface ReportResult {
  /** Share of the sampled answers that were judged desirable, 0 to 1. */
  judgedBefore?: number | undefined;
  judgedAfter?: number | undefined;
  /** How many answers each of those shares is of. */
  judgedCount?: number | undefined;
  /** AUC of the reward on held-out rows at the end. Default: the last evaluation's. */
  heldOutAuc?: AucEstimate | undefined;
  /** The confidence of every AUC interval here, 0 to 1. Default 0.95. */
  confidence?: number | undefined;
  /** Trained tokens a second over the whole run. */
  tokensPerSecond?: number | undefined;
  /** Reference log-probabilities that came from the cache, and all that were needed. */
  referenceCached?: { hits: number; total: number } | undefined;
  /** Seconds from start to end. */
  wallSeconds?: number | undefined;
}

/** All that a report shows. */
export interface ReportInput {
  title: string;
  /** Shown in the given order; values that are not text are shown as JSON. */
  settings: Record<string, unknown>;
  metrics: StepMetrics[];
  evaluations: Evaluation[];
  samples: ReportSample[];
  result: ReportResult;
  /** How answers to held-out prompts changed; left out where that was not measured. */
  behaviour?: Behaviour | undefined;
  /** Lines of the data report and anything else worth saying, one paragraph each. */
  notes: string[];
}

/** More rows than this are thinned out in the table of numbers; the full log is a file of its own. */
const MOST_NUMBER_ROWS = 100;

/**
 * The report as one HTML document. Sections without content are left out.
 *
 * @throws {Deno.errors.NotCapable} without read permission for `node_modules/` (uPlot is copied into the page).
 */
export function renderReport(input: ReportInput): string {
  const { style, scripts, policy } = pageParts();
  const charts = chartsOf(input.metrics, input.evaluations);
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${escapeHtml(policy)}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(input.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeHtml(input.title)}</h1>
${keyFigures(input)}
${curves(charts)}
${behaviourPart(input.behaviour)}
${samples(input.samples)}
${notes(input.notes)}
${settings(input.settings)}
${numbers(input.metrics)}
</main>
<script type="application/json" id="chart-data">${jsonForScript(charts)}</script>
${scripts.map((code) => `<script>${code}</script>`).join("\n")}
</body>
</html>
`;
}

function keyFigures({ result, evaluations }: ReportInput): string {
  const auc = result.heldOutAuc ?? evaluations.findLast((evaluation) => evaluation.auc !== undefined)?.auc;
  const cached = result.referenceCached;
  const tiles: string[] = [];
  if (result.judgedAfter !== undefined) {
    const before = result.judgedBefore === undefined ? "" : `${percent(result.judgedBefore)} → `;
    const note = result.judgedCount === undefined ? "of sampled answers" : `of ${whole(result.judgedCount)} answers`;
    tiles.push(tile("Judged desirable", `${before}${percent(result.judgedAfter)}`, note));
  }
  if (auc !== undefined) {
    const interval = `${percent(result.confidence ?? 0.95)} interval ${auc.low.toFixed(3)} to ${auc.high.toFixed(3)}`;
    tiles.push(tile("Held-out AUC", auc.value.toFixed(3), interval));
  }
  if (result.tokensPerSecond !== undefined) {
    tiles.push(tile("Speed", `${whole(result.tokensPerSecond)}`, "trained tokens a second"));
  }
  if (cached !== undefined) {
    const share = cached.total > 0 ? percent(cached.hits / cached.total) : "–";
    tiles.push(tile("Reference from cache", share, `${whole(cached.hits)} of ${whole(cached.total)} passes`));
  }
  if (result.wallSeconds !== undefined) {
    tiles.push(tile("Wall time", formatSeconds(result.wallSeconds), "start to end"));
  }
  return tiles.length === 0 ? "" : `<dl class="key">\n${tiles.join("\n")}\n</dl>`;
}

function tile(label: string, value: string, note: string): string {
  return `<div><dt>${escapeHtml(label)}</dt><dd class="value">${escapeHtml(value)}</dd>` +
    `<dd class="note">${escapeHtml(note)}</dd></div>`;
}

function curves(charts: Chart[]): string {
  if (charts.length === 0) return "";
  const figures = charts.map((chart, index) =>
    `<figure>
<figcaption><h3>${escapeHtml(chart.title)}</h3><p>${escapeHtml(chart.caption)}</p>` +
    `<p class="visually-hidden">${escapeHtml(describeChart(chart))}</p></figcaption>
<div class="plot" id="chart-${index}" aria-hidden="true"></div>
</figure>`
  );
  return `<section aria-labelledby="curves">
<h2 id="curves">Curves</h2>
<p class="hint">Over optimizer steps. Thin lines are single steps, thick lines the mean of the steps before. Drag to zoom, double-click to go back.</p>
<noscript><p>The curves need JavaScript; the numbers are in the table at the end.</p></noscript>
<div class="charts">
${figures.join("\n")}
</div>
</section>`;
}

function samples(rows: ReportSample[]): string {
  if (rows.length === 0) return "";
  const body = rows.map((row) =>
    `<tr role="row">
<th role="rowheader" scope="row" data-label="Prompt">${said(row.prompt)}</th>
<td role="cell" data-label="Before">${verdict(row.beforeDesirable)}${said(row.before)}</td>
<td role="cell" data-label="After">${verdict(row.afterDesirable)}${said(row.after)}</td>
</tr>`
  );
  // The roles are written out because the phone layout turns rows into blocks, which takes the table's meaning away.
  return samplesPart(
    `<table class="rows samples" role="table" aria-labelledby="samples">
<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">Prompt</th>` +
      `<th role="columnheader" scope="col">Before</th><th role="columnheader" scope="col">After</th></tr></thead>
<tbody role="rowgroup">
${body.join("\n")}
</tbody>
</table>`,
  );
}

function said(text: string): string {
  return `<div class="said" dir="auto" tabindex="0">${escapeHtml(text)}</div>`;
}

function verdict(desirable: boolean | undefined): string {
  if (desirable === undefined) return "";
  return desirable ? `<span class="verdict good">✓ desirable</span>` : `<span class="verdict bad">✗ undesirable</span>`;
}

function notes(lines: string[]): string {
  if (lines.length === 0) return "";
  const items = lines.map((line) => `<li dir="auto">${escapeHtml(line)}</li>`);
  return `<section aria-labelledby="notes">
<h2 id="notes">Data and notes</h2>
<ul>
${items.join("\n")}
</ul>
</section>`;
}

function settings(values: Record<string, unknown>): string {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  if (entries.length === 0) return "";
  const rows = entries.map(([name, value]) =>
    `<tr><th scope="row">${escapeHtml(name)}</th><td>${escapeHtml(showValue(value))}</td></tr>`
  );
  return `<section aria-labelledby="settings">
<h2 id="settings">Settings</h2>
<div class="scroll">
<table class="rows settings">
<thead><tr><th scope="col">Setting</th><th scope="col">Value</th></tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</div>
</section>`;
}

function numbers(metrics: StepMetrics[]): string {
  const first = metrics[0];
  if (first === undefined) return "";
  const stride = Math.ceil(metrics.length / MOST_NUMBER_ROWS);
  const shown = metrics.filter((_, index) => (metrics.length - 1 - index) % stride === 0);
  const columns = Object.keys(first) as (keyof StepMetrics)[];
  const rows = shown.map((point) =>
    `<tr>${
      columns.map((column, index) =>
        index === 0 ? `<th scope="row">${showNumber(point[column])}</th>` : `<td>${showNumber(point[column])}</td>`
      ).join("")
    }</tr>`
  );
  return `<section aria-labelledby="numbers">
<h2 id="numbers">Numbers</h2>
<details>
<summary>${stride === 1 ? "Every step" : `Every ${stride} steps`} as a table</summary>
<div class="scroll" tabindex="0" role="region" aria-labelledby="numbers">
<table class="rows numbers">
<thead><tr>${columns.map((column) => `<th scope="col">${escapeHtml(column)}</th>`).join("")}</tr></thead>
<tbody>
${rows.join("\n")}
</tbody>
</table>
</div>
</details>
</section>`;
}

function showValue(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? String(value);
}

function showNumber(value: number | null): string {
  return value === null ? "–" : escapeHtml(String(Number(value.toPrecision(5))));
}

function percent(share: number): string {
  return `${Number((100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0))}%`;
}

function whole(value: number): string {
  return (value >= 100 ? Math.round(value) : Number(value.toPrecision(3))).toLocaleString("en");
}

/** JSON that cannot end the script element it stands in. */
function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}
