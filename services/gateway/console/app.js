// The console's frame: navigation, the four pages by address, the switch for light and dark, and the question for a key.
// It knows the pages' names; what they do is theirs.

import { isReady } from "./api.js";
import { hasKey, setKey, whenKeyNeeded } from "./http.js";
import { Playground } from "./pages/playground.js";
import { Labels } from "./pages/labels.js";
import { Models } from "./pages/models.js";
import { Runs } from "./pages/runs.js";
import { Dialog } from "./parts/dialog.js";
import { TextField } from "./parts/field.js";
import { Icon } from "./parts/icons.js";
import { Notices } from "./parts/notice.js";
import { useLoaded, useRoute } from "./parts/state.js";
import { html, render, useEffect, useRef, useState } from "./vendor.js";

const pages = {
  playground: { name: "Playground", Page: Playground },
  labels: { name: "Labels", Page: Labels },
  runs: { name: "Runs", Page: Runs },
  models: { name: "Models", Page: Models },
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

/** Asks for a key when a request needs one. A person who declines is not asked again until they say so. */
function KeyQuestion() {
  const [asked, setAsked] = useState(null), [key, setTyped] = useState("");
  const declined = useRef(false);
  useEffect(() =>
    whenKeyNeeded((why) => {
      if (declined.current) return Promise.resolve(false);
      return new Promise((resolve) => setAsked({ why, resolve }));
    }), []);
  const end = (given) => {
    if (!asked) return;
    if (given) setKey(key.trim());
    declined.current = !given;
    setTyped("");
    setAsked(null);
    asked.resolve(given);
  };
  const submit = (event) => {
    event.preventDefault();
    if (key.trim() !== "") end(true);
  };
  const again = () => setAsked({ why: "Another key replaces the one in use.", resolve: () => location.reload() });
  return html`
    ${(hasKey() || declined.current) && html`
      <button type="button" class="quiet icon-only" aria-label="API key" title="API key" onClick=${again}>
        <${Icon} name="key" />
      </button>
    `}
    ${asked && html`
      <${Dialog} title="An API key is needed" onClose=${() => end(false)}>
        <form onSubmit=${submit}>
          <p>${asked.why}</p>
          <${TextField}
            label="API key"
            wide
            type="password"
            autocomplete="off"
            hint="It is kept in this tab until it is closed, and sent to this gateway only."
            value=${key}
            onText=${setTyped}
          />
          <div class="actions"><button type="submit" class="primary" disabled=${key.trim() ===
            ""}>Use this key</button></div>
        </form>
        <//>
    `}
  `;
}

function Readiness() {
  const { value: ready } = useLoaded(isReady, [], 10_000);
  if (ready === undefined) return null;
  return html`<p class="readiness ${ready ? "ready" : ""}"><span></span>${ready ? "Ready to answer" : "Not ready"}</p>`;
}

function App() {
  const [name, ...route] = useRoute();
  const current = name in pages ? name : "playground";
  const { Page } = pages[current];
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
        ${Object.entries(pages).map(([address, { name }]) =>
          html`
            <a href="#/${address}" aria-current=${address === current ? "page" : undefined}>
              <${Icon} name=${address} size=${20} />${name}
            </a>
          `
        )}
      </nav>
      <div class="shell-foot">
        <${Readiness} />
        <div class="shell-tools">
          <${ThemeSwitch} />
          <a class="button quiet icon-only" href="/docs" aria-label="API documentation" title="API documentation">
            <${Icon} name="book" />
          </a>
          <${KeyQuestion} />
        </div>
      </div>
    </header>
    <main id="main" tabindex="-1">
      <${Page} key=${current} route=${route} />
    </main>
    <${Notices} />
  `;
}

render(html`<${App} />`, document.body);
