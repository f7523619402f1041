// Makes the embedded model from nothing: tokenizer and weights, trained on the embedded world's conversations with the
// next-token objective and every weight; then the feedback file, sampled from the model itself and judged. The same
// seed gives the same files. It does not know KTO.

import { join } from "node:path";
import {
  type LlamaConfig,
  llamaInitialWeights,
  unpackWeights,
  writeLlamaModel,
} from "../../shared/architectures/llama.ts";
import { ensureWritableFolder, writeFileAtomic } from "../../shared/atomic_file.ts";
import { counted } from "../../shared/counted.ts";
import { packRows, type Sequence, sequenceLength } from "../../shared/feedback/micro_batch.ts";
import { nextTokenInputs } from "../../shared/objectives/next_token.ts";
import { readTensorBytes } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { lockOutputFolder } from "../../shared/output_lock.ts";
import type { Reporter } from "../../shared/progress.ts";
import { Random } from "../../shared/random.ts";
import type { ChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";
import { type Conversation, pretrainCorpus, splitQuestions } from "../../shared/world/corpus.ts";
import { judge } from "../../shared/world/judge.ts";
import { trainTokenizer } from "../../shared/world/tokenizer.ts";
import { WorkerPool } from "../../workers/pool.ts";
import { clipGradients, createAdamW } from "./adamw.ts";
import { answerPrompts } from "./generate.ts";
import { openModel, startGeneration, startTraining } from "./model.ts";
import { GradientBlocks } from "./parameters.ts";
import { learningRateAt } from "./schedule.ts";
import { shares } from "./scorer.ts";
import { worldSampling } from "./world_evaluation.ts";

export interface PretrainSettings {
  out: string;
  steps: number;
  batchSize: number;
  learningRate: number;
  workers: number;
  seed: number;
  feedbackRows: number;
}

/** The embedded model's shape. */
export const worldModel: Omit<LlamaConfig, "vocab_size"> = {
  hidden_size: 128,
  intermediate_size: 384,
  num_hidden_layers: 5,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  max_position_embeddings: 512,
  tie_word_embeddings: true,
};

/** Label noise of the feedback file: people press the wrong thumb. */
const labelNoise = 0.05;

/** Conversations of the corpus; each is seen a few times. Tokenising more would cost more than training on them. */
const corpusSize = 40_000;

/** One sequence per assistant turn: everything before it is the prompt. */
function sequencesOf({ messages }: Conversation, tokenizer: ChatTokenizer): Sequence[] {
  return messages.flatMap((message, turn) => {
    if (message.role !== "assistant") return [];
    const promptIds = tokenizer.encodeChat(messages.slice(0, turn), { addGenerationPrompt: true });
    const joint = tokenizer.encodeChat(messages.slice(0, turn + 1));
    return [{ promptIds, completionIds: joint.slice(promptIds.length) }];
  });
}

function tokenizeCorpus(seed: number, tokenizer: ChatTokenizer, reporter: Reporter): Sequence[] {
  const conversations = pretrainCorpus({ seed, count: corpusSize });
  const progress = reporter.progress({ label: "tokenising", total: conversations.length, unit: "conversations" });
  const sequences = conversations.flatMap((conversation) => {
    progress.advance(1);
    return sequencesOf(conversation, tokenizer);
  });
  progress.done();
  return sequences;
}

async function trainWeights(
  settings: PretrainSettings,
  config: LlamaConfig,
  reporter: Reporter,
  pool: WorkerPool,
): Promise<void> {
  const { out, steps, batchSize, seed } = settings;
  const opened = openModel(openModelFolder(out), "fp32");
  const graph = readModel(opened.path);
  const model = await startTraining(opened, { kind: "full" }, { kind: "next-token" }, pool, "cpu", (policy) => {
    policy.parameters.forEach(({ name }, i) => {
      const bytes = readTensorBytes(graph.initializers.get(name)!, join(out, "onnx")).slice();
      policy.views[i]!.set(new Float32Array(bytes.buffer));
    });
  });
  const { policy, compiled } = model;
  const layout = { tokensPerMicroBatch: 1024, tokenMultiple: compiled.tokenMultiple, sharesPrefixes: false };
  const blocks = new GradientBlocks(policy);
  const optimizer = createAdamW(policy.views.map((view) => view.length), { weightDecay: 0.05, beta2: 0.98 });
  const schedule = {
    schedule: "cosine" as const,
    learningRate: settings.learningRate,
    warmupSteps: 100,
    totalSteps: steps,
  };
  const progress = reporter.progress({ label: "pretraining", total: steps, unit: "steps" });
  const corpus = tokenizeCorpus(seed, opened.tokenizer, reporter);
  let smooth = 0, waiting: Sequence[] = [], passes = 0;
  for (let step = 0; step < steps; step++) {
    if (waiting.length < batchSize) waiting = [...waiting, ...new Random(seed + ++passes).shuffle(corpus)];
    const sequences = waiting.splice(0, batchSize);
    const scored = sequences.reduce((sum, { completionIds }) => sum + completionIds.length, 0);
    const groups = shares(sequences, layout, pool.size);
    const indexed = groups.map((group, share) => ({ group, share }));
    const results = await pool.map(indexed, async (worker, { group, share }) => {
      const micro = packRows(group.map((i) => sequences[i]!), layout.tokenMultiple);
      const real = micro.rowTokens.reduce((sum, count) => sum + count, 0);
      const weight = Float32Array.from(micro.targets, (_, i) => i < real ? 1 / scored : 0);
      const inputs = { [nextTokenInputs.tokenWeight.name]: { data: weight, shape: [weight.length] } };
      const result = await worker.gradient(micro, inputs, step, blocks.block(share));
      blocks.finish(share);
      return result;
    });
    const gradients = blocks.sum();
    const norm = clipGradients(gradients, 1);
    const loss = results.reduce((sum, result) => sum + result.loss, 0);
    if (!Number.isFinite(loss) || !Number.isFinite(norm)) {
      throw new Error(`Step ${step + 1}: the loss is ${loss}, the gradient norm ${norm}.`);
    }
    optimizer.step(policy.views, gradients, learningRateAt(step, schedule));
    smooth = step === 0 ? loss : 0.98 * smooth + 0.02 * loss;
    progress.advance(1, {
      loss: Number(smooth.toFixed(4)),
      tokens: sequences.reduce((sum, each) => sum + sequenceLength(each), 0),
    });
  }
  progress.done();
  const trained = new Map(
    compiled.parameters.map(({ name, shape }, i) => [name, { shape, data: policy.views[i]!.slice() }]),
  );
  await writeLlamaModel(out, config, unpackWeights(config, trained));
  reporter.line(`Final loss ${smooth.toFixed(4)} per answer token.`);
  reporter.event("pretrained", { loss: smooth, steps });
}

/** Samples answers to training questions, judges them, flips some labels and writes TRL's unpaired rows. */
async function writeFeedback(settings: PretrainSettings, reporter: Reporter, pool: WorkerPool): Promise<void> {
  const model = openModel(openModelFolder(settings.out), "fp32");
  await startGeneration(model, pool, "cpu");
  const random = new Random(settings.seed + 1);
  const questions = random.shuffle(splitQuestions().train).slice(0, settings.feedbackRows);
  const prompts = questions.map(({ text }) => [{ role: "user", content: text }]);
  const answers = await answerPrompts(pool, model.tokenizer, prompts, { ...worldSampling, seed: settings.seed });
  const rows = questions.map((question, i) => {
    const { desirable } = judge(question, answers[i]!);
    const label = random.next() < labelNoise ? !desirable : desirable;
    return { prompt: prompts[i], completion: [{ role: "assistant", content: answers[i]! }], label };
  }).filter(({ completion }) => completion[0]!.content !== "");
  await writeFileAtomic(join(settings.out, "feedback.jsonl"), rows.map((row) => JSON.stringify(row) + "\n").join(""));
  const desirable = rows.filter(({ label }) => label).length;
  reporter.line(`${counted(rows.length, "feedback row")}, ${desirable} of them desirable.`);
  reporter.event("feedback", { rows: rows.length, desirable });
}

/** Writes tokenizer, model and feedback file of the embedded world into `settings.out`. */
export async function pretrain(settings: PretrainSettings, reporter: Reporter): Promise<void> {
  const { out, seed } = settings;
  await ensureWritableFolder(out);
  using _lock = await lockOutputFolder(out);
  const texts = pretrainCorpus({ seed, count: 20000 }).flatMap(({ messages }) =>
    messages.map(({ content }) => content)
  );
  const { tokenizer, config: tokenizerConfig } = trainTokenizer(texts, 1024);
  await writeFileAtomic(join(out, "tokenizer.json"), JSON.stringify(tokenizer) + "\n");
  await writeFileAtomic(join(out, "tokenizer_config.json"), JSON.stringify(tokenizerConfig, null, 2) + "\n");
  const config: LlamaConfig = { ...worldModel, vocab_size: 1024 };
  await writeLlamaModel(out, config, llamaInitialWeights(config, new Random(seed)));
  const pool = await WorkerPool.start(settings.workers, reporter.warn);
  try {
    await trainWeights(settings, config, reporter, pool);
  } finally {
    await pool.stop();
  }
  const fresh = await WorkerPool.start(settings.workers, reporter.warn);
  try {
    await writeFeedback(settings, reporter, fresh);
  } finally {
    await fresh.stop();
  }
}
