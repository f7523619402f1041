// `bench guard`: this tree against another commit, turn about, in every speed that people notice. What is read is in
// measures.ts, what readings mean in comparison.ts.

import { InputError } from "../../shared/errors.ts";
import { type Reporter, withProgress } from "../../shared/progress.ts";
import { embeddedFeedback } from "../../shared/runtime/embedded_model.ts";
import { findModel, openModel } from "../../shared/runtime/open_model.ts";
import { startGatewayProcess } from "../gateway/bench/gateway_process.ts";
import { figures, percent, table } from "../trainer/bench/tables.ts";
import { compare, type Comparison } from "./comparison.ts";
import {
  commandMeasures,
  gatewayMeasures,
  type GuardedModel,
  labelMeasure,
  type Measure,
  type Sizes,
  type Subject,
} from "./measures.ts";
import { ownTree, withTree } from "./tree.ts";

export interface GuardOptions {
  commit: string;
  /** A model of a size that people use, beside the embedded one; undefined measures the embedded one alone. */
  model: string | undefined;
  dtype: string;
  /** Feedback for that model; undefined takes the embedded feedback. */
  data: string | undefined;
  rounds: number;
  /** As small as can be: to see that it works, not to learn anything. */
  quick: boolean;
}

const quickSizes: Sizes = { rows: 40, steps: 2, tokens: 4, answers: 4, firstTokens: 2, seconds: 0.3 };
const embeddedSizes: Sizes = { rows: 3000, steps: 340, tokens: 64, answers: 64, firstTokens: 25, seconds: 4 };
const largeSizes: Sizes = { rows: 80, steps: 8, tokens: 64, answers: 16, firstTokens: 9, seconds: 4 };

async function describe(
  { model, dtype, data }: Pick<GuardOptions, "model" | "dtype" | "data">,
  reporter: Reporter,
): Promise<GuardedModel> {
  const { folder, dtype: chosen, tokenizer } = await openModel(await findModel(model, dtype, reporter), dtype);
  return {
    name: `${folder.name} ${chosen}`,
    served: { folder: folder.path, dtype: chosen, workers: undefined },
    eosTokenIds: tokenizer.eosTokenIds,
    data: data ?? embeddedFeedback,
  };
}

/** The model with a file of the first rows of its feedback, for as long as `use` takes. */
async function withRows(model: GuardedModel, rows: number, use: (model: GuardedModel) => Promise<void>): Promise<void> {
  const data = await Deno.makeTempFile({ prefix: "prospect-guard-", suffix: ".jsonl" });
  try {
    const lines = (await Deno.readTextFile(model.data)).split("\n").filter((line) => line.trim() !== "");
    await Deno.writeTextFile(data, lines.slice(0, rows).join("\n") + "\n");
    await use({ ...model, data });
  } finally {
    await Deno.remove(data);
  }
}

/** Both trees' gateways for a model, for as long as `use` takes. */
async function withGateways(
  trees: [before: string, now: string],
  { served }: GuardedModel,
  use: (subjects: [before: Subject, now: Subject]) => Promise<void>,
): Promise<void> {
  await using gateways = new AsyncDisposableStack();
  const subjects: Subject[] = [];
  for (const tree of trees) {
    const gateway = await startGatewayProcess(served, tree);
    gateways.defer(() => gateway.stop());
    subjects.push({ tree, address: gateway.address });
  }
  await use(subjects as [Subject, Subject]);
}

/** Measures in rounds; who begins changes with each, since the second finds a warmer machine. */
async function takeTurns(
  measures: Measure[],
  subjects: [before: Subject, now: Subject],
  rounds: number,
  onReading: () => void,
): Promise<Map<Measure, [before: number[], now: number[]]>> {
  const readings = new Map<Measure, [number[], number[]]>(measures.map((measure) => [measure, [[], []]]));
  for (let round = 0; round < rounds; round++) {
    for (const [measure, each] of readings) {
      for (const side of round % 2 === 0 ? [0, 1] as const : [1, 0] as const) {
        each[side].push(await measure.read(subjects[side]));
        onReading();
      }
    }
  }
  return readings;
}

function cells({ name, unit }: Measure, { before, now, ratio, low, high, noise, verdict }: Comparison): string[] {
  const three = (value: number) => value.toFixed(3);
  return [
    name,
    `${figures(before)} ${unit}`,
    `${figures(now)} ${unit}`,
    three(ratio),
    `${three(low)} to ${three(high)}`,
    Number.isFinite(noise) ? percent(noise) : "unknown",
    verdict,
  ];
}

/**
 * Compares and prints.
 *
 * @throws InputError for a commit that is not there, or a model that cannot be served
 */
export async function guard(options: GuardOptions, reporter: Reporter): Promise<void> {
  const { commit, rounds, quick } = options;
  const models: [GuardedModel, Sizes][] = [
    [await describe({ model: undefined, dtype: "auto", data: undefined }, reporter), embeddedSizes],
  ];
  if (options.model !== undefined) models.push([await describe(options, reporter), largeSizes]);
  else if (options.data !== undefined) throw new InputError("--data is for --model, which is not given.");
  const cores = navigator.hardwareConcurrency, [loadBefore] = Deno.loadavg() as [number, number, number];
  reporter.line(`This tree against ${commit}, ${rounds} rounds, ${cores} cores, load before: ${figures(loadBefore)}.`);
  const rows: string[][] = [], results: Record<string, unknown>[] = [];
  await withTree(commit, async (other) => {
    for (const [index, [described, wanted]] of models.entries()) {
      const sizes = quick ? quickSizes : wanted;
      await withRows(described, sizes.rows, async (model) => {
        const served = [...gatewayMeasures(model, sizes), ...(index === 0 ? [labelMeasure(sizes)] : [])];
        const commands = commandMeasures(model, sizes);
        const total = 2 * (served.length + rounds * (served.length + commands.length));
        await withProgress(reporter, { label: model.name, total, unit: "readings" }, async (advance) => {
          await withGateways([other, ownTree], model, async (subjects) => {
            const read = (measures: Measure[], times: number) => takeTurns(measures, subjects, times, () => advance(1));
            // Once to warm the gateways up; a command is always new.
            await read(served, 1);
            for (const [measure, [before, now]] of await read([...served, ...commands], rounds)) {
              const comparison = compare(before, now, measure.more);
              rows.push(cells(measure, comparison));
              results.push({ name: measure.name, unit: measure.unit, ...comparison, readings: { before, now } });
            }
          });
        });
      });
    }
  });
  reporter.line("");
  for (const text of table(["", commit.slice(0, 12), "now", "ratio", "of the rounds", "noise", ""], rows)) {
    reporter.line(text);
  }
  reporter.line(
    "A ratio above 1 is better than that commit. Noise is how far two readings of one tree in a row differ.",
  );
  reporter.event("guard", { commit, rounds, cores, load_before: loadBefore, measures: results });
}
