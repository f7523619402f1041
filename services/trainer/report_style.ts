// What makes the report a page of its own: its style sheet, uPlot's code and style read from the npm package, and a
// content policy that lets nothing else run or load. It does not know what the report says.

import { createHash } from "node:crypto";
import { drawCharts } from "./report_charts.ts";

/** The parts of the page that do not depend on the run. */
export interface PageParts {
  /** The inside of the `<style>` element. */
  style: string;
  /** The insides of the `<script>` elements, in order. */
  scripts: string[];
  /** The value of the Content-Security-Policy `<meta>`: only these scripts, no request to anywhere. */
  policy: string;
}

let parts: PageParts | undefined;

/**
 * Reads uPlot once. Needs read permission for `node_modules/` only.
 *
 * @throws {Deno.errors.NotFound} when the npm package is not installed.
 */
export function pageParts(): PageParts {
  if (parts !== undefined) return parts;
  const scripts = [packageFile("uplot/dist/uPlot.iife.min.js"), `(${drawCharts.toString()})();`]
    .map((code) => code.replaceAll("</script", "<\\/script"));
  const hashes = scripts.map((code) => `'sha256-${createHash("sha256").update(code).digest("base64")}'`);
  parts = {
    style: packageFile("uplot/dist/uPlot.min.css").trim() + STYLE,
    scripts,
    policy: `default-src 'none'; style-src 'unsafe-inline'; script-src ${hashes.join(" ")}`,
  };
  return parts;
}

function packageFile(specifier: string): string {
  return Deno.readTextFileSync(new URL(import.meta.resolve(specifier)));
}

const STYLE = `
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --surface: #ffffff; --text: #1c1c1a; --muted: #63635e; --line: #e3e3de;
  --series-1: #2563c9; --series-2: #d0591c; --series-3: #0f7f6b; --good: #0b6b3a; --bad: #a8321f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #141413; --surface: #1d1d1b; --text: #ececea; --muted: #a3a39c; --line: #343431;
    --series-1: #6ea4f5; --series-2: #f0915a; --series-3: #4cc3ab; --good: #6fd39a; --bad: #f28b78;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1.25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 0.75rem; }
h3 { font-size: 0.95rem; margin: 0; }
.key { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); gap: 0.75rem; margin: 0; }
.key div, figure { background: var(--surface); border: 1px solid var(--line); border-radius: 8px; }
.key div { padding: 0.8rem 1rem; display: flex; flex-direction: column; }
.key dt { color: var(--muted); font-size: 0.85rem; }
.key dd { margin: 0; }
.key .value { font-size: 1.5rem; font-weight: 600; line-height: 1.35; font-variant-numeric: tabular-nums; }
.key .note { color: var(--muted); font-size: 0.85rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)); gap: 0.75rem; }
figure { margin: 0; padding: 0.9rem 0.75rem 0.5rem; min-width: 0; display: grid; grid-row: span 2;
  grid-template-rows: subgrid; row-gap: 0; }
figcaption { padding: 0 0.25rem 0.5rem; }
figcaption p { margin: 0.1rem 0 0; color: var(--muted); font-size: 0.85rem; line-height: 1.4; }
.hint { margin: -0.4rem 0 0.75rem; color: var(--muted); font-size: 0.85rem; }
.plot { min-height: 200px; }
.uplot { font-family: inherit; }
.u-legend { font-size: 0.8rem; text-align: left; padding-left: 0.25rem; }
.u-legend .u-series:first-child .u-marker { display: none; }
.u-legend th { font-weight: 400; color: var(--muted); }
.u-legend .u-value { font-variant-numeric: tabular-nums; }
.u-select { background: color-mix(in srgb, var(--text) 8%, transparent); }
.u-cursor-x, .u-cursor-y { border-color: var(--muted) !important; }
.bars { width: 100%; max-width: 30rem; height: auto; padding: 0.25rem; }
.bars text { font: 13px system-ui, sans-serif; fill: var(--text); }
.bars .before { fill: var(--muted); }
.bars .after { fill: var(--series-1); }
.scroll { overflow-x: auto; }
table.rows { border-collapse: collapse; width: 100%; background: var(--surface); border: 1px solid var(--line); }
table.rows th, table.rows td { padding: 0.5rem 0.75rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
table.rows thead th { font-size: 0.85rem; color: var(--muted); font-weight: 600; }
table.rows tbody th { font-weight: 500; }
table.settings { width: auto; min-width: min(100%, 30rem); }
table.settings td { overflow-wrap: anywhere; }
table.numbers { font-size: 0.85rem; font-variant-numeric: tabular-nums; white-space: nowrap; }
table.numbers th, table.numbers td { text-align: right !important; }
table.samples { table-layout: fixed; }
.said { white-space: pre-wrap; overflow-wrap: anywhere; max-height: 22rem; overflow-y: auto; font-weight: 400;
  text-align: start; }
.verdict { display: block; font-size: 0.85rem; font-weight: 600; margin-bottom: 0.25rem; }
.good { color: var(--good); }
.bad { color: var(--bad); }
details summary { cursor: pointer; color: var(--muted); margin: 0.75rem 0; }
.visually-hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media (max-width: 40rem) {
  .key div { padding: 0.6rem 0.75rem; }
  .key .value { font-size: 1.2rem; }
  table.samples thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table.samples, table.samples tbody, table.samples tr, table.samples th, table.samples td { display: block; }
  table.samples tr { border-bottom: 3px solid var(--line); }
  table.samples [data-label]::before { content: attr(data-label); display: block; color: var(--muted);
    font-size: 0.8rem; font-weight: 600; }
}
`;
