// The console as a whole in a browser: keys of the API, the keyboard, light and dark, phones, accessibility.

import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { assertAccessible, assertFits, type Console, consoleTest } from "./browser.ts";
import { emptyState, sampleState } from "./sample.ts";

/** Every view, its heading, and something that is there once it is loaded. */
const views: [route: string, heading: string, loaded: (page: Page) => Promise<unknown>][] = [
  ["playground", "Playground", (page) => page.getByRole("textbox", { name: "Message" }).waitFor()],
  ["playground/compare", "Playground", (page) => page.getByRole("textbox", { name: "Message" }).waitFor()],
  ["labels", "Labels", (page) => page.getByText("How do I reset my password?").first().waitFor()],
  ["labels/queue", "Labels", (page) => page.getByText(/^1 of \d+$/).waitFor()],
  ["labels/quality", "Labels", (page) => page.getByText("Stale rows").waitFor()],
  ["runs", "Runs", (page) => page.getByText("kind-3").waitFor()],
  ["runs/new", "New run", (page) => page.getByText("Weights would be").waitFor()],
  ["runs/ftjob-running", "kind-3", (page) => page.getByRole("img", { name: "Held-out AUC over" }).waitFor()],
  ["runs/ftjob-kind-2", "kind-2", (page) => page.getByRole("button", { name: "metrics.jsonl" }).waitFor()],
  ["models", "Models", (page) => page.getByText("Found good").first().waitFor()],
];

async function inEveryView({ page, open }: Console, check: (page: Page, where: string) => Promise<void>) {
  for (const [route, heading, loaded] of views) {
    await open(route, heading);
    await loaded(page);
    await check(page, route);
  }
}

/** A conversation with a thumb and its reason open, and a dialog over a page: what the views do not show by themselves. */
async function inBetween({ page, open }: Console, check: (page: Page, where: string) => Promise<void>) {
  await open("playground", "Playground");
  await page.getByRole("textbox", { name: "Message" }).fill("Hello?");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Thumb down: answer 1" }).click();
  await page.getByRole("button", { name: "Say why, or correct it" }).click();
  await check(page, "a reason");
  await open("models/base%3Aflat-1", "Models");
  await page.getByRole("region", { name: "Adapter flat-1" }).getByRole("button", { name: "Promote" }).click();
  await page.getByRole("dialog").waitFor();
  await check(page, "a dialog");
}

for (const colorScheme of ["light", "dark"] as const) {
  consoleTest(`axe finds nothing on any page, ${colorScheme}`, sampleState, async (console) => {
    await inEveryView(console, assertAccessible);
    await inBetween(console, assertAccessible);
  }, { colorScheme, reducedMotion: "reduce" });
}

consoleTest("every page fits a phone of 360 pixels", sampleState, async (console) => {
  await inEveryView(console, assertFits);
  await inBetween(console, assertFits);
}, { viewport: { width: 360, height: 740 } });

consoleTest("a gateway without anything in it is shown without a fault", emptyState, async ({ page, open }) => {
  for (
    const [route, heading, said] of [
      ["labels", "Labels", "No thumbs here"],
      ["labels/queue", "Labels", "Nothing waits"],
      ["labels/quality", "Labels", "No thumbs here"],
      ["runs", "Runs", "No runs yet"],
      ["models", "Models", "Nothing was trained yet."],
    ] as const
  ) {
    await open(route, heading);
    await page.getByText(said).waitFor();
    await assertAccessible(page, route);
  }
});

consoleTest(
  "a key is asked for once, sent with every request, and gone with the tab",
  () => ({ ...sampleState(), keyNeeded: true }),
  async ({ page, open }) => {
    await page.goto("/#/models");
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("API key").fill("wrong");
    await dialog.getByRole("button", { name: "Use this key" }).click();
    await page.getByRole("dialog", { name: "This key was refused" }).waitFor();
    await dialog.getByLabel("API key").fill("secret");
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Lineage" }).waitFor();
    await page.getByRole("region", { name: "Traffic of prospect" }).waitFor();
    await open("runs/ftjob-running", "kind-3");
    await page.getByRole("img", { name: "Loss over" }).waitFor();
    assertStrictEquals(await dialog.count(), 0);
    await page.reload();
    await page.getByRole("img", { name: "Loss over" }).waitFor();
    assertEquals(await page.evaluate(() => sessionStorage.length), 1);
    assert(!(await page.evaluate(() => JSON.stringify(localStorage))).includes("secret"));
  },
);

consoleTest(
  "a person who declines to give a key is not asked again until they want to",
  () => ({ ...sampleState(), keyNeeded: true }),
  async ({ page, open }) => {
    await page.goto("/#/runs");
    const dialog = page.getByRole("dialog", { name: "An API key is needed" });
    await dialog.waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("alert").getByText("A valid API key is needed.").waitFor();
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("link", { name: "Models" }).click();
    await page.getByRole("alert").first().waitFor();
    assertStrictEquals(await dialog.count(), 0);
    await page.getByRole("button", { name: "API key" }).click();
    await dialog.getByLabel("API key").fill("secret");
    await page.keyboard.press("Enter");
    await page.getByRole("region", { name: "Lineage" }).waitFor();
    await open("runs", "Runs");
    await page.getByText("kind-3").waitFor();
  },
);

consoleTest("the switch turns the colours, plots too, and is kept", sampleState, async ({ page, open }) => {
  await open("runs/ftjob-kind-2", "kind-2");
  const canvas = page.getByRole("img", { name: "Loss over" }).locator("canvas");
  await canvas.waitFor();
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const painted = () => canvas.evaluate((canvas) => (canvas as HTMLCanvasElement).toDataURL());
  const [light, drawn] = [await background(), await painted()];
  await page.getByRole("button", { name: "Dark" }).click();
  const dark = await background();
  assertNotStrictEquals(dark, light);
  assertNotStrictEquals(await painted(), drawn, "the plot was not painted anew");
  await page.reload();
  assertStrictEquals(await background(), dark);
  await page.getByRole("button", { name: "As the system" }).click();
  assertStrictEquals(await background(), light);
});

consoleTest(
  "the keyboard reaches the page past the navigation, and stays in a dialog until Escape",
  sampleState,
  async ({ page, open }) => {
    await open("models/base%3Akind-2", "Models");
    const promote = page.getByRole("region", { name: "Adapter kind-2" }).getByRole("button", { name: "Promote" });
    await promote.waitFor();
    await page.keyboard.press("Tab");
    const focused = () =>
      page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim());
    assertEquals(await focused(), "Skip to the page");
    await page.keyboard.press("Enter");
    assertEquals(await focused(), "main");
    await promote.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    for (let press = 0; press < 8; press++) {
      await page.keyboard.press("Tab");
      const where = await page.evaluate(() =>
        document.activeElement === document.body || document.activeElement?.closest("dialog") !== null
      );
      assert(where, "the focus left the dialog");
    }
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    assertEquals(await focused(), "Promote");
  },
);

consoleTest("a gateway that is gone is told, and found again", sampleState, async ({ page, open }) => {
  await page.route("**/v1/registry", (route) => route.fulfill({ status: 409, body: "no JSON" }));
  await page.goto("/#/models");
  await page.getByText("The gateway answered 409 to GET /v1/registry.").waitFor();
  await page.unroute("**/v1/registry");
  await page.getByRole("button", { name: "Try again" }).click();
  await page.getByRole("region", { name: "Lineage" }).waitFor();
  await open("runs", "Runs");
});
