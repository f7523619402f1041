// Models: which one clients get, where each comes from, what the gate found, how traffic is split. Its parts are modules of
// pages/models/.

import { getRegistry, listModels } from "../api.js";
import { Loaded } from "../parts/loaded.js";
import { useLoaded } from "../parts/state.js";
import { html } from "../vendor.js";
import { Adapter } from "./models/adapter.js";
import { Current } from "./models/current.js";
import { Lineage } from "./models/lineage.js";
import { Promotions } from "./models/promotions.js";
import { Traffic } from "./models/traffic.js";

/** @param route what comes after `#/models`: the model that is looked at */
export function Models({ route: [chosen] }) {
  const registry = useLoaded(getRegistry, [], 5000), models = useLoaded(listModels, []);
  const changed = () => {
    registry.reload();
    models.reload();
  };
  const armsOf = (alias) => models.value?.find(({ id }) => id === alias)?.arms ?? [];
  return html`
    <div class="page">
      <header class="page-head">
        <div>
          <h1>Models</h1>
          <p>Clients ask for an alias. Promoting an adapter moves it, at once and without dropping an answer.</p>
        </div>
      </header>
      <${Loaded} of=${registry} render=${(value) =>
        html`<${Shown} registry=${value} arms=${armsOf(value.alias)} chosen=${chosen} changed=${changed} />`} />
      <${Traffic} models=${models.value ?? []} moved=${registry.value?.current} changed=${changed} />
    </div>
  `;
}

function Shown({ registry, arms, chosen, changed }) {
  const { adapters, current } = registry;
  const newest = adapters[0];
  const shown = adapters.find(({ model }) => model === chosen) ?? adapters.find(({ model }) => model === current) ??
    newest;
  return html`
    <${Current} registry=${registry} arms=${arms} changed=${changed} />
    <div class="halves lineage-halves">
      <div>
        <${Lineage} registry=${registry} chosen=${shown?.model} />
        <${Promotions} promotions=${registry.promotions} />
      </div>
      ${shown && html`<${Adapter} key=${shown.model} adapter=${shown} registry=${registry} changed=${changed} />`}
    </div>
  `;
}
