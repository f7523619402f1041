// Pages with more and longer than anyone would show first, in a browser: nothing becomes wider than the window.

import { assertAccessible, assertFits, consoleTest } from "./browser.ts";
import { sampleState } from "./sample.ts";
import type { State } from "./stand_in_state.ts";

const long = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(3);
const name = "Rindfleischetikettierungsueberwachungsaufgabenuebertragungsgesetz";

/** Everything that people name, by a name without an end. */
function longState(): State {
  const state = sampleState();
  for (const answer of state.answers.slice(0, 20)) {
    Object.assign(answer, { end_user: long, arm: `base:${name}`, prompt: [{ role: "user", content: long }] });
    answer.choices[0]!.content = `${long} `.repeat(20);
  }
  for (const thumb of state.thumbs.slice(0, 20)) {
    Object.assign(thumb, { end_user: long, reason: long, tags: [long.slice(0, 64), "tone"], correction: long });
  }
  for (const run of state.runs) Object.assign(run, { suffix: name, model: `base:${name}` });
  state.runs[0]!.notice = long;
  state.runs[3]!.error!.message = long;
  state.adapters[0] = { ...state.adapters[0]!, name, model: `base:${name}` };
  state.adapters[2] = { ...state.adapters[2]!, parent: `base:${name}` };
  Object.assign(state.promotions[0]!, { to: `base:${name}`, reason: long });
  state.aliases.set("prospect", [{ model: "base", weight: 20 }, { model: `base:${name}`, weight: 80 }]);
  state.aliases.set(name.slice(0, 60), [{ model: "base", weight: 1 }]);
  return state;
}

for (const width of [1280, 390]) {
  consoleTest(`words without an end break at ${width} pixels, on every page`, longState, async ({ page, open }) => {
    for (
      const [route, heading, loaded] of [
        ["labels", "Labels", "Should have been:"],
        ["labels/queue", "Labels", /^1 of \d+$/],
        ["labels/quality", "Labels", "Stale rows"],
        ["runs", "Runs", "Succeeded"],
        ["runs/new", "New run", "Weights would be"],
        ["runs/ftjob-running", name, "Configuration"],
        ["models", "Models", "Found good"],
        [`models/base%3A${name}`, "Models", "Found good"],
      ] as const
    ) {
      await open(route, heading);
      await page.getByText(loaded).first().waitFor();
      await assertFits(page, route);
    }
    await open("playground", "Playground");
    await page.getByRole("textbox", { name: "Message" }).fill(`${long} `.repeat(12));
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Thumb up: answer 1" }).waitFor();
    await assertFits(page, "the playground");
    await open("labels", "Labels");
    await page.getByRole("button", { name: "History" }).first().click();
    await page.getByRole("dialog").getByRole("listitem").first().waitFor();
    await assertFits(page, "the history");
    await assertAccessible(page, "the history");
  }, { viewport: { width, height: 800 }, reviewer: name + long });
}
