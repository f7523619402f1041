// What a run shows besides numbers: some prompts, answered by the model as it was and under the new adapter. Both come
// from one set of workers once training is over, so that no session for answering takes memory or time while sessions
// for training are open. It does not know steps, rewards or files.

import type { Behaviour } from "../../shared/behaviour.ts";
import { InterruptedError } from "../../shared/errors.ts";
import { type Reporter, withProgress } from "../../shared/progress.ts";
import { contextLengthOf } from "../../shared/runtime/model_sizes.ts";
import type { Device } from "../../shared/runtime/session.ts";
import { WorkerPool } from "../../workers/pool.ts";
import type { AdapterFeeds } from "../../workers/protocol.ts";
import { type AnsweredPrompt, measureBehaviour } from "./behaviour.ts";
import type { TrainingData } from "./data.ts";
import { answerInTokens, type AnswerOptions, type Asked, leavesRoom } from "./generate.ts";
import { adaptGeneration, type OpenModel, startGeneration } from "./model.ts";
import type { ReportSample } from "./report.ts";
import { evaluationQuestions, judgeAnswers, worldSampling } from "./world_evaluation.ts";

/** Most samples that a report shows: of the embedded world's short questions, and of people's own prompts. */
const shown = { embedded: 24, own: 8 };

/** Most of the data's prompts that are answered, as many as the gate samples for its KL. */
const mostPrompts = 64;

/** The run that is sampled. */
interface SampledRun {
  model: OpenModel;
  /** Whether the model is the embedded one, which lives in a world with a judge. */
  embedded: boolean;
  data: TrainingData;
  adapter: AdapterFeeds;
  workers: number;
  device: Device;
  seed: number;
}

/**
 * The embedded world's unseen questions, or a few of the data's own prompts that leave room for an answer, held-out ones
 * where there are some.
 */
function samplePrompts({ model, embedded, data }: SampledRun, contextLength: number | undefined): Asked[] {
  if (embedded) return evaluationQuestions().map(({ text }) => ({ prompt: [{ role: "user", content: text }] }));
  const { heldOut, train, source } = data, seen = new Set<string>();
  const byIndex = new Map(source.map((row) => [row.index, row]));
  const rows = (heldOut.length > 0 ? heldOut : train).filter(({ promptKey }) =>
    !seen.has(promptKey) && seen.add(promptKey)
  );
  return rows.slice(0, heldOut.length > 0 ? mostPrompts : shown.own).map(({ index }) => byIndex.get(index)!)
    .filter((asked) => leavesRoom(model.tokenizer, asked, contextLength));
}

const shownText = (prompt: Asked["prompt"]) =>
  typeof prompt === "string"
    ? prompt
    : prompt.map(({ role, content }) => prompt.length === 1 ? content : `${role}: ${content}`).join("\n");

export interface SampleAnswers {
  samples: ReportSample[];
  /** The embedded world judges its answers; other models have no judge. */
  desirableRate?: { before: number; after: number; prompts: number };
  /** How the answers to held-out prompts changed; left out where none were held out. */
  behaviour?: Behaviour;
}

/**
 * Answers the run's prompts without and with the adapter. Where that fails, it says so and gives none: samples do not
 * cost a finished run its outputs.
 *
 * @throws InterruptedError
 */
export async function answerSamples(
  run: SampledRun,
  reporter: Reporter,
  interrupted: () => boolean,
): Promise<SampleAnswers> {
  try {
    return await answerBoth(run, reporter, interrupted);
  } catch (error) {
    if (error instanceof InterruptedError) throw error;
    reporter.warn(`Warning: the report goes without sample answers: ${(error as Error).message}`);
    return { samples: [] };
  }
}

async function answerBoth(run: SampledRun, reporter: Reporter, interrupted: () => boolean): Promise<SampleAnswers> {
  const { model, embedded, adapter, workers, device, seed } = run;
  const contextLength = contextLengthOf(model.folder.config), prompts = samplePrompts(run, contextLength);
  if (prompts.length === 0) return { samples: [] };
  const sampling = embedded ? worldSampling : { temperature: 0, maxNewTokens: 64 };
  const options: AnswerOptions = { ...sampling, contextLength, seed };
  const pool = await WorkerPool.start(workers, reporter.warn);
  const answer = (label: string) =>
    withProgress(
      reporter,
      { label, total: prompts.length, unit: "prompts" },
      (advance) =>
        answerInTokens(pool, model.tokenizer, prompts, options, (count) => {
          advance(count);
          if (interrupted()) throw new InterruptedError("Interrupted while it answered; --resume answers again.");
        }),
    );
  try {
    await startGeneration(model, pool, device);
    const answered = async (label: string) =>
      (await answer(label)).map(({ answerIds, ended }) => ({
        text: model.tokenizer.decode(answerIds, { skipSpecialTokens: true }).trim(),
        tokens: answerIds.length,
        ended,
      }));
    const before = await answered("answers before");
    await adaptGeneration(pool, adapter);
    const after = await answered("answers after");
    const [judgedBefore, judgedAfter] = embedded
      ? [before, after].map((answers) => judgeAnswers(evaluationQuestions(), answers.map(({ text }) => text)))
      : [];
    const samples = prompts.slice(0, embedded ? shown.embedded : shown.own).map(({ prompt }, i): ReportSample => ({
      prompt: shownText(prompt),
      before: before[i]!.text,
      after: after[i]!.text,
      beforeDesirable: judgedBefore?.verdicts[i],
      afterDesirable: judgedAfter?.verdicts[i],
    }));
    const pairs = prompts.map(({ prompt }, i): AnsweredPrompt => ({ prompt, before: before[i]!, after: after[i]! }));
    const behaviour = embedded || run.data.heldOut.length > 0 ? measureBehaviour(pairs) : undefined;
    return {
      samples,
      ...(judgedBefore && judgedAfter
        ? { desirableRate: { before: judgedBefore.rate, after: judgedAfter.rate, prompts: prompts.length } }
        : {}),
      ...(behaviour ? { behaviour } : {}),
    };
  } finally {
    await pool.stop();
  }
}
