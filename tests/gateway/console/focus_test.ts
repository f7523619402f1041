// Where the focus goes in a browser: into what opens, back to what opened it, to what stands in the place of what goes
// away; and never to the body.

import { assertEquals, assertNotEquals, assertStrictEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { assertAccessible, consoleTest } from "./browser.ts";
import { sampleState } from "./sample.ts";

/** The name of what has the focus; "" is the body. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const { activeElement } = document;
    if (!activeElement || activeElement === document.body) return "";
    const label = (activeElement as HTMLInputElement).labels?.[0]?.textContent;
    return activeElement.getAttribute("aria-label") ?? label ?? activeElement.textContent!.trim();
  });

/** Every dialog: where it is opened, by what, what it is called and where its focus goes. */
const dialogs: [route: string, heading: string, opener: RegExp | string, dialog: string | RegExp, first: string][] = [
  ["labels", "Labels", "History", "History of a thumb", "History of a thumb"],
  ["runs/ftjob-running", "kind-3", "Cancel run", "Cancel this run?", "Let it run"],
  ["models/base%3Akind-2", "Models", "Promote", "Promote kind-2?", "Reason"],
  ["models/base%3Aflat-1", "Models", "Promote", "Promote flat-1?", "Reason"],
  ["models/base%3Akind-2", "Models", "Delete", "Delete kind-2?", "Keep it"],
  ["models", "Models", "Roll back", /^Roll back to/, "Reason"],
  ["playground", "Playground", /^Judging as/, "Who judges?", "Your name"],
];

consoleTest(
  "a dialog gives the focus to the first thing to do, closes on Escape and gives it back to what opened it",
  sampleState,
  async ({ page, open }) => {
    for (const [route, heading, opener, name, first] of dialogs) {
      await open(route, heading);
      const button = page.getByRole("button", { name: opener, exact: typeof opener === "string" }).first();
      const opens = await button.getAttribute("aria-label") ?? (await button.innerText()).trim();
      await button.click();
      const dialog = page.getByRole("dialog", { name });
      await dialog.waitFor();
      assertStrictEquals(await focused(page), first, `${opens} on ${route}`);
      await assertAccessible(page, `the dialog of ${opens}`);
      await page.keyboard.press("Escape");
      await dialog.waitFor({ state: "detached" });
      assertStrictEquals(await focused(page), opens, `after ${opens} on ${route}`);
    }
  },
);

consoleTest(
  "a thumb keeps the focus while it is kept, and so does what is left of a form that closes",
  sampleState,
  async ({ page, open }) => {
    await open("playground", "Playground");
    await page.getByRole("textbox", { name: "Message" }).fill("Hello?");
    await page.keyboard.press("Enter");
    const down = page.getByRole("button", { name: "Thumb down: answer 1" });
    await down.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Thumb down: answer 1", pressed: true }).waitFor();
    assertEquals(await focused(page), "Thumb down: answer 1");
    await page.getByRole("button", { name: "Say why, or correct it" }).press("Enter");
    await page.waitForFunction(() => document.activeElement?.tagName === "INPUT");
    assertEquals(await focused(page), "Reason");
    await page.keyboard.type("Too short.");
    await page.getByRole("button", { name: "Save" }).press("Enter");
    await page.getByText("Kept.").waitFor();
    assertEquals(await focused(page), "Edit the reason");
    await page.getByRole("button", { name: "New chat" }).press("Enter");
    assertEquals(await focused(page), "Message");
  },
);

consoleTest(
  "what goes away leaves the focus to what stands in its place",
  () => sampleState(0),
  async ({ page, state, open }) => {
    await open("labels", "Labels");
    await page.getByRole("button", { name: "Take back" }).nth(2).press("Enter");
    await page.getByText("The thumb is taken back.").waitFor();
    await page.waitForFunction(() => document.activeElement !== document.body);
    assertEquals(await focused(page), "Take back");
    await page.getByRole("button", { name: "Older" }).press("Enter");
    await page.waitForFunction(() => document.querySelector(".pager button:last-child:disabled") !== null);
    assertEquals(await focused(page), "Newer", "the button that can be pressed no more had the focus");
    await page.getByLabel("Tag").fill("tone");
    await page.getByRole("button", { name: "Clear" }).press("Enter");
    assertNotEquals(await focused(page), "");
    await open("runs", "Runs");
    await page.getByRole("link", { name: "kind-3" }).press("Enter");
    await page.getByRole("heading", { name: "kind-3" }).waitFor();
    assertNotEquals(await focused(page), "");
    await open("models/base%3Aterse", "Models");
    await page.getByRole("button", { name: "Delete" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Delete" }).press("Enter");
    await page.getByText("terse is deleted.").waitFor();
    await page.getByRole("link", { name: /^terse/ }).waitFor({ state: "detached" });
    assertNotEquals(await focused(page), "");
    assertEquals(state.adapters.length, 3);
  },
);
