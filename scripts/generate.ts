// `deno task generate`: one answer from a model, with or without an adapter.

import process from "node:process";
import { answerPrompts, promptIds, roomFor } from "../services/trainer/generate.ts";
import { findModel, openModel, startGeneration } from "../services/trainer/model.ts";
import { adapterFeeds, readAdapterOf } from "../services/trainer/trained_part.ts";
import { counted } from "../shared/counted.ts";
import { contextLengthOf } from "../shared/runtime/model_sizes.ts";
import { createReporter } from "../shared/progress.ts";
import { WorkerPool } from "../workers/pool.ts";
import { device, required, runCommand } from "./command.ts";
import { program } from "./commands/generate.ts";

program.action(async (options) => {
  const prompt = required(options.prompt, "--prompt") as string;
  const reporter = createReporter({ json: false });
  const model = openModel(await findModel(options.model, options.dtype, reporter), options.dtype);
  const adapter = options.adapter === undefined ? undefined : await readAdapterOf(model, options.adapter);
  const asked = model.tokenizer.hasChatTemplate ? [{ role: "user", content: prompt }] : prompt;
  const ids = promptIds(model.tokenizer, { prompt: asked }), contextLength = contextLengthOf(model.folder.config);
  const room = roomFor(ids, { ...options, contextLength });
  if (room < options.maxNewTokens) {
    reporter.warn(
      `The answer may have ${
        counted(room, "token")
      }, not ${options.maxNewTokens}: the prompt has ${ids.length} of the ` +
        `${contextLength} that the model's context holds.`,
    );
  }
  const pool = await WorkerPool.start(1, reporter.warn);
  try {
    await startGeneration(model, pool, device(options.device), adapter && adapterFeeds(adapter));
    const [answer] = await answerPrompts(pool, model.tokenizer, [asked], { ...options, contextLength });
    process.stdout.write(answer + "\n");
  } finally {
    await pool.stop();
  }
});

await runCommand(program);
