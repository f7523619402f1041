// What a finished run leaves behind: run.json, report.html, held_out.jsonl and a few lines for people. It computes
// nothing.

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { writeFileAtomic } from "../../shared/atomic_file.ts";
import type { Behaviour } from "../../shared/behaviour.ts";
import { counted } from "../../shared/counted.ts";
import { formatSeconds, type Reporter } from "../../shared/progress.ts";
import { shareOf } from "./behaviour.ts";
import type { RunState } from "./checkpoint.ts";
import type { TrainingData } from "./data.ts";
import { writeHeldOut } from "./held_out.ts";
import type { StepMetrics } from "./metrics.ts";
import type { OpenModel } from "./model.ts";
import { renderReport, type ReportSample } from "./report.ts";

/** Prospect's own version, as run.json records it. */
export const version = "0.1.0";

/** What run.json holds under `result`. */
export interface RunResult {
  auc: { value: number; low: number; high: number } | null;
  tokens_per_second: number;
  /** Tokens that steps went through, prompts included, over all epochs. */
  trained_tokens: number;
  /** The step whose parameters were kept, where a run stops early: that with the best held-out AUC. */
  kept_step?: number;
  reference: { computed: number; cached: number };
  /** Only of the embedded world: judged answers to unseen prompts, as fractions. */
  desirable_rate?: { before: number; after: number; prompts: number };
  /** How answers to held-out prompts changed; left out where there are none, or answering failed. */
  behaviour?: Behaviour;
  steps: number;
  seconds: number;
}

export interface RunOutputs {
  out: string;
  title: string;
  settings: Record<string, unknown>;
  model: OpenModel;
  modelKey: string;
  data: TrainingData;
  metrics: StepMetrics[];
  state: RunState;
  samples: ReportSample[];
  result: RunResult;
}

/** A file's sha-256, without holding all of it. */
async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const block of createReadStream(path)) hash.update(block);
  return hash.digest("hex");
}

/** Writes run.json, report.html and held_out.jsonl. */
export async function writeOutputs(outputs: RunOutputs): Promise<void> {
  const { out, settings, model, modelKey, data, metrics, state, samples, result } = outputs;
  const held = new Set(data.heldOut.map(({ index }) => index));
  await writeHeldOut(out, data.source.filter(({ index }) => held.has(index)));
  const run = {
    version,
    settings,
    model: { name: model.folder.name, path: model.path, dtype: model.dtype, key: modelKey },
    data: {
      path: data.path,
      sha256: await hashFile(data.path),
      rows: { train: data.train.length, held_out: data.heldOut.length, ...data.counts },
      weights: data.weights,
      notes: data.notes,
      warnings: data.warnings,
      changed: data.changed,
    },
    versions: { deno: Deno.version.deno, v8: Deno.version.v8, prospect: version },
    result,
  };
  await writeFileAtomic(join(out, "run.json"), JSON.stringify(run, null, 2) + "\n");
  const { reference, desirable_rate: rate } = result;
  const report = renderReport({
    title: outputs.title,
    settings,
    metrics,
    evaluations: state.evaluations,
    samples,
    result: {
      judgedBefore: rate?.before,
      judgedAfter: rate?.after,
      judgedCount: rate?.prompts,
      heldOutAuc: result.auc ?? undefined,
      tokensPerSecond: result.tokens_per_second,
      referenceCached: { hits: reference.cached, total: reference.cached + reference.computed },
      wallSeconds: result.seconds,
    },
    behaviour: result.behaviour,
    notes: [
      ...data.notes,
      ...data.warnings,
      ...(result.kept_step === undefined
        ? []
        : [`Kept: the parameters of step ${result.kept_step} of ${result.steps}, with the best held-out AUC.`]),
    ],
  });
  await writeFileAtomic(join(out, "report.html"), report);
}

const percent = (rate: number) => `${(100 * rate).toFixed(1)}%`;

/** The outcome in a few lines for people. */
export function printResult(result: RunResult, out: string, full: boolean, reporter: Reporter): void {
  const { auc, desirable_rate: rate, reference, behaviour } = result;
  if (rate) {
    reporter.line(
      `Judged desirable on ${rate.prompts} unseen prompts: ${percent(rate.before)} before, ${
        percent(rate.after)
      } after.`,
    );
  }
  if (auc) {
    const interval = `95% interval ${auc.low.toFixed(3)} to ${auc.high.toFixed(3)}`;
    reporter.line(`Held-out AUC of the reward: ${auc.value.toFixed(3)}, ${interval}.`);
  }
  if (behaviour) reporter.line(behaviourLine(behaviour));
  reporter.line(
    `${counted(result.steps, "step")}, ${result.tokens_per_second} tokens per second, ${
      formatSeconds(result.seconds)
    } in all; ` +
      `reference log-probs: ${reference.cached} from the cache, ${reference.computed} computed.`,
  );
  reporter.line(`Written to ${out}: ${full ? "model" : "adapter"}/, metrics.jsonl, run.json, report.html.`);
}

/** Behaviour before and after, in a line. */
function behaviourLine({ prompts, tokens, refusals, agreement }: Behaviour): string {
  const agreeing = agreement
    ? `agreement with the user ${agreement.before} → ${shareOf(agreement.after, agreement.prompts)}`
    : "agreement with the user not measured (no prompt states a view)";
  return `Answers to ${counted(prompts, "held-out prompt")}: ${tokens.before.toFixed(1)} → ${
    tokens.after.toFixed(1)
  } tokens; refusals ${refusals.before} → ${shareOf(refusals.after, refusals.prompts)}; ${agreeing}.`;
}
