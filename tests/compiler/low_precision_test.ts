// Files of low precision against what they must agree with: log-probs with stock ONNX Runtime on the same file, LoRA
// gradients with the same model written out in float32 (whose compiled gradients are TRL's: goldens_test.ts).

import { assert, assertEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { InferenceSession, type Tensor } from "onnxruntime-node";
import { adaptableLayers, compileGeneration, gradientName } from "../../shared/compiler/compile.ts";
import { dirname } from "node:path";
import { sessionOptions } from "../../shared/runtime/session.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import {
  type Fixture,
  ktoFeeds,
  loraFeeds,
  loraOf,
  packRows,
  readFixture,
  type Row,
  sumsByRow,
  transposed,
  withCompiled,
} from "./golden_runs.ts";
import {
  dequantised,
  type File,
  files,
  filesOf,
  lowPrecisionFixtures,
  prefillFeeds,
  stockLogProb,
  stockSession,
  withAccuracy,
  withFile,
} from "./low_precision_runs.ts";
import { floats } from "./sessions.ts";

const objective = { kind: "kto", beta: 0.1 } as const;

const rowsOf = ({ golden }: Fixture): Row[] =>
  golden.tokens.rows.map(({ prompt_ids, completion_ids }) => ({
    ids: [...prompt_ids, ...completion_ids],
    scored: completion_ids.length,
  }));

const relative = (actual: number[], expected: number[]) =>
  Math.max(...actual.map((value, i) => Math.abs(value - expected[i]!) / Math.abs(expected[i]!)));

/** Runs `run` for every low-precision file of every fixture, or of one kind. */
function forEveryFile(
  sentence: string,
  run: (fixture: Fixture, file: File) => Promise<void>,
  kinds: readonly File[] = files,
): void {
  for (const name of lowPrecisionFixtures) {
    for (const file of kinds) {
      if (!filesOf(name).includes(file)) continue;
      sharedTest(`fixtures/${name}`, `${name}/${file}: ${sentence}`, async (folder) => {
        await run(withFile(await readFixture(folder), file), file);
      });
    }
  }
}

/** Sums of log-probs of the golden rows by the scoring graph, each alone and all in one padded batch. */
async function scores(fixture: Fixture, rows: Row[]): Promise<{ alone: number[]; batched: number[] }> {
  const alone: number[] = [], batched: number[] = [];
  await withCompiled(fixture, loraOf(fixture), objective, async (compiled, scoring) => {
    const score = async (some: Row[]) => {
      const { feeds, rowOf } = packRows(some);
      const { log_probs } = await scoring.run({ ...feeds, ...loraFeeds(compiled) });
      return sumsByRow(log_probs!.data as Float32Array, rowOf, some.length);
    };
    for (const row of rows) alone.push(...await score([row]));
    batched.push(...await score(rows));
  });
  return { alone, batched };
}

async function stockScores(fixture: Fixture, rows: Row[]): Promise<number[]> {
  const session = await stockSession(fixture), sums: number[] = [];
  for (const row of rows) sums.push(await stockLogProb(session, row));
  await session.release();
  return sums;
}

/**
 * How far log-probs may be from those of `log_probs.json`, relative. fp16 is promoted to float32, which rounds less.
 * Where the file has its kernel round the activations to int8 (GenAI's 4 bits: accuracy_level 4; dynamic int8), the last
 * bit of a sum decides a rounding: norm weights moved by one part in 10^7 move gemma3-genai's sums by 1e-3, and stock
 * ONNX Runtime on another CPU is 2e-3 off the recorded ones. Dynamic int8 also has one scale for the whole batch.
 */
const within = (fixture: Fixture, file: File) =>
  file === "model_quantized" ? 3e-2 : file === "model_fp16" ? 1e-3 : fixture.folder.includes("genai") ? 5e-3 : 1e-5;

forEveryFile("log-probs are those of stock ONNX Runtime on the same file", async (fixture, file) => {
  const expected = JSON.parse(readFileSync(`${fixture.folder}/log_probs.json`, "utf8"))[file] as number[];
  const rows = rowsOf(fixture), { alone, batched } = await scores(fixture, rows);
  for (const [what, sums] of Object.entries({ alone, batched })) {
    const off = relative(sums, expected);
    assert(off <= within(fixture, file), `${what}: off by ${off}`);
  }
  // The same machine and the same scale of activations, where the file's attention is made of ordinary operators too.
  if (file === "model_quantized" && !fixture.folder.includes("genai")) {
    const off = relative(alone, await stockScores(fixture, rows));
    assert(off <= 1e-6, `off by ${off} on this machine`);
  }
  // Rounding to int8 does not forgive the last bit of a sum: attention, norms and biases add up as the file's kernels do.
  if (file === "model_q4") {
    const off = relative(alone, await stockScores(fixture, rows));
    assert(off <= 1e-3, `off by ${off} on this machine`);
  }
});

forEveryFile("without rounding of activations, 4-bit log-probs are stock ONNX Runtime's", async (fixture) => {
  await inFolder(async (folder) => {
    const exact = await withAccuracy(fixture, 0, folder), rows = rowsOf(fixture);
    const { alone, batched } = await scores(exact, rows), stock = await stockScores(exact, rows);
    for (const sums of [alone, batched]) assert(relative(sums, stock) <= 1e-5, `off by ${relative(sums, stock)}`);
  });
}, ["model_q4"]);

const batchOf = (fixture: Fixture) => {
  const rows = rowsOf(fixture).slice(0, 4), labels = fixture.golden.tokens.rows.slice(0, 4).map(({ label }) => label);
  return { packed: packRows(rows), labels };
};

interface Step {
  loss: number;
  gradients: Float32Array[];
}

/** Loss and gradients of the first golden batch with an adapter that is moved by `shift`. */
async function withSteps(
  fixture: Fixture,
  use: (step: (shift?: Float32Array[]) => Promise<Step>) => Promise<void>,
): Promise<void> {
  const { packed, labels } = batchOf(fixture);
  await withCompiled(fixture, loraOf(fixture), objective, async (compiled, scoring, gradient) => {
    const reference = (await scoring.run({ ...packed.feeds, ...loraFeeds(compiled) })).log_probs!;
    await use(async (shift) => {
      const adapter = Object.fromEntries(compiled.parameters.map(({ name, shape }, p) => {
        const start = transposed(fixture.adapter.get(name)!).data;
        return [name, floats(start.map((value, i) => value + (shift?.[p]?.[i] ?? 0)), shape)];
      }));
      const results = await gradient.run({
        ...packed.feeds,
        ...adapter,
        ...ktoFeeds(labels, packed.rowOf, 0.1, 1, 1),
        reference_log_probs: reference,
      });
      return {
        loss: (results.loss!.data as Float32Array)[0]!,
        gradients: compiled.parameters.map(({ name }) => results[gradientName(name)]!.data as Float32Array),
      };
    });
  });
}

const dot = (a: Float32Array[], b: Float32Array[]) =>
  a.reduce((sum, each, p) => each.reduce((inner, value, i) => inner + value * b[p]![i]!, sum), 0);
const norm = (a: Float32Array[]) => Math.sqrt(dot(a, a));
const scaled = (a: Float32Array[], factor: number) => a.map((each) => each.map((value) => value * factor));

async function inFolder(run: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-test-" });
  try {
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function gradientsOf(fixture: Fixture): Promise<Float32Array[]> {
  let gradients: Float32Array[] = [];
  await withSteps(fixture, async (step) => {
    ({ gradients } = await step());
  });
  return gradients;
}

/** Largest difference of any tensor, relative to its largest element. */
const difference = (actual: Float32Array[], expected: Float32Array[]) =>
  Math.max(...actual.map((each, p) => {
    const largest = expected[p]!.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return each.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[p]![i]!)), 0) / largest;
  }));

forEveryFile(
  "LoRA gradients beside 4-bit weights are those of the model in float32, and finite differences of it",
  async (fixture) => {
    await inFolder(async (folder) => {
      const exact = await gradientsOf(await withAccuracy(fixture, 0, folder));
      await withSteps(await dequantised(fixture, folder), async (step) => {
        const { gradients } = await step();
        assert(difference(exact, gradients) <= 1e-4, `off by ${difference(exact, gradients)}`);
        // Central differences along the gradient: the loss is a float32 near 0.5, so three digits are left.
        const distance = 1e-2, direction = scaled(exact, distance / norm(exact));
        const slope = ((await step(direction)).loss - (await step(scaled(direction, -1))).loss) / (2 * distance);
        assert(Math.abs(slope / norm(exact) - 1) <= 1e-2, `slope ${slope} where the gradient has ${norm(exact)}`);
      });
    });
  },
  ["model_q4"],
);

// With activations rounded to int8 in the forward pass, the gradient is taken at other activations than the float
// model's: single elements differ by tenths, the direction is the same.
forEveryFile(
  "where the kernel rounds activations, LoRA gradients still point where the float32 model's do",
  async (fixture) => {
    await inFolder(async (folder) => {
      const float = await gradientsOf(await dequantised(fixture, folder)), own = await gradientsOf(fixture);
      const cosine = dot(own, float) / norm(own) / norm(float);
      assert(cosine > 0.98, `cosine ${cosine}`);
      assert(Math.abs(norm(own) / norm(float) - 1) < 0.1, `length ${norm(own)} where ${norm(float)} was expected`);
    });
  },
  ["model_q4", "model_quantized"],
);

forEveryFile("one step along the gradient lowers the loss", async (fixture) => {
  await withSteps(fixture, async (step) => {
    const { loss, gradients } = await step();
    const { loss: after } = await step(scaled(gradients, -0.1 / norm(gradients)));
    assert(after < loss - 0.01, `${loss} to ${after}`);
  });
});

forEveryFile("an adapter may sit on the same layers as in float32", (fixture) => {
  const names = new Set([...fixture.adapter.keys()].map((name) => name.split(".lora_")[0]));
  const layers = adaptableLayers(fixture.model, fixture.config);
  assertEquals(new Set(layers.map(({ module }) => `base_model.model.${module}`)), names);
  return Promise.resolve();
});

// Generation runs the file's own attention and kernels: only float16 is promoted, as stock ONNX Runtime does on a CPU
// operator by operator.
forEveryFile("the generation graph without an adapter gives stock ONNX Runtime's logits", async (fixture, file) => {
  const stock = await stockSession(fixture);
  const session = await InferenceSession.create(compileGeneration(fixture.model, fixture.config), {
    ...sessionOptions(dirname(fixture.model)),
    graphOptimizationLevel: "all",
  });
  const ids = rowsOf(fixture)[0]!.ids, adapter: Record<string, Tensor> = {};
  for (const meta of session.inputMetadata) {
    if (!meta.isTensor || !meta.name.includes(".lora_")) continue;
    adapter[meta.name] = floats([], meta.shape.map((size) => typeof size === "number" ? size : 0));
  }
  assert(Object.keys(adapter).length >= 16, "LoRA is beside the linear layers of both blocks");
  const own = (await session.run({ ...prefillFeeds(session, ids), ...adapter })).logits!;
  const expected = (await stock.run(prefillFeeds(stock, ids))).logits!.data as Float32Array;
  assertEquals(own.type, "float32");
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const off = (own.data as Float32Array).reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  assert(off <= (file === "model_fp16" ? 2e-2 : 1e-5) * largest, `off by ${off} of ${largest}`);
  await stock.release();
  await session.release();
});
