// What the workers' generation and scoring sessions give, on a fixture: TRL's greedy tokens, answers that depend on
// nothing but their prompt and seed, and one log-prob whichever way it is computed.

import { assert, assertEquals, assertNotEquals, fail } from "@std/assert";
import { answerPrompts } from "../../services/trainer/generate.ts";
import { findModel, type OpenModel, openModel, startGeneration, startScoring } from "../../services/trainer/model.ts";
import { servingFeeds } from "../../services/trainer/parameters.ts";
import { layoutFor, scoreSequences } from "../../services/trainer/scorer.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import { type TokenizedRow, tokenizeRows } from "../../shared/feedback/tokenize.ts";
import { readAdapter, scalingOf } from "../../shared/runtime/adapter.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { createReporter } from "../../shared/progress.ts";
import { sharedTest } from "../feedback/shared_files.ts";

interface Greedy {
  prompt_ids: number[];
  max_new_tokens: number;
  base: number[];
  lora: number[];
}

const open = async (folder: string): Promise<OpenModel> =>
  openModel(await findModel(folder, "fp32", createReporter({ json: false })), "fp32");

async function withPool(size: number, use: (pool: WorkerPool) => Promise<void>): Promise<void> {
  const pool = await WorkerPool.start(size, fail);
  try {
    await use(pool);
  } finally {
    await pool.stop();
  }
}

async function adapterFeeds(folder: string) {
  const { config, tensors } = await readAdapter(`${folder}/adapter`);
  return servingFeeds(tensors, (name) => scalingOf(config, name.replace(/\.lora_B\.weight$/, "")));
}

async function rowsOf(folder: string, model: OpenModel): Promise<TokenizedRow[]> {
  const { rows } = await readFeedback(`${folder}/data.jsonl`);
  return tokenizeRows(rows, model.tokenizer, { maxLength: 1024 }).rows;
}

for (const name of ["llama-genai", "llama-untied-genai", "llama-optimum"]) {
  sharedTest(
    `fixtures/${name}`,
    `${name}: greedy answers are TRL's, of the base model and under the adapter`,
    async (folder) => {
      const { greedy } = JSON.parse(await Deno.readTextFile(`${folder}/golden.json`)) as { greedy: Greedy };
      await withPool(1, async (pool) => {
        await startGeneration(await open(folder), pool, "cpu");
        const request = { promptIds: greedy.prompt_ids, seed: 0, maxNewTokens: greedy.max_new_tokens };
        const options = { temperature: 0, stopIds: [2] };
        const answer = async () => (await pool.map([request], (worker) => worker.generate([request], options)))[0];
        assertEquals(await answer(), [greedy.base]);
        const feeds = await adapterFeeds(folder);
        await pool.prepare(async (worker) => await worker.setAdapter(feeds));
        assertEquals(await answer(), [greedy.lora]);
        const some = Object.fromEntries(Object.entries(feeds).filter(([name]) => name.includes("layers.0.")));
        await pool.prepare(async (worker) => await worker.setAdapter(some));
        assertNotEquals(await answer(), [greedy.lora], "modules left out keep the former adapter");
        await pool.prepare(async (worker) => await worker.setAdapter({}));
        assertEquals(await answer(), [greedy.base], "an empty adapter is not the base model");
      });
    },
  );
}

sharedTest(
  "fixtures/llama-genai",
  "a sampled answer depends on neither its neighbours nor the number of workers",
  async (folder) => {
    const model = await open(folder), feeds = await adapterFeeds(folder);
    const questions = ["hi", "yo", "me", "What is the capital of France?", "no", "Tell me a joke.", "up"];
    const prompts = questions.map((content) => [{ role: "user", content }]);
    const answers = async (workers: number) => {
      let texts: string[] = [];
      await withPool(workers, async (pool) => {
        await startGeneration(model, pool, "cpu");
        await pool.prepare(async (worker) => await worker.setAdapter(feeds));
        texts = await answerPrompts(pool, model.tokenizer, prompts, { maxNewTokens: 16, temperature: 1, seed: 5 });
        const [first, second] = prompts.slice(0, 2).map((prompt) => ({
          promptIds: model.tokenizer.encodeChat(prompt, { addGenerationPrompt: true }),
          seed: 9,
          maxNewTokens: 16,
        }));
        const options = { temperature: 1, stopIds: [2] };
        const [[alone], [, together], [other]] = await pool.map(
          [[first!], [{ ...second!, seed: 8 }, first!], [{ ...first!, seed: 10 }]],
          (worker, requests) => worker.generate(requests, options),
        ) as [number[][], number[][], number[][]];
        assertEquals(together, alone);
        assertNotEquals(other, alone, "the seed changes nothing");
      });
      return texts;
    };
    const one = await answers(1);
    assertEquals(new Set(one).size, one.length, "answers of different seeds are the same");
    assertEquals(await answers(2), one);
  },
);

for (const name of ["llama-genai", "llama-untied-genai", "llama-optimum"]) {
  sharedTest(
    `fixtures/${name}`,
    `${name}: the compiled scoring graph and transformers.js give one log-prob per token`,
    async (folder) => {
      const model = await open(folder), rows = await rowsOf(folder, model);
      await withPool(2, async (pool) => {
        const { compiled } = await startScoring(model, undefined, pool, "cpu");
        const layout = layoutFor(compiled, "cpu", 256);
        const scored = await scoreSequences(pool, rows, layout, "policy", 0);
        await pool.prepare((worker) => worker.openStock({ folder, dtype: "fp32", device: "cpu" }));
        const stock = await pool.map(
          rows,
          (worker, { promptIds, completionIds }) => worker.scoreStock({ promptIds, completionIds }),
        );
        for (const [i, { line, completionIds }] of rows.entries()) {
          assertEquals(scored[i]!.length, completionIds.length);
          assertEquals(stock[i]!.length, completionIds.length);
          for (const [t, value] of scored[i]!.entries()) {
            assert(Math.abs(value - stock[i]![t]!) <= 1e-4, `line ${line}, token ${t}: ${value} and ${stock[i]![t]}`);
          }
        }
      });
    },
  );
}
