// The whole loop as a person goes through it: a browser on the address of `deno task serve`, from the first question to
// the answer of the tuned model.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { startTask, withFolder } from "../commands/run_task.ts";
import { assertAccessible, browserTest, withPage } from "./console/browser.ts";
import { freePort, untilReady } from "./gateway_process.ts";

const question = "What is the opposite of hot?";

/** Rows of the embedded feedback that stand for the thumbs of others: enough for a gate that can be passed. */
const others = 700;

/** What there is to train on in the end, three thumbs and a correction more. */
const rows = others + 4;

/** Hands out the address of a server over a new folder, which holds the thumbs of others, and ends it after. */
async function withServer(use: (address: string) => Promise<void>): Promise<void> {
  await withFolder(async (folder) => {
    const port = freePort(), address = `http://127.0.0.1:${port}`;
    const args = ["--port", port, "--data-dir", join(folder, "data"), "--workers", 1, "--train-workers", 2];
    const running = startTask("serve", args, { cache: join(folder, "cache") });
    try {
      await running.sees(`Listening on ${address} `, 1);
      await untilReady(address, running);
      const given = Deno.readTextFileSync(join(embeddedModelFolder, "feedback.jsonl")).split("\n").slice(0, others);
      const imported = await fetch(`${address}/v1/feedback/import`, { method: "POST", body: given.join("\n") });
      assertEquals(imported.status, 201, await imported.text());
      await use(address);
    } finally {
      running.process.kill("SIGTERM");
      const { code, stderr } = await running.ended;
      assertStrictEquals(code, 0, stderr.split("\n").slice(-5).join("\n"));
    }
  });
}

/** What a model says to a question where nothing is left to chance. */
async function greedy(address: string, model: string, question: string): Promise<string> {
  const response = await fetch(`${address}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ model, messages: [{ role: "user", content: question }], temperature: 0 }),
  });
  return (await response.json()).choices[0].message.content;
}

/** A question that the two models answer differently. */
async function tellingQuestion(address: string): Promise<string> {
  for (const country of ["France", "Norway", "Spain", "Italy", "Japan", "Nepal", "Peru", "Egypt"]) {
    const question = `What is the capital of ${country}?`;
    if (await greedy(address, "base", question) !== await greedy(address, "base:first", question)) return question;
  }
  throw new Error("the tuned model answers everything as the base does");
}

async function ask(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Message" }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

async function goTo(page: Page, link: string, heading = link): Promise<void> {
  await page.getByRole("link", { name: link, exact: true }).click();
  await page.getByRole("heading", { level: 1, name: heading }).waitFor();
}

async function press(page: Page, thumb: string): Promise<void> {
  await page.getByRole("button", { name: thumb }).click();
  await page.getByRole("button", { name: thumb, pressed: true }).waitFor();
}

async function chatAndJudge(page: Page): Promise<void> {
  await page.goto("/");
  await page.getByLabel("Temperature").fill("0");
  await ask(page, question);
  await page.getByRole("button", { name: "Thumb down: answer 1" }).click();
  await page.getByLabel("Your name").fill("ann");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Thumb down: answer 1", pressed: true }).waitFor();
  await page.getByRole("button", { name: "Say why, or correct it" }).click();
  await page.getByLabel("Correction").fill("Sure! The opposite of hot is cold.");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Kept.").waitFor();
  await ask(page, "What is the capital of France?");
  await press(page, "Thumb up: answer 2");
  await ask(page, "What is 7 plus 6?");
  await page.getByRole("button", { name: "Thumb up: answer 3" }).waitFor();
  assertEquals(await page.getByText("asked as prospect").count(), 3);
  await assertAccessible(page, "the playground");

  await goTo(page, "Labels");
  const corrected = page.getByRole("row").filter({ hasText: question });
  await corrected.getByText("Sure! The opposite of hot is cold.").first().waitFor();
  await assertAccessible(page, "the labels");
  await page.getByRole("link", { name: "Queue" }).click();
  await page.getByText("1 of 1", { exact: true }).waitFor();
  await assertAccessible(page, "the queue");
  await page.keyboard.press("u");
  await page.getByText("You have judged the one answer that waited.").waitFor();
  await page.getByRole("link", { name: "Quality" }).click();
  await page.getByText(`${rows} rows`, { exact: true }).waitFor();
  await assertAccessible(page, "the quality");
}

async function trainAndWatch(page: Page): Promise<void> {
  await goTo(page, "Runs");
  await goTo(page, "New run");
  await page.getByText(`${rows} rows`).waitFor();
  await page.getByLabel("Name").fill("first");
  await page.getByLabel("Learning rate").fill("0.001");
  await page.getByLabel("Seed").fill("1");
  await assertAccessible(page, "a new run");
  await page.getByRole("button", { name: "Train" }).click();
  await page.getByRole("heading", { level: 1, name: "first" }).waitFor();
  await page.getByRole("img", { name: "Loss over" }).waitFor({ timeout: 60_000 });
  assertEquals(
    await page.getByText("Running", { exact: true }).count(),
    1,
    "the curves came only when the run was over",
  );
  await page.getByRole("link", { name: "Look at the model" }).waitFor({ timeout: 90_000 });
  const label = await page.getByRole("img", { name: "Loss over" }).getAttribute("aria-label");
  const points = Number(/over (\d+) points/.exec(label!)![1]);
  assert(points > 50, `${points} steps are in the curve`);
  assertMatch(await page.getByRole("region", { name: "Gate" }).innerText(), /Gate passed/);
  await assertAccessible(page, "a run");
  await goTo(page, "Runs");
  await page.getByRole("row").filter({ hasText: "first" }).getByText("Passed").waitFor();
  await assertAccessible(page, "the runs");
}

async function compare(page: Page): Promise<void> {
  await goTo(page, "Playground");
  await page.getByRole("link", { name: "Compare" }).click();
  await page.getByLabel("Second model").waitFor();
  await ask(page, question);
  await press(page, "Thumb up: answer A");
  await press(page, "Thumb down: answer B");
  await page.getByRole("button", { name: "Reveal" }).click();
  const shown = ["A", "B"].map((side) => page.getByRole("region", { name: `Answer ${side}` }).locator(".model"));
  const models = await Promise.all(shown.map((model) => model.innerText()));
  assertEquals(models.sort(), ["base", "base:first"]);
  await assertAccessible(page, "a comparison");
}

async function promoteAndAskAgain(page: Page, address: string): Promise<void> {
  await goTo(page, "Models");
  await page.getByRole("region", { name: "Lineage" }).getByRole("link", { name: "first" }).click();
  await page.getByRole("region", { name: "Adapter first" }).getByRole("button", { name: "Promote" }).click();
  const dialog = page.getByRole("dialog", { name: "Promote first?" });
  await dialog.getByRole("button", { name: "Promote" }).click();
  await dialog.waitFor({ state: "detached" });
  await page.getByRole("region", { name: "Current model" }).getByText("first", { exact: true }).waitFor();
  await page.getByRole("region", { name: "Traffic of prospect" }).getByText("base:first").first().waitFor();
  await assertAccessible(page, "the models");

  await goTo(page, "Playground");
  await page.getByRole("button", { name: "New chat" }).click();
  const question = await tellingQuestion(address);
  await ask(page, question);
  const answer = page.getByRole("article");
  await answer.getByText("base:first", { exact: true }).waitFor();
  assertStrictEquals(await answer.locator(".said").innerText(), await greedy(address, "base:first", question));
}

browserTest(
  "a person chats, judges, trains, watches, compares, promotes, and is answered by the tuned model",
  (browser) =>
    withServer((address) =>
      withPage(browser, address, async (page) => {
        await chatAndJudge(page);
        await trainAndWatch(page);
        await compare(page);
        await promoteAndAskAgain(page, address);
      })
    ),
);
