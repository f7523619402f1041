// The sample answers of a run that is finished: nice to have, never in its way.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { findModel, openModel } from "../../services/trainer/model.ts";
import { answerSamples } from "../../services/trainer/sample_answers.ts";
import type { TrainingData } from "../../services/trainer/data.ts";
import { silent } from "../../shared/progress.ts";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";

Deno.test("answers that cannot be given leave the report without samples and say so, and end no run", async () => {
  const model = openModel(await findModel(undefined, "auto", silent), "auto");
  const warnings: string[] = [], reporter = { ...silent, warn: (text: string) => void warnings.push(text) };
  const prompt = [{ role: "user", content: "What is 3 plus 4?" }];
  // Rows before it were dropped as they were read.
  const data = {
    source: [{ index: 3, prompt }],
    heldOut: [],
    train: [{ index: 3, promptKey: "a" }],
  } as unknown as TrainingData;
  const run = { embedded: false, data, adapter: {}, workers: 1, device: "cpu" as const, seed: 0 };
  const none = await answerSamples({ ...run, model: { ...model, path: "nowhere.onnx" } }, reporter, () => false);
  assertEquals(none, { samples: [] });
  assertMatch(warnings.join(), /the report goes without sample answers: .*nowhere/);

  const { samples } = await answerSamples({ ...run, model }, silent, () => false);
  assertEquals(samples.length, 1);
  const folder = { ...model.folder, config: { ...model.folder.config, max_position_embeddings: 4 } };
  const full = await answerSamples({ ...run, model: { ...model, folder } }, silent, () => false);
  assertEquals(full, { samples: [] }, "a prompt that fills the context was asked");
});

Deno.test("samples are answered after the prompt that their row's template arguments make", async () => {
  const model = openModel(await findModel(undefined, "auto", silent), "auto"), given: unknown[] = [];
  const tokenizer: ChatTokenizer = {
    ...model.tokenizer,
    encodeChat: (messages, options) => {
      given.push(options?.templateArguments, options?.tools);
      return model.tokenizer.encodeChat(messages, options);
    },
  };
  const prompt = [{ role: "user", content: "What is 3 plus 4?" }], templateArguments = { mood: "good" }, tools = [{}];
  const source = [{ index: 0, prompt, templateArguments, tools }], train = [{ index: 0, promptKey: "a" }];
  const data = { source, heldOut: [], train } as unknown as TrainingData;
  const run = { embedded: false, data, adapter: {}, workers: 1, device: "cpu" as const, seed: 0 };
  await answerSamples({ ...run, model: { ...model, tokenizer } }, silent, () => false);
  assert(given.length > 0);
  for (const value of given) assert(value === templateArguments || value === tools);
});
