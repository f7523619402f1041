// The console's frame: navigation, the four pages by address, the switch for light and dark, who judges, and whether the
// gateway can be reached. It knows the pages' names and who may open them; what they do is theirs.

import { getCaller } from "./api.js";
import { connection, isLost, isReady } from "./http.js";
import { KeyQuestion } from "./key_question.js";
import { Playground } from "./pages/playground.js";
import { Labels } from "./pages/labels.js";
import { Models } from "./pages/models.js";
import { Runs } from "./pages/runs.js";
import { may, Reviewer, useCaller } from "./parts/caller.js";
import { keepFocus } from "./parts/focus.js";
import { Icon } from "./parts/icons.js";
import { Loaded, NotAllowed } from "./parts/loaded.js";
import { Notices } from "./parts/notice.js";
import { useLoaded, useRoute } from "./parts/state.js";
import { html, render, useEffect, useState } from "./vendor.js";

const pages = {
  playground: { name: "Playground", Page: Playground, scopes: ["reviewer", "inference"] },
  labels: { name: "Labels", Page: Labels, scopes: ["reviewer"] },
  runs: { name: "Runs", Page: Runs, scopes: ["admin"] },
  models: { name: "Models", Page: Models, scopes: ["admin"] },
};

const themes = [["system", "As the system"], ["light", "Light"], ["dark", "Dark"]];
const themeIcons = { system: "system", light: "sun", dark: "moon" };

function ThemeSwitch() {
  const { prospectTheme } = globalThis;
  const [theme, setTheme] = useState(prospectTheme.get());
  const choose = (choice) => {
    prospectTheme.set(choice);
    setTheme(choice);
  };
  return html`
    <div class="segments" role="group" aria-label="Colours">
      ${themes.map(([choice, name]) =>
        html`
          <button
            type="button"
            aria-label=${name}
            title=${name}
            aria-pressed=${String(theme === choice)}
            onClick=${() => choose(choice)}
          ><${Icon} name=${themeIcons[choice]} size=${16} /></button>
        `
      )}
    </div>
  `;
}

function Readiness() {
  const { value: ready } = useLoaded(isReady, [], 10_000);
  if (ready === undefined) return null;
  return html`<p class="readiness ${ready ? "ready" : ""}"><span></span>${ready ? "Ready to answer" : "Not ready"}</p>`;
}

/** Says that the gateway is gone, until it is there again. */
function Connection() {
  const [lost, setLost] = useState(isLost());
  useEffect(() => {
    const look = () => setLost(isLost());
    for (const event of ["lost", "found"]) connection.addEventListener(event, look);
    return () => {
      for (const event of ["lost", "found"]) connection.removeEventListener(event, look);
    };
  }, []);
  return html`
    <div role="status" class="connection">${lost &&
      html`<p class="warning">The connection to the gateway is lost. It is looked for, and the page goes on by itself.</p>`}</div>
  `;
}

/** What the caller's key opens of the pages. */
function useAllowed() {
  const [, keep] = useCaller();
  const loaded = useLoaded(async () => {
    const caller = await getCaller();
    keep(caller);
    return caller;
  }, []);
  return { ...loaded, allows: ({ scopes }) => loaded.value === undefined || may(loaded.value, ...scopes) };
}

function App() {
  const [name, ...route] = useRoute(), caller = useAllowed();
  const current = name in pages ? name : "playground";
  const { Page, scopes } = pages[current];
  useEffect(() => {
    document.title = `${pages[current].name} · Prospect`;
    scrollTo(0, 0);
  }, [current]);
  const skip = (event) => {
    event.preventDefault();
    document.querySelector("main").focus();
  };
  return html`
    <a class="skip" href="#main" onClick=${skip}>Skip to the page</a>
    <header class="shell">
      <a class="brand" href="#/playground"><img src="/console/icon.svg" alt="" width="28" height="28" />Prospect</a>
      <nav class="main-nav" aria-label="Pages">
        ${Object.entries(pages).filter(([, page]) => caller.allows(page)).map(([address, { name }]) =>
          html`
            <a href="#/${address}" aria-current=${address === current ? "page" : undefined}>
              <${Icon} name=${address} size=${20} />${name}
            </a>
          `
        )}
      </nav>
      <div class="shell-foot">
        <${Readiness} />
        <${Reviewer} />
        <div class="shell-tools">
          <${ThemeSwitch} />
          <a class="button quiet icon-only" href="/docs" aria-label="API documentation" title="API documentation">
            <${Icon} name="book" />
          </a>
          <${KeyQuestion} needed=${caller.value?.keys_required} changed=${caller.reload} />
        </div>
      </div>
    </header>
    <main id="main" tabindex="-1">
      <${Connection} />
      <${Loaded} of=${caller} render=${(value) =>
        may(value, ...scopes) ? html`<${Page} key=${`${current} ${value.key}`} route=${route} />` : html`
          <div class="page">
            <header class="page-head">
              <h1>${pages[current].name}</h1>
            </header>
            <${NotAllowed} scope=${scopes[0]} />
          </div>
        `} />
    </main>
    <${Notices} />
  `;
}

keepFocus();
render(html`<${App} />`, document.body);
