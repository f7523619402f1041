// Runs: all of them, a new one, or one live. Each is a module of pages/runs/; this is their frame.

import { html } from "../vendor.js";
import { NewRun } from "./runs/new_run.js";
import { Run } from "./runs/run.js";
import { RunList } from "./runs/run_list.js";

/** @param route what comes after `#/runs`: nothing, `new`, or a run's id */
export function Runs({ route: [view] }) {
  if (view === "new") return html`<${NewRun} />`;
  return view ? html`<${Run} key=${view} id=${view} />` : html`<${RunList} />`;
}
