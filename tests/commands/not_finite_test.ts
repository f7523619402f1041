// Numbers that are not finite: `score` and `generate` say so, and nothing of them is kept or printed.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { existsSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { findModel, openModel } from "../../services/trainer/model.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { readTensorBytes } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { silent } from "../../shared/progress.ts";
import { readAdapter, writeAdapter } from "../../shared/runtime/adapter.ts";
import { copyFolder, fixture, fixtureTest, runTask } from "./run_task.ts";

const model = fixture("llama-untied-genai"), data = `${model}/data.jsonl`;

fixtureTest("score names the row whose log-prob is not finite and keeps only the others", async (folder) => {
  const broken = `${folder}/broken`, path = `${broken}/onnx/model.onnx`, out = `${folder}/scores.jsonl`;
  await copyFolder(model, broken);
  const { tokenizer } = openModel(await findModel(model, "fp32", silent), "fp32");
  const { rows } = tokenizeRows((await readFeedback(data)).rows, tokenizer, { maxLength: 1024, dropDuplicates: false });
  // A token of one row alone: its embedding is what breaks.
  const idsOf = rows.map(({ promptIds, completionIds }) => [...promptIds, ...completionIds.slice(0, -1)]);
  const hit = rows.findLastIndex((_, r) =>
    idsOf[r]!.some((id) => idsOf.every((ids, o) => o === r || !ids.includes(id)))
  );
  const token = idsOf[hit]!.find((id) => idsOf.every((ids, o) => o === hit || !ids.includes(id)))!;
  const graph = readModel(path, { inlineLimit: Infinity });
  const embedding = [...graph.initializers.values()].find(({ name }) => name.includes("embed_tokens"))!;
  const bytes = readTensorBytes(embedding, `${broken}/onnx`).slice(), width = embedding.dims[1]!;
  new Float32Array(bytes.buffer).fill(NaN, token * width, (token + 1) * width);
  graph.initializers.set(embedding.name, { ...embedding, data: { kind: "inline", bytes } });
  await Deno.writeFile(path, writeModel(graph));
  for (const _ of ["first", "from the cache"]) {
    const args = ["--model", broken, "--data", data, "--out", out];
    const { code, stderr } = await runTask("score", args, { cache: folder });
    assertEquals(code, 1, stderr);
    const sentence = `The log-prob of the row of line ${rows[hit]!.line} is not finite (NaN): try --dtype fp32.`;
    assert(stderr.includes(sentence), stderr);
    assert(!existsSync(out), "scores were written all the same");
    using cache = new DatabaseSync(`${folder}/reference.sqlite`, { readOnly: true });
    const kept = cache.prepare("SELECT log_probs FROM reference").all().map(({ log_probs: bytes }) =>
      bytes as Uint8Array
    );
    assert(kept.length >= hit, `${kept.length} rows were kept, the ${hit} before the broken one are sound`);
    for (const bytes of kept) assert(new Float32Array(bytes.slice().buffer).every(Number.isFinite));
  }
});

fixtureTest("generate says that logits are not finite instead of printing an answer", async (folder) => {
  const adapter = await readAdapter(`${model}/adapter`);
  // Finite numbers, as an adapter must have them, whose products are not.
  for (const { data } of adapter.tensors.values()) data.fill(1e30);
  await writeAdapter(`${folder}/adapter`, adapter);
  const args = ["--model", model, "--prompt", "hi", "--adapter", `${folder}/adapter`];
  const { code, stdout, stderr } = await runTask("generate", args, { cache: folder });
  assertEquals(code, 1, stdout);
  assertEquals(stdout, "");
  assertMatch(stderr, /logits are not finite: try --dtype fp32/);
});
