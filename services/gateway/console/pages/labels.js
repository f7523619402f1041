// Labels: the thumbs that were given, the answers that wait for one, and how good the data is. Each view is a module of
// pages/labels/; this is their frame.

import { Tabs } from "../parts/tabs.js";
import { html } from "../vendor.js";
import { Queue } from "./labels/queue.js";
import { Quality } from "./labels/quality.js";
import { ThumbList } from "./labels/thumb_list.js";

const views = [["#/labels", "Thumbs"], ["#/labels/queue", "Queue"], ["#/labels/quality", "Quality"]];
const shown = {
  queue: [Queue, "Answers that nobody has judged yet, newest first. Hands can stay on the keyboard."],
  quality: [Quality, "What training would make of the thumbs: how many, how they are weighed, and what spoils them."],
};
const thumbs = [ThumbList, "Every thumb that was given, newest first."];

/** @param route what comes after `#/labels` */
export function Labels({ route: [view] }) {
  const [View, sentence] = shown[view] ?? thumbs;
  return html`
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Labels</h1>
          <p>${sentence}</p>
        </div>
        <${Tabs} name="Labels" views=${views} current=${view in shown ? `#/labels/${view}` : "#/labels"} />
      </header>
      <${View} key=${view} />
    </div>
  `;
}
