// The queue in a browser: where the focus goes, its end, long queues, and several reviewers.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import type { Page } from "playwright-core";
import { assertFits, consoleTest } from "./browser.ts";
import { sampleState, waitingState } from "./sample.ts";

/** What has the focus, by its name; "" is the body. */
const focused = (page: Page) =>
  page.evaluate(() => {
    const { activeElement } = document;
    if (activeElement === document.body) return "";
    return activeElement?.getAttribute("aria-label") ?? activeElement?.textContent?.trim() ?? "";
  });

const at = (page: Page, place: number, of: number | string) =>
  page.getByText(`${place} of ${of}`, { exact: true }).waitFor();

consoleTest(
  "after a thumb the focus is on the next answer, and at the end on the sentence that nothing is left",
  () => waitingState(3),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    await at(page, 1, 3);
    await page.keyboard.press("u");
    await at(page, 2, 3);
    assertEquals(await focused(page), "Answer 2 of 3");
    await page.getByRole("button", { name: "Thumb down" }).click();
    await at(page, 3, 3);
    assertEquals(await focused(page), "Answer 3 of 3");
    await page.getByRole("button", { name: "Thumb up" }).press("Enter");
    await page.getByRole("heading", { name: "Nothing left" }).waitFor();
    assertEquals(await focused(page), "The end of the queue");
    await page.getByText("You have judged all 3 answers that waited.").waitFor();
    assertEquals(state.thumbs.map(({ label }) => label), [true, false, true]);
  },
);

consoleTest(
  "the thumb on the last answer can be taken back and given again as fast as one can press",
  () => waitingState(1),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    await at(page, 1, 1);
    await page.keyboard.press("u");
    await page.getByRole("heading", { name: "Nothing left" }).waitFor();
    await page.keyboard.press("k");
    await at(page, 1, 1);
    await page.getByRole("button", { name: "Thumb up", pressed: true }).waitFor();
    for (let press = 0; press < 5; press++) await page.keyboard.press("u");
    await page.getByRole("button", { name: "Thumb up", pressed: false }).or(
      page.getByRole("heading", { name: "Nothing left" }),
    ).first().waitFor();
    assertStrictEquals(await page.getByRole("alert").count(), 0, "a press failed");
    assertStrictEquals(await page.getByText("There is no such feedback").count(), 0, "a press failed");
    // Taken back elsewhere, it is taken back here too.
    state.thumbs = [];
    await page.keyboard.press("k");
    await page.keyboard.press("d");
    await page.getByRole("heading", { name: "Nothing left" }).waitFor();
    await page.waitForFunction(() => document.querySelector("ol .mark.down") !== null);
    state.thumbs = [];
    await page.keyboard.press("k");
    await page.getByRole("button", { name: "Thumb down", pressed: true }).click();
    await page.getByRole("button", { name: "Thumb down", pressed: false }).waitFor();
    assertStrictEquals(await page.getByRole("alert").count(), 0);
  },
);

consoleTest(
  "however many answers were judged, the page shows the one that is next and nothing blank below",
  () => waitingState(120),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    await at(page, 1, "50+");
    for (let place = 1; place <= 110; place++) {
      await page.keyboard.press(place % 5 === 0 ? "d" : "u");
      await page.getByText(new RegExp(`^${place + 1} of `)).first().waitFor();
    }
    await at(page, 111, 120);
    await page.waitForFunction(() => document.querySelectorAll("ol .mark svg").length === 110);
    assertEquals(state.thumbs.length, 110);
    const { page: height, window, top } = await page.evaluate(() => ({
      page: document.documentElement.scrollHeight,
      window: innerHeight,
      top: document.querySelector(".focus")!.getBoundingClientRect().top,
    }));
    assert(height < 1.5 * window, `the page is ${height} high in a window of ${window}`);
    assert(top >= 0 && top < window, `the answer is at ${top}`);
    await page.getByRole("list", { name: "Waiting answers" }).evaluate((list) => list.scrollTop = 0);
    await page.getByRole("button", { name: /Up.*How do I reset/ }).first().click();
    await at(page, 1, 120);
  },
);

consoleTest(
  "two reviewers' thumbs on one answer are two, and each may be asked for what only others have judged",
  () => waitingState(2),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    await page.getByLabel("Your name").fill("ann");
    await page.keyboard.press("Enter");
    await at(page, 1, 2);
    await page.keyboard.press("u");
    await at(page, 2, 2);
    await page.getByRole("button", { name: "Judging as ann: change" }).click();
    const dialog = page.getByRole("dialog", { name: "Who judges?" });
    await dialog.getByLabel("Your name").fill("bob");
    await page.keyboard.press("Enter");
    await at(page, 1, 1);
    await page.getByLabel("Judged by").selectOption("Others, or nobody yet");
    await at(page, 1, 2);
    await page.keyboard.press("d");
    await at(page, 2, 2);
    const [first] = state.answers;
    assertEquals(
      state.thumbs.filter(({ completion_id }) => completion_id === first!.id).map(({ end_user, label }) => [
        end_user,
        label,
      ]),
      [["bob", false], ["ann", true]],
    );
    await page.reload();
    await at(page, 1, 1);
    await page.getByRole("button", { name: "Judging as bob: change" }).waitFor();
  },
  { reviewer: "" },
);

consoleTest(
  "a reviewer's key opens the chat and the queue under its owner's name, and says what it does not open",
  () => ({ ...sampleState(), keyNeeded: true }),
  async ({ page, state, open }) => {
    await page.goto("/#/labels/queue");
    await page.getByRole("dialog").getByLabel("API key").fill("annes");
    await page.keyboard.press("Enter");
    await page.getByText("Judging as ann").waitFor();
    await page.getByLabel("Judged by").selectOption("Others, or nobody yet");
    await at(page, 1, 42);
    await page.keyboard.press("u");
    await at(page, 2, 42);
    assertEquals(state.thumbs[0]!.end_user, "ann");
    assertEquals(await page.getByRole("navigation", { name: "Pages" }).getByRole("link").allInnerTexts(), [
      "Playground",
      "Labels",
    ]);
    assertEquals(await page.getByRole("navigation", { name: "Labels" }).getByRole("link").allInnerTexts(), [
      "Thumbs",
      "Queue",
    ]);
    for (const [route, heading] of [["runs", "Runs"], ["models", "Models"], ["labels/quality", "Labels"]] as const) {
      await open(route, heading);
      await page.getByText("It needs a key with the scope admin.").waitFor();
    }
    assertStrictEquals(await page.getByRole("alert").count(), 0);
    assertStrictEquals(await page.getByRole("button", { name: "Export" }).count(), 0);
  },
  { reviewer: "" },
);

consoleTest(
  "a thumb that fails brings its answer back, with the reason there, and the next press is kept",
  () => waitingState(3),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    await at(page, 1, 3);
    const error = { message: "The database is away.", type: "server_error", param: null, code: null };
    await page.route("**/v1/feedback", (route) => route.fulfill({ status: 409, json: { error } }), { times: 1 });
    await page.keyboard.press("u");
    await page.getByRole("region", { name: "Answer 1 of 3" }).getByRole("alert").getByText("The database is away.")
      .waitFor();
    assertEquals(await focused(page), "Answer 1 of 3");
    await page.keyboard.press("u");
    await at(page, 2, 3);
    await page.waitForFunction(() => document.querySelector("ol .mark.up") !== null);
    assertEquals(state.thumbs.length, 1);
  },
);

const longWord = "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(4);

consoleTest("a very long answer, and words without end, keep the queue's layout", () => {
  const state = waitingState(3);
  state.answers[0]!.choices[0]!.content = "A long answer. ".repeat(1400);
  state.answers[0]!.prompt = [{ role: "user", content: longWord }];
  Object.assign(state.answers[1]!, { end_user: longWord, arm: `base:${longWord}`, prompt: longWord });
  state.answers[1]!.choices[0]!.content = longWord;
  return state;
}, async ({ page, open }) => {
  for (const width of [1280, 390]) {
    await page.setViewportSize({ width, height: 800 });
    await open("labels", "Labels");
    await open("labels/queue", "Labels");
    await at(page, 1, 3);
    await assertFits(page, `the long answer at ${width}`);
    await page.evaluate(() => scrollTo(0, document.documentElement.scrollHeight));
    await page.keyboard.press("j");
    await at(page, 2, 3);
    await assertFits(page, `the long word at ${width}`);
    const { top, window } = await page.locator(".focus").evaluate((card) => ({
      top: card.getBoundingClientRect().top,
      window: innerHeight,
    }));
    assert(top >= 0 && top < window, `the next answer is at ${top} in a window of ${window}`);
  }
});
