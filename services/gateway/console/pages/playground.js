// Playground: chat with a model and judge its answers, or compare two models blind. The two are pages/playground/'s chat.js
// and comparison.js; this is their frame.

import { listModels } from "../api.js";
import { Tabs } from "../parts/tabs.js";
import { useLoaded } from "../parts/state.js";
import { Loaded } from "../parts/loaded.js";
import { html } from "../vendor.js";
import { Chat } from "./playground/chat.js";
import { Comparison } from "./playground/comparison.js";

const views = [["#/playground", "Chat"], ["#/playground/compare", "Compare"]];

/** @param route what comes after `#/playground` */
export function Playground({ route: [view] }) {
  const models = useLoaded(listModels, []);
  const comparing = view === "compare";
  const Page = comparing ? Comparison : Chat;
  return html`
    <div class="page playground">
      <header class="page-head">
        <div>
          <h1>Playground</h1>
          <p>${comparing
            ? "Two models answer each question side by side, in an order drawn at random. Judge both, then see which was which."
            : "Talk to a model and judge what it says. Every thumb is kept, and can be trained on."}</p>
        </div>
        <${Tabs} name="Playground" views=${views} current=${views[comparing ? 1 : 0][0]} />
      </header>
      <${Loaded} of=${models} render=${(value) => html`<${Page} models=${value} />`} />
    </div>
  `;
}
