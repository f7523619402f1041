// Labels: the thumbs that were given, the answers that wait for one, and how good the data is. Each view is a module of
// pages/labels/; this is their frame.

import { may, useCaller } from "../parts/caller.js";
import { NotAllowed } from "../parts/loaded.js";
import { Tabs } from "../parts/tabs.js";
import { html } from "../vendor.js";
import { Queue } from "./labels/queue.js";
import { Quality } from "./labels/quality.js";
import { ThumbList } from "./labels/thumb_list.js";

const everyThumb = "Every thumb that was given, newest first.",
  ownThumbs = "The thumbs that you have given, newest first.";

/** Views by their address, and the scope that they need. */
const views = {
  "": { name: "Thumbs", View: ThumbList, scope: "reviewer" },
  queue: {
    name: "Queue",
    View: Queue,
    scope: "reviewer",
    sentence: "Answers that wait for a thumb, newest first. Hands can stay on the keyboard.",
  },
  quality: {
    name: "Quality",
    View: Quality,
    scope: "admin",
    sentence: "What training would make of the thumbs: how many, how they are weighed, and what spoils them.",
  },
};
const addressOf = (view) => view === "" ? "#/labels" : `#/labels/${view}`;

/** @param route what comes after `#/labels` */
export function Labels({ route: [view] }) {
  const [caller] = useCaller();
  const current = view in views ? view : "";
  const { View, scope, sentence = may(caller, "admin") ? everyThumb : ownThumbs } = views[current];
  const open = Object.entries(views).filter(([, { scope }]) => may(caller, scope));
  return html`
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Labels</h1>
          <p>${sentence}</p>
        </div>
        <${Tabs} name="Labels" views=${open.map(([view, { name }]) => [addressOf(view), name])} current=${addressOf(
          current,
        )} />
      </header>
      ${may(caller, scope) ? html`<${View} key=${current} />` : html`<${NotAllowed} scope=${scope} />`}
    </div>
  `;
}
