// The runs page in a browser: starting runs, watching one live, cancelling.

import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { consoleTest } from "./browser.ts";
import { emptyState, sampleState } from "./sample.ts";
import { giveThumb } from "./stand_in_feedback.ts";
import { takeStep, tell } from "./stand_in_runs.ts";

consoleTest(
  "a run from labels is started with what was filled in, and nothing else",
  sampleState,
  async ({ page, state, open }) => {
    for (const thumb of state.thumbs.filter(({ label }) => label).slice(0, 3)) thumb.tags = ["tone"];
    await open("runs", "Runs");
    await page.getByRole("link", { name: "New run" }).click();
    await page.getByRole("heading", { name: "New run" }).waitFor();
    await page.getByText("34 rows").waitFor();
    await page.getByLabel("Tag").fill("tone");
    await page.getByText("12 rows").waitFor();
    await page.getByLabel("Greatest age in days").fill("30");
    await page.getByLabel("Drop stale rows").fill("0.5");
    await page.getByLabel("Start from").selectOption("base:kind-1");
    const name = page.getByLabel("Name");
    for (const [text, valid] of [["two words", false], ["v1.2-b_c", true], ["-a", false], ["kinder", true]] as const) {
      await name.fill(text);
      assertStrictEquals(await name.evaluate((field) => (field as HTMLInputElement).checkValidity()), valid, text);
    }
    await page.getByLabel("Seed").fill("7");
    await page.getByLabel("Epochs").fill("2");
    await page.getByLabel("Learning rate").fill("0.002");
    await page.getByRole("button", { name: "Train" }).click();
    await page.getByRole("heading", { name: "kinder" }).waitFor();
    assertEquals(state.received.at(-1), {
      request: "POST /v1/fine_tuning/jobs",
      body: {
        training_file: "labels",
        model: "base:kind-1",
        method: { type: "kto", kto: { hyperparameters: { n_epochs: 2, learning_rate: 0.002 } } },
        suffix: "kinder",
        seed: 7,
        labels: { tag: "tone", max_age_days: 30, drop_contradictions: true, drop_stale: 0.5 },
      },
    });
    await page.getByText("Queued, place 2").waitFor();
  },
);

consoleTest("a run from a file uploads the file first", emptyState, async ({ page, state, open }) => {
  await open("runs/new", "New run");
  await page.getByLabel("A file").check();
  const text = '{"prompt":"a","completion":"b","label":true}\n';
  await page.getByLabel("Feedback file").setInputFiles({ name: "rows.jsonl", mimeType: "", buffer: Buffer.from(text) });
  await page.getByRole("button", { name: "Train" }).click();
  await page.getByRole("button", { name: "Cancel run" }).waitFor();
  const [upload, job] = state.received;
  assertEquals(upload!.body, { filename: "rows.jsonl", bytes: text.length, purpose: "fine-tune", content: text });
  const { training_file, ...rest } = job!.body as Record<string, unknown>;
  assertMatch(String(training_file), /^file-/);
  assertEquals(rest, { model: "base", method: { type: "kto", kto: { hyperparameters: {} } } });
});

consoleTest(
  "there is nothing to press where there is nothing to train on, and the reason stands beside it",
  emptyState,
  async ({ page, state, open }) => {
    await open("runs/new", "New run");
    const train = page.getByRole("button", { name: "Train" });
    await page.getByText("There are no thumbs to train on").waitFor();
    assertEquals(await train.isDisabled(), true);
    Object.assign(state, { answers: sampleState().answers });
    for (const { id } of state.answers.slice(0, 3)) giveThumb(state, { completion_id: id, label: true });
    await page.reload();
    await page.getByText("All thumbs are up: training learns from the difference").waitFor();
    assertEquals(await train.isDisabled(), true);
    giveThumb(state, { completion_id: state.answers[4]!.id, label: false });
    await page.reload();
    await page.getByText("4 rows").waitFor();
    await page.waitForFunction(() => document.querySelector("button.primary:enabled") !== null);
    await page.getByLabel("A file").check();
    await page.getByText("Choose a file first.").waitFor();
    assertEquals(await train.isDisabled(), true);
  },
);

consoleTest(
  "without a trainer the runs page says when one was last seen, and runs wait instead of running",
  sampleState,
  async ({ page, state, open }) => {
    state.trainerSilence = 200;
    for (const run of state.runs.slice(0, 2)) run.notice = "No trainer has been seen for 200 s: the job waits.";
    // A browser whose clock is an hour slow.
    await page.addInitScript(() => {
      const now = Date.now;
      Date.now = () => now() - 3_600_000;
    });
    await open("runs", "Runs");
    await page.getByText("The last one was seen 3 min 20 s ago.").waitFor();
    const row = page.getByRole("row", { name: /^kind-3 / });
    await row.getByText("Waiting for a trainer").waitFor();
    await row.getByText("stands still").waitFor();
    assertStrictEquals(await row.getByText(/ left$/).count(), 0, "nobody works towards that end");
    await open("runs/ftjob-running", "kind-3");
    await page.getByText("Waiting for a trainer").waitFor();
    for (const run of state.runs) run.notice = null;
    await page.getByText("Running", { exact: true }).waitFor();
    state.trainerSilence = null;
    await open("runs/new", "New run");
    await page.getByText("None has been seen yet.").waitFor();
  },
);

consoleTest("a refusal stays on the form, with what was filled in", sampleState, async ({ page, open }) => {
  await open("runs/new", "New run");
  await page.route("**/v1/fine_tuning/jobs", (route) => {
    const error = {
      message: "There are no labels to train on yet; press some thumbs first.",
      type: "",
      param: null,
      code: null,
    };
    return route.fulfill({ status: 409, json: { error } });
  });
  await page.getByLabel("Epochs").fill("5");
  await page.getByRole("button", { name: "Train" }).click();
  await page.getByRole("alert").getByText("press some thumbs first").waitFor();
  assertEquals(await page.getByLabel("Epochs").inputValue(), "5");
});

consoleTest("a run that nobody works on says so until somebody does", sampleState, async ({ page, state, open }) => {
  const run = state.runs.find(({ id }) => id === "ftjob-running")!;
  run.notice = "No trainer has been seen for 42 s: the job waits.";
  await open("runs/ftjob-running", run.suffix ?? run.id);
  const notice = page.getByText("seen for 42 s");
  await notice.waitFor();
  run.notice = null;
  await notice.waitFor({ state: "detached" });
});

consoleTest("a run is watched live, from its first step to its verdict", sampleState, async ({ page, state, open }) => {
  const run = state.runs.find(({ id }) => id === "ftjob-running")!;
  Object.assign(run, { events: [], step: 0 });
  await open("runs/ftjob-running", "kind-3");
  await page.getByText("Curves appear with the first step.").waitFor();
  for (let step = 0; step < 30; step++) takeStep(run);
  for (const title of ["Loss", "Rewards", "Margin", "Reference point z0", "Held-out AUC", "Learning rate"]) {
    await page.getByRole("img", { name: `${title} over` }).locator("canvas").waitFor();
  }
  await page.getByRole("img", { name: "Loss over 30 points" }).waitFor();
  await page.getByRole("img", { name: "Held-out AUC over 1 points" }).waitFor();
  await page.getByText("Training: 30 of 120 steps").waitFor();
  await page.getByText("about 45 s left").waitFor();
  while (run.step < run.steps) takeStep(run);
  tell(run, "message", "The adapter kind-3 is in the registry.");
  Object.assign(run, {
    status: "succeeded",
    fine_tuned_model: "base:kind-3",
    finished_at: run.started_at! + 90,
    gate: state.adapters[1]!.gate,
  });
  await page.getByRole("img", { name: "Loss over 120 points" }).waitFor();
  await page.getByText("Succeeded").waitFor();
  await page.getByRole("log").getByText("The adapter kind-3 is in the registry.").waitFor();
  await page.getByText("Gate passed").waitFor();
  assertStrictEquals(await page.getByRole("log").getByText("Held-out rows were scored.").count(), 0);
  assertStrictEquals(await page.getByRole("button", { name: "Cancel run" }).count(), 0);
  assertEquals(
    await page.getByRole("link", { name: "Look at the model" }).getAttribute("href"),
    "#/models/base%3Akind-3",
  );
});

consoleTest("a run is cancelled only once that was confirmed", sampleState, async ({ page, state, open }) => {
  const run = state.runs.find(({ id }) => id === "ftjob-running")!;
  await open("runs/ftjob-running", "kind-3");
  const cancel = page.getByRole("button", { name: "Cancel run" });
  await cancel.click();
  await page.getByRole("button", { name: "Let it run" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assertEquals(run.status, "running");
  await cancel.click();
  await page.getByRole("button", { name: "Cancel the run" }).click();
  await page.getByText("Cancelled", { exact: true }).waitFor();
  assertEquals(run.status, "cancelled");
});

consoleTest(
  "the list shows states, places in the queue, progress and why a run failed, and follows them",
  sampleState,
  async ({ page, state, open }) => {
    await open("runs", "Runs");
    const row = (name: string) => page.getByRole("row", { name: new RegExp(`^${name} `) });
    await row("support-only").getByText("Queued, place 1").waitFor();
    await row("kind-3").getByText("Training: 78 of 120 steps").waitFor();
    await row("ftjob-broken").getByText("rows.jsonl:13").waitFor();
    assertMatch(await row("kind-2").innerText(), /Succeeded.*412 rows.*3 min 34 s.*0\.79\s+0\.73 to 0\.84.*Passed/s);
    state.runs.find(({ id }) => id === "ftjob-running")!.status = "cancelled";
    await row("kind-3").getByText("Cancelled").waitFor();
  },
);

consoleTest("files of a run are saved under their names", sampleState, async ({ page, open }) => {
  await open("runs/ftjob-kind-2", "kind-2");
  const coming = page.waitForEvent("download");
  await page.getByRole("button", { name: "metrics.jsonl" }).click();
  const download = await coming;
  assertEquals(download.suggestedFilename(), "metrics.jsonl");
  assertEquals(await Deno.readTextFile(await download.path()), "the content of file-metrics.jsonl");
});
