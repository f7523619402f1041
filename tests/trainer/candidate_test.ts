// From labels to the gate's verdict on the embedded model: sound labels pass, poisoned ones are stopped, and nothing is
// judged on rows that were trained on.

import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { existsSync } from "node:fs";
import { judge } from "../../services/trainer/gate.ts";
import { readHeldOut, readTrainedPrompts } from "../../services/trainer/held_out.ts";
import { measureCandidate } from "../../services/trainer/measure_candidate.ts";
import { parseTrainSettings } from "../../services/trainer/settings.ts";
import { train } from "../../services/trainer/train.ts";
import { InterruptedError } from "../../shared/errors.ts";
import { reportTo } from "../../shared/progress.ts";
import { embeddedFeedback, embeddedModelFolder } from "../../shared/runtime/embedded_model.ts";
import { withFolder } from "../commands/run_task.ts";

interface News {
  events: { name: string; fields: Record<string, unknown> }[];
  lines: string[];
}

function keepNews() {
  const news: News = { events: [], lines: [] };
  const reporter = reportTo({
    event: (name, fields = {}) => news.events.push({ name, fields }),
    line: (text) => news.lines.push(text),
    warn: (text) => news.lines.push(text),
  });
  return { news, reporter };
}

/** Runs with a cache of its own, on the embedded model where it is there. */
function embeddedTest(sentence: string, use: (folder: string) => Promise<void>): void {
  Deno.test(sentence, async () => {
    if (!existsSync(embeddedFeedback)) return console.log(`skipped: no ${embeddedFeedback}`);
    await withFolder(async (folder) => {
      const before = Deno.env.get("PROSPECT_CACHE");
      Deno.env.set("PROSPECT_CACHE", `${folder}/cache`);
      try {
        await use(folder);
      } finally {
        if (before === undefined) Deno.env.delete("PROSPECT_CACHE");
        else Deno.env.set("PROSPECT_CACHE", before);
      }
    });
  });
}

const feedback = (from: number, to: number) =>
  Deno.readTextFileSync(embeddedFeedback).split("\n").slice(from, to).map((line) => JSON.parse(line));

function writeRows(path: string, rows: unknown[]): string {
  Deno.writeTextFileSync(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  return path;
}

const runSettings = (out: string, data: string, more: Record<string, unknown> = {}) =>
  parseTrainSettings({
    model: embeddedModelFolder,
    data,
    out,
    epochs: 2,
    heldOut: 0.3,
    workers: 2,
    device: "cpu",
    ...more,
  });

const measure = async (out: string, current?: string) =>
  await measureCandidate({
    model: embeddedModelFolder,
    dtype: "auto",
    device: "cpu",
    workers: 2,
    adapter: `${out}/adapter`,
    current,
    heldOut: await readHeldOut(out),
    maxLength: 1024,
    seed: 0,
  }, keepNews().reporter);

embeddedTest(
  "sound labels pass the gate, the same with the newest half flipped are stopped, and a caller's reporter gets all news",
  async (folder) => {
    const rows = feedback(0, 400);
    const poisoned = rows.map((row, i) => i < rows.length / 2 ? row : { ...row, label: !row.label });
    const sound = writeRows(`${folder}/sound.jsonl`, rows), bad = writeRows(`${folder}/poisoned.jsonl`, poisoned);
    const { news, reporter } = keepNews(), never = () => false;
    await train(runSettings(`${folder}/sound`, sound), reporter, never);
    const steps = news.events.filter(({ name }) => name === "step").map(({ fields }) => fields.step);
    assertEquals(steps, steps.map((_, i) => i + 1));
    const labels = news.events.filter(({ name }) => name === "progress").map(({ fields }) => fields.label);
    assertEquals([...new Set(labels)], ["reference", "training", "answers before", "answers after"]);
    const last = news.events.findLast(({ fields }) => fields.label === "training")!.fields;
    assertEquals([last.done, last.total], [steps.length, steps.length]);
    // The second and third run in this process.
    await train(runSettings(`${folder}/poisoned`, bad), reporter, never);
    await train(runSettings(`${folder}/again`, sound), reporter, never);
    const bytes = (run: string) => Deno.readFileSync(`${folder}/${run}/adapter/adapter_model.safetensors`);
    assertEquals(bytes("again"), bytes("sound"), "a run depends on the one before it in the same process");

    const passed = judge(await measure(`${folder}/sound`));
    assertEquals(passed.passed, true, JSON.stringify(passed.findings));
    assert(passed.auc!.low > 0.6, JSON.stringify(passed.auc));
    const stopped = judge(await measure(`${folder}/poisoned`));
    assertEquals(stopped.passed, false);
    assertEquals(stopped.findings.filter(({ passed }) => !passed).map(({ rule }) => rule)[0], "auc-above-chance");

    // Poisoned labels are stopped as well where a good adapter answers now.
    const second = judge(await measure(`${folder}/poisoned`, `${folder}/sound/adapter`));
    assertEquals(second.passed, false);
    const same = await measure(`${folder}/sound`, `${folder}/again/adapter`);
    assertEquals(same.aucDifference, { value: 0, low: 0, high: 0 });
    assertEquals(same.currentAuc, same.auc);
  },
);

embeddedTest(
  "a run keeps the rows that it held out, and one that goes on from its adapter holds out none that the adapter has seen",
  async (folder) => {
    const rows = feedback(0, 240), few = { maxSteps: 2 }, never = () => false;
    const first = writeRows(`${folder}/first.jsonl`, rows.slice(0, 160)), all = writeRows(`${folder}/all.jsonl`, rows);
    const text = ({ prompt }: { prompt: unknown }) => JSON.stringify(prompt);
    await train(runSettings(`${folder}/a`, first, few), keepNews().reporter, never);
    const heldByA = await readHeldOut(`${folder}/a`), promptsOfA = new Set(heldByA.map(text));
    assert(heldByA.length > 30 && heldByA.length < 60, `${heldByA.length} of 160 held out`);
    const originals = new Set(rows.map((row) => JSON.stringify(row)));
    for (const { prompt, completion, label } of heldByA) {
      assert(originals.has(JSON.stringify({ prompt, completion, label })), "a held-out row is none of the data");
    }
    const trainedOn = await readTrainedPrompts(`${folder}/a/adapter`);
    assertEquals(trainedOn.toJSON().length + promptsOfA.size, new Set(rows.slice(0, 160).map(text)).size);

    const initAdapter = `${folder}/a/adapter`, more = { ...few, initAdapter };
    await train(runSettings(`${folder}/b`, all, { ...more, seed: 9 }), keepNews().reporter, never);
    const seen = new Set(rows.slice(0, 160).map(text).filter((prompt) => !promptsOfA.has(prompt)));
    const heldByB = await readHeldOut(`${folder}/b`);
    assert(heldByB.length > 50 && heldByB.length < 90, `${heldByB.length} of 240 held out`);
    assertEquals(heldByB.filter((row) => seen.has(text(row))), [], "held out although the adapter has seen it");
    const trainedByB = await readTrainedPrompts(`${folder}/b/adapter`);
    for (const key of trainedOn.toJSON()) assert(trainedByB.has(key), "what an adapter's ancestor saw is forgotten");

    // Another seed, from the base model: the same prompts are held out.
    await train(runSettings(`${folder}/c`, first, { ...few, seed: 5 }), keepNews().reporter, never);
    assertEquals(new Set((await readHeldOut(`${folder}/c`)).map(text)), promptsOfA);
    // Rows that the current adapter has seen are not compared on.
    const measured = await measureCandidate({
      model: embeddedModelFolder,
      dtype: "auto",
      device: "cpu",
      workers: 2,
      adapter: `${folder}/c/adapter`,
      current: `${folder}/a/adapter`,
      heldOut: rows.map((row, index) => ({ ...row, index, line: index + 1 })),
      maxLength: 1024,
      seed: 0,
    }, keepNews().reporter);
    assertEquals(measured.comparedRows, rows.filter((row) => !seen.has(text(row))).length);
  },
);

embeddedTest(
  "a run that is stopped while it scores the reference goes on where it was, and ends as if undisturbed",
  async (folder) => {
    const data = writeRows(`${folder}/data.jsonl`, feedback(0, 200)), few = { maxSteps: 3, epochs: 1 };
    let asked = 0;
    const stopped = train(runSettings(`${folder}/run`, data, few), keepNews().reporter, () => ++asked > 5);
    assertMatch(
      (await assertRejects(() => stopped, InterruptedError)).message,
      /^Interrupted while the reference was scored; go on with/,
    );
    assert(!existsSync(`${folder}/run/checkpoint/state.safetensors`));
    const resumed = runSettings(`${folder}/run`, data, { ...few, resume: true }), never = () => false;
    await train(resumed, keepNews().reporter, never);
    await train(runSettings(`${folder}/whole`, data, few), keepNews().reporter, never);
    const bytes = (run: string) => Deno.readFileSync(`${folder}/${run}/adapter/adapter_model.safetensors`);
    assertEquals(bytes("run"), bytes("whole"));
    // A run that is done is done: going on changes nothing and takes no steps.
    const { news, reporter } = keepNews();
    await train(resumed, reporter, never);
    assertEquals(news.events.filter(({ name }) => name === "step"), []);
    assertEquals(bytes("run"), bytes("whole"));

    const measuring = measureCandidate(
      {
        model: embeddedModelFolder,
        dtype: "auto",
        device: "cpu",
        workers: 2,
        adapter: `${folder}/run/adapter`,
        current: undefined,
        heldOut: await readHeldOut(`${folder}/run`),
        maxLength: 1024,
        seed: 0,
      },
      keepNews().reporter,
      () => true,
    );
    await assertRejects(() => measuring, InterruptedError);
  },
);
