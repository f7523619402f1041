// The models page in a browser: lineage, promotion behind the gate, the way back, traffic.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { consoleTest } from "./browser.ts";
import { emptyState, sampleState } from "./sample.ts";
import type { State } from "./stand_in_state.ts";

const promotions = (state: State) =>
  state.received.filter(({ request }) => request === "POST /v1/registry/promote").map(({ body }) => body);

consoleTest("the tree shows who comes from whom", sampleState, async ({ page, open }) => {
  await open("models", "Models");
  const lineage = page.getByRole("region", { name: "Lineage" });
  await lineage.getByRole("link", { name: "kind-2" }).waitFor();
  const depths = await lineage.getByRole("link").evaluateAll((links) =>
    links.map((link) => {
      let depth = 0;
      for (let up = link.parentElement; up && !up.matches(".tree"); up = up.parentElement) {
        if (up.matches("ul")) depth++;
      }
      return `${depth} ${link.querySelector(".node-name")!.textContent}`;
    })
  );
  assertEquals(depths, ["1 kind-1", "2 flat-1", "2 kind-2", "1 terse"]);
  await lineage.getByRole("link", { name: "flat-1" }).click();
  const adapter = page.getByRole("region", { name: "Adapter flat-1" });
  await adapter.getByText("Gate not passed").waitFor();
  await adapter.getByText("Held-out AUC is 0.52; its interval (0.46 to 0.57) includes 0.5.").waitFor();
});

consoleTest("an adapter that passed is promoted, and rolled back", sampleState, async ({ page, state, open }) => {
  await open("models/base%3Akind-2", "Models");
  await page.getByRole("region", { name: "Adapter kind-2" }).getByRole("button", { name: "Promote" }).click();
  const dialog = page.getByRole("dialog", { name: "Promote kind-2?" });
  await dialog.getByLabel("Reason").fill("Better in every way.");
  await dialog.getByRole("button", { name: "Promote" }).click();
  await dialog.waitFor({ state: "detached" });
  const current = page.getByRole("region", { name: "Current model" });
  await current.getByText("kind-2", { exact: true }).waitFor();
  assertEquals(promotions(state), [{ model: "base:kind-2", reason: "Better in every way." }]);
  await page.getByRole("region", { name: "Changes" }).getByText("Better in every way.").waitFor();
  await current.getByRole("button", { name: "Roll back" }).click();
  const back = page.getByRole("dialog", { name: "Roll back to base:kind-1?" });
  await back.getByLabel("Reason").fill("It talks too much.");
  await back.getByRole("button", { name: "Roll back" }).click();
  await current.getByText("kind-1", { exact: true }).waitFor();
  assertEquals([state.promotions.at(-1)!.kind, state.promotions.at(-1)!.reason], [
    "rollback",
    "It talks too much.",
  ]);
});

consoleTest("an adapter shows length, refusals and agreement before and after", sampleState, async ({ page, open }) => {
  await open("models/base%3Akind-1", "Models");
  const card = page.getByRole("region", { name: "Adapter kind-1" });
  const told = [
    "before 24.0 tokens, after 31.2 tokens",
    "before 6 of 64, after 2 of 64",
    "before 7 of 12, after 9 of 12",
  ];
  for (const text of told) await card.getByText(text).waitFor({ state: "attached" });
});

consoleTest(
  "an adapter that failed the gate takes a reason and a second yes",
  sampleState,
  async ({ page, state, open }) => {
    await open("models/base%3Aflat-1", "Models");
    const promote = page.getByRole("region", { name: "Adapter flat-1" }).getByRole("button", { name: "Promote" });
    await promote.click();
    const dialog = page.getByRole("dialog", { name: "Promote flat-1?" });
    await dialog.getByText("includes 0.5").waitFor();
    const override = dialog.getByRole("button", { name: "Promote all the same" });
    assertEquals(await override.isDisabled(), true, "no reason was needed");
    await dialog.getByLabel("Reason").fill("  ");
    assertEquals(await override.isDisabled(), true, "spaces were a reason");
    await dialog.getByLabel("Reason").fill("Shown to one customer only.");
    await override.click();
    const sure = dialog.getByRole("button", { name: "Yes, promote it" });
    await sure.waitFor();
    assertEquals(promotions(state), [], "it was promoted without a second yes");
    await dialog.getByRole("button", { name: "Back" }).click();
    assertEquals(await dialog.getByLabel("Reason").inputValue(), "Shown to one customer only.");
    await override.click();
    await sure.click();
    await dialog.waitFor({ state: "detached" });
    assertEquals(promotions(state), [{
      model: "base:flat-1",
      reason: "Shown to one customer only.",
      override: true,
    }]);
    await page.getByRole("region", { name: "Changes" }).getByText("without the gate").waitFor();
  },
);

consoleTest(
  "where the service finds what the page did not know, its findings are shown and asked about",
  sampleState,
  async ({ page, state, open }) => {
    const adapter = state.adapters.find(({ name }) => name === "flat-1")!, real = adapter.gate;
    adapter.gate = null;
    await open("models/base%3Aflat-1", "Models");
    await page.getByText("The gate has not measured this adapter.").waitFor();
    await page.getByRole("region", { name: "Adapter flat-1" }).getByRole("button", { name: "Promote" }).click();
    adapter.gate = real;
    const dialog = page.getByRole("dialog", { name: "Promote flat-1?" });
    await dialog.getByRole("button", { name: "Promote" }).click();
    await dialog.getByText("includes 0.5").waitFor();
    assertEquals(await dialog.getByRole("button", { name: "Promote all the same" }).isDisabled(), true);
  },
);

consoleTest(
  "traffic is split by weights, and sent only when that is said",
  sampleState,
  async ({ page, state, open }) => {
    await open("models", "Models");
    const traffic = page.getByRole("region", { name: "Traffic of prospect" });
    const row = (name: string) => traffic.getByRole("row", { name });
    await traffic.getByRole("img", { name: /^38\s%\s\(33\s%\sto\s44\s%\)$/ }).waitFor();
    await traffic.getByLabel("Add a model to prospect").selectOption("base:kind-2");
    await traffic.getByLabel("Weight of base", { exact: true }).fill("0");
    await traffic.getByLabel("Weight of base:kind-1").fill("30");
    assertMatch(await row("base:kind-1").innerText(), /75\s%/);
    assertEquals(state.aliases.get("prospect")!.map(({ weight }) => weight), [20, 80], "it was sent too early");
    await traffic.getByRole("button", { name: "Save split" }).click();
    await page.getByText("The split of prospect is kept.").waitFor();
    assertEquals(state.aliases.get("prospect"), [{ model: "base:kind-1", weight: 30 }, {
      model: "base:kind-2",
      weight: 10,
    }]);
  },
);

consoleTest(
  "what clients get is the split, and what is promoted where there is none",
  sampleState,
  async ({ page, open }) => {
    await open("models", "Models");
    const current = page.getByRole("region", { name: "Current model" });
    await current.getByText(/^base 20\s%, kind-1 80\s%$/).waitFor();
    await current.getByText(/^as split below; promoted is kind-1, since/).waitFor();
    const traffic = page.getByRole("region", { name: "Traffic of prospect" });
    await traffic.getByLabel("Weight of base", { exact: true }).fill("0");
    await traffic.getByRole("button", { name: "Save split" }).click();
    await current.getByText("kind-1", { exact: true }).waitFor();
  },
);

consoleTest(
  "traffic says which model is liked better, whose thumbs these are, and what earlier versions were told",
  sampleState,
  async ({ page, open }) => {
    await open("models", "Models");
    const traffic = page.getByRole("region", { name: "Traffic of prospect" });
    const row = traffic.getByRole("row", { name: "base:kind-1" }).first();
    await row.getByText("Better", { exact: true }).waitFor();
    await row.getByText("of 68 people", { exact: true }).waitFor();
    await row.getByText("to 262 people", { exact: true }).waitFor();
    assertEquals(await traffic.getByLabel("Weight of base:kind-1").count(), 1);
    await traffic.getByText("1 earlier version").click();
    const earlier = traffic.getByRole("table").nth(1).getByRole("row", { name: /files b026324c, on tiny@5d41402a/ });
    await earlier.getByText("Cannot tell yet", { exact: true }).waitFor();
    await earlier.getByText("of 17 people", { exact: true }).waitFor();
  },
);

consoleTest("a deleted adapter is gone from the tree", sampleState, async ({ page, state, open }) => {
  await open("models/base%3Aterse", "Models");
  await page.getByRole("region", { name: "Adapter terse" }).getByRole("button", { name: "Delete" }).click();
  await page.getByRole("dialog", { name: "Delete terse?" }).getByRole("button", { name: "Delete" }).click();
  await page.getByText("terse is deleted.").waitFor();
  await page.getByRole("link", { name: /^terse/ }).waitFor({ state: "detached" });
  assert(!state.adapters.some(({ name }) => name === "terse"));
});

consoleTest("before the first run the page says where to begin", emptyState, async ({ page, open }) => {
  await open("models", "Models");
  await page.getByRole("region", { name: "Current model" }).getByText("base", { exact: true }).waitFor();
  await page.getByRole("link", { name: "Start a run" }).click();
  await page.getByRole("heading", { name: "New run" }).waitFor();
});

consoleTest("an adapter of another base is shown, but not offered for promotion", () => {
  const state = sampleState();
  state.adapters[3]!.fits = false;
  return state;
}, async ({ page, open }) => {
  await open("models/base%3Aterse", "Models");
  const adapter = page.getByRole("region", { name: "Adapter terse" });
  await adapter.getByText("It was trained on another base model").waitFor();
  await adapter.getByRole("button", { name: "Delete" }).waitFor();
  assertStrictEquals(await adapter.getByRole("button", { name: "Promote" }).count(), 0);
});
