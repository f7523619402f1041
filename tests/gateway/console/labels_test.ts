// The labels page in a browser: the list of thumbs, the queue and its keys, files, and the quality of the data.

import { assert, assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { consoleTest } from "./browser.ts";
import { sampleState, waitingState } from "./sample.ts";

consoleTest(
  "the queue is judged from the keyboard alone, and goes back as well as on",
  () => waitingState(8),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    const before = state.thumbs.length, ids = state.answers.slice(0, 8).map(({ id }) => id);
    const at = (place: number) => page.getByText(`${place} of 8`, { exact: true }).waitFor();
    const judged = () =>
      state.thumbs.slice(0, state.thumbs.length - before).map(({ completion_id, label }) => [completion_id, label]);
    await at(1);
    for (const [key, place] of [["j", 2], ["ArrowDown", 3], ["k", 2], ["ArrowUp", 1], ["k", 1]] as const) {
      await page.keyboard.press(key);
      await at(place);
    }
    assertEquals(judged(), [], "moving gave a thumb");
    await page.keyboard.press("u");
    await at(2);
    await page.keyboard.press("d");
    await at(3);
    await page.getByRole("list", { name: "Waiting answers" }).getByText("Down").waitFor();
    assertEquals(judged(), [[ids[1], false], [ids[0], true]]);
    await page.keyboard.press("k");
    await at(2);
    await page.keyboard.press("d");
    await page.getByRole("button", { name: "Thumb down: this answer", pressed: false }).waitFor();
    assertEquals(judged(), [[ids[0], true]]);
    const shown = await page.getByRole("list", { name: "Keys" }).innerText();
    assertEquals(shown.split(/\s+/), [
      "j",
      "↓",
      "next",
      "k",
      "↑",
      "previous",
      "u",
      "thumb",
      "up",
      "d",
      "thumb",
      "down",
    ]);
  },
);

consoleTest(
  "letters that are typed into a field are no thumbs",
  () => waitingState(8),
  async ({ page, state, open }) => {
    await open("labels/queue", "Labels");
    const before = state.thumbs.length;
    await page.getByText("1 of 8", { exact: true }).waitFor();
    await page.keyboard.press("d");
    await page.getByText("2 of 8", { exact: true }).waitFor();
    await page.keyboard.press("k");
    await page.getByRole("button", { name: "Say why, or correct it" }).click();
    await page.getByLabel("Reason").pressSequentially("dull, jumbled, muddled");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("Kept.").waitFor();
    assertEquals([state.thumbs.length, state.thumbs[0]!.reason], [before + 1, "dull, jumbled, muddled"]);
    await page.getByText("1 of 8", { exact: true }).waitFor();
  },
);

consoleTest("thumbs are filtered and paged", () => sampleState(0), async ({ page, open }) => {
  await open("labels", "Labels");
  const rows = page.getByRole("row");
  const holds = (count: number) =>
    page.waitForFunction((count) => document.querySelectorAll("tbody tr").length === count, count);
  await holds(20);
  await page.getByRole("button", { name: "Older" }).click();
  await holds(14);
  await page.getByText("Page 2").waitFor();
  assertEquals(await page.getByRole("button", { name: "Older" }).isDisabled(), true);
  await page.getByRole("button", { name: "Newer" }).click();
  await holds(20);
  await page.getByLabel("Label", { exact: true }).selectOption("Thumbs down");
  await holds(9);
  await page.getByLabel("Person").fill("ada");
  await holds(3);
  assertMatch(await rows.nth(1).innerText(), /Down.*refund.*Rude, and no help at all/s);
  await page.getByLabel("Tag").fill("nothing has it");
  await page.getByRole("heading", { name: "No thumbs here" }).waitFor();
  await page.getByRole("button", { name: "Clear" }).click();
  await holds(20);
  await page.getByLabel("Asked as").selectOption("base:kind-1");
  await holds(6);
});

consoleTest(
  "a thumb that is taken back can be put back as it was, and its history tells of it",
  () => sampleState(0),
  async ({ page, state, open }) => {
    await open("labels", "Labels");
    const row = page.getByRole("row").nth(2), thumb = state.thumbs[1]!;
    await row.getByText("Can I get a refund").waitFor();
    await row.getByRole("button", { name: "Take back" }).click();
    await page.getByText("The thumb is taken back.").waitFor();
    assert(!state.thumbs.some(({ id }) => id === thumb.id));
    await page.getByRole("button", { name: "Put it back" }).click();
    await page.getByRole("row").nth(1).getByText("Can I get a refund").waitFor();
    const again = state.thumbs[0]!;
    for (const field of ["completion_id", "end_user", "label", "reason", "tags", "correction"] as const) {
      assertEquals(again[field], thumb[field], field);
    }
    state.history.push({ ...again, kind: "replaced", label: true, at: Date.now(), reason: "Changed my mind." });
    await page.getByRole("row").nth(1).getByRole("button", { name: "History" }).click();
    const dialog = page.getByRole("dialog", { name: "History of a thumb" });
    await dialog.getByText("Changed my mind.").waitFor();
    assertEquals(await dialog.getByRole("listitem").count(), 2);
    assertMatch(
      await dialog.getByRole("list").innerText(),
      /Changed: up by grace .*Changed my mind.*Given: down by grace /s,
    );
    await page.keyboard.press("Escape");
    await dialog.waitFor({ state: "detached" });
  },
);

consoleTest("files of thumbs go in and out", () => sampleState(0), async ({ page, state, open }) => {
  await open("labels", "Labels");
  const lines = [{ prompt: "a", completion: "b", label: true }, { prompt: "a", completion: "c", label: false }];
  const text = lines.map((line) => JSON.stringify(line)).join("\n");
  await page.getByLabel("File to import").setInputFiles({
    name: "thumbs.jsonl",
    mimeType: "",
    buffer: Buffer.from(text),
  });
  await page.getByText("2 rows taken in: 1 up, 1 down.").waitFor();
  assertStrictEquals(state.received.at(-1)!.body, text);
  await page.getByLabel("Label", { exact: true }).selectOption("Thumbs down");
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const download = await coming;
  assertEquals(download.suggestedFilename(), "feedback.jsonl");
  const rows = (await Deno.readTextFile(await download.path())).split("\n").map((line) => JSON.parse(line));
  assertEquals([rows.length, rows.some(({ label }) => label)], [9, false], "the filter was not the export's");
});

consoleTest("the quality of the data is told in numbers and examples", () => sampleState(0), async ({ page, open }) => {
  await open("labels/quality", "Labels");
  await page.getByText("34 rows", { exact: true }).waitFor();
  const numberOf = (name: string) => page.getByRole("region", { name, exact: true }).innerText();
  assertMatch(await numberOf("Balance"), /thumb up 1 and a thumb down 1\.33.*25.*74.*26.*9/s);
  assertMatch(await numberOf("Contradictions"), /^1\s/);
  assertMatch(await numberOf("Near duplicates"), /^7\s/);
  assertMatch(await numberOf("Stale rows"), /0\.5 nats\s+3\s+8\.8/);
  await page.getByRole("region", { name: "Contradictions, some of them" }).getByText("How do I reset my password?")
    .waitFor();
  await page.getByLabel("Asked as").selectOption("base:kind-1");
  await page.getByText("6 rows", { exact: true }).waitFor();
});
