// The compiled graphs against TRL: log-probs, losses and every gradient of the fixtures' goldens. Tolerances are some
// times what float32 TRL itself is off float64 TRL (fixtures/README.md, "Noise").

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { readFileSync } from "node:fs";
import { gradientName } from "../../shared/compiler/compile.ts";
import { readTensorBytes } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";
import {
  type Fixture,
  type Golden2d,
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
import { floats } from "./sessions.ts";

/** Fixtures, with the name of the ONNX file where it is not model.onnx. */
const fixtures = [
  "llama-genai",
  "llama-untied-genai",
  "llama-genai-mha",
  "llama-optimum",
  "llama-dynamo",
  "qwen2-genai",
  "qwen2-optimum",
  "gemma3-genai",
  "gpt2-optimum",
  "gpt2-optimum/model_opset14",
];

const rowOf = (prompt: number[], completion: number[]): Row => ({
  ids: [...prompt, ...completion],
  scored: completion.length,
});
const numbers = (value: { data: unknown } | undefined) => value!.data as Float32Array;

function near(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number, what: string): void {
  assertEquals(actual.length, expected.length, `${what}: another number of values`);
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i]! - expected[i]!);
    assert(difference <= tolerance, `${what}, ${i}: ${actual[i]} where TRL has ${expected[i]} (off by ${difference})`);
  }
}

/** Gradients may be off by 1e-4 of the tensor's largest. */
function nearGradient(actual: ArrayLike<number>, { data }: Golden2d, what: string): void {
  near(actual, data, 1e-4 * data.reduce((most, each) => Math.max(most, Math.abs(each)), 0), what);
}

for (const name of fixtures) {
  const [fixture, file = "model"] = name.split("/");
  const test = (sentence: string, run: (fixture: Fixture) => Promise<void>) =>
    sharedTest(`fixtures/${fixture}`, `${name}: ${sentence}`, async (folder) => {
      await run({ ...await readFixture(folder), model: `${folder}/onnx/${file}.onnx` });
    });

  test("reference log-probs are TRL's, one row at a time and padded in a batch", async (fixture) => {
    const { golden } = fixture;
    await withCompiled(fixture, loraOf(fixture), { kind: "kto", beta: 0.1 }, async (compiled, scoring) => {
      const score = async (rows: Row[]) => {
        const { feeds, rowOf } = packRows(rows);
        const { log_probs } = await scoring.run({ ...feeds, ...loraFeeds(compiled) });
        return sumsByRow(numbers(log_probs), rowOf, rows.length);
      };
      const matched = golden.tokens.rows.map((row) => rowOf(row.prompt_ids, row.completion_ids));
      const mismatched = golden.tokens.rows.map((row) => rowOf(row.prompt_ids, row.KL_completion_ids));
      for (const [rows, expected] of [[matched, golden.ref_logps], [mismatched, golden.ref_KL_logps]] as const) {
        near(await score(rows), expected, 1e-4, "batched");
        for (const [i, row] of rows.entries()) near(await score([row]), [expected[i]!], 1e-4, `row ${i} alone`);
      }
    });
  });

  for (const config of ["kto_beta0.1", "kto_beta0.5"]) {
    test(`loss, log-probs, rewards and every LoRA gradient of ${config} are TRL's`, async (fixture) => {
      const { beta, desirable_weight, undesirable_weight, batches } = fixture.golden.kto[config]!;
      await withCompiled(fixture, loraOf(fixture), { kind: "kto", beta }, async (compiled, scoring, gradient) => {
        assertEquals(batches.length, 3);
        assertEquals(compiled.parameters.length, fixture.adapter.size);
        for (const [b, batch] of batches.entries()) {
          const rows = fixture.golden.tokens.rows.slice(4 * b, 4 * b + 4);
          assertEquals(rows.map((row) => row.label), batch.label);
          const packed = packRows(rows.map((row) => rowOf(row.prompt_ids, row.completion_ids)));
          const reference = (await scoring.run({ ...packed.feeds, ...loraFeeds(compiled) })).log_probs!;
          near(sumsByRow(numbers(reference), packed.rowOf, 4), batch.ref_logps, 1e-4, `batch ${b}, reference`);
          const results = await gradient.run({
            ...packed.feeds,
            ...loraFeeds(compiled, fixture.adapter),
            ...ktoFeeds(batch.label, packed.rowOf, batch.kl, desirable_weight, undesirable_weight),
            reference_log_probs: reference,
          });
          const logProbs = numbers(results.log_probs);
          near(numbers(results.loss), [batch.loss], 1e-5, `batch ${b}, loss`);
          near(sumsByRow(logProbs, packed.rowOf, 4), batch.completion_logps, 2e-4, `batch ${b}, policy`);
          near(
            numbers(results.log_ratios).map((ratio) => beta * ratio),
            batch.rewards,
            2e-4 * beta,
            `batch ${b}, rewards`,
          );
          const perToken = fixture.tensors.get(`${config}/batch${b}/per_token_logps`);
          if (config === "kto_beta0.1") {
            assert(perToken);
            // TRL keeps a column for each token but the first of a row; the graph a flat index of what predicts it.
            const columns = perToken.shape[1]!;
            const expected = packed.positions.map((at, i) =>
              perToken.data[packed.rowOf[i]! * columns + at % packed.width]!
            );
            near(logProbs, expected, 1e-4, `batch ${b}, per token`);
          }
          for (const { name } of compiled.parameters) {
            const expected = fixture.tensors.get(`${config}/batch${b}/grad/${name}`)!;
            nearGradient(numbers(results[gradientName(name)]), transposed(expected), `batch ${b}, ${name}`);
          }
        }
      });
    });
  }

  test("before the first step (B = 0) every log-ratio is 0 and the loss half the mean weight, to the last bit", async (fixture) => {
    await withCompiled(fixture, loraOf(fixture), { kind: "kto", beta: 0.1 }, async (compiled, scoring, gradient) => {
      for (const b of [0, 1, 2]) {
        const rows = fixture.golden.tokens.rows.slice(4 * b, 4 * b + 4), labels = rows.map((row) => row.label);
        const packed = packRows(rows.map((row) => rowOf(row.prompt_ids, row.completion_ids)));
        const adapter = loraFeeds(compiled, fixture.adapter);
        for (const { name, shape } of compiled.parameters) {
          if (name.includes("lora_B")) adapter[name] = floats(new Float32Array(shape[0]! * shape[1]!), shape);
        }
        const reference = (await scoring.run({ ...packed.feeds, ...loraFeeds(compiled) })).log_probs!;
        const results = await gradient.run({
          ...packed.feeds,
          ...adapter,
          ...ktoFeeds(labels, packed.rowOf, 0, 1, 1.25),
          reference_log_probs: reference,
        });
        assertEquals(numbers(results.log_probs), numbers(reference));
        assertEquals([...numbers(results.log_ratios)], [0, 0, 0, 0]);
        const meanWeight = labels.reduce((sum, label) => sum + (label ? 1 : 1.25), 0) / 4;
        assertStrictEquals(numbers(results.loss)[0], meanWeight / 2);
        for (const { name } of compiled.parameters) {
          const still = numbers(results[gradientName(name)]).every((each) => each === 0);
          assertStrictEquals(still, name.includes("lora_A"), `${name}: only B can move while it is 0`);
        }
      }
    });
  });
}

sharedTest(
  "fixtures/llama-genai",
  "llama-genai: loss and every LoRA gradient of supervised fine-tuning are TRL's",
  async (folder) => {
    const fixture = await readFixture(folder), sft = fixture.golden.sft!;
    const rows = sft.batch.input_ids.map((ids, i) => {
      const labels = sft.batch.labels[i]!, last = labels.findLastIndex((label) => label !== -100);
      return { ids: ids.slice(0, last + 1), scored: labels.filter((label) => label !== -100).length };
    });
    await withCompiled(fixture, loraOf(fixture), { kind: "next-token" }, async (compiled, _scoring, gradient) => {
      const { feeds, positions } = packRows(rows);
      const results = await gradient.run({
        ...feeds,
        ...loraFeeds(compiled, fixture.adapter),
        token_weight: floats(positions.map(() => 1 / positions.length)),
      });
      near(numbers(results.loss), [sft.loss], 1e-5, "loss");
      for (const { name } of compiled.parameters) {
        nearGradient(numbers(results[gradientName(name)]), transposed(fixture.tensors.get(`sft/grad/${name}`)!), name);
      }
    });
  },
);

/** Where a checkpoint's linear layer is in the exported graph. */
type LoraMap = Record<string, { onnx: { initializer: string; out_offset: number; out_size: number }[] }>;

sharedTest(
  "fixtures/llama-genai",
  "llama-genai: with every weight trained, loss and gradients are TRL's, packed and tied ones included",
  async (folder) => {
    const fixture = await readFixture(folder);
    const map = JSON.parse(readFileSync(`${folder}/lora_map.json`, "utf8")) as LoraMap;
    const { beta, desirable_weight, undesirable_weight, batches } = fixture.golden.full_kto!;
    const initializers = readModel(fixture.model).initializers;
    const weight = (name: string) =>
      new Float32Array(readTensorBytes(initializers.get(name)!, `${folder}/onnx`).slice().buffer);
    await withCompiled(fixture, { kind: "full" }, { kind: "kto", beta }, async (compiled, _scoring, gradient) => {
      for (const [b, batch] of batches.entries()) {
        const rows = fixture.golden.tokens.rows.slice(4 * b, 4 * b + 4);
        const { feeds, rowOf: rowOfTokens } = packRows(rows.map((row) => rowOf(row.prompt_ids, row.completion_ids)));
        // KTO sums over a row: TRL's sum stands at the row's first token.
        const reference = rowOfTokens.map((row, i) => rowOfTokens[i - 1] === row ? 0 : batch.ref_logps[row]!);
        const results = await gradient.run({
          ...feeds,
          ...Object.fromEntries(compiled.parameters.map(({ name, shape }) => [name, floats(weight(name), shape)])),
          ...ktoFeeds(batch.label, rowOfTokens, batch.kl, desirable_weight, undesirable_weight),
          reference_log_probs: floats(reference),
        });
        near(numbers(results.loss), [batch.loss], 1e-5, `batch ${b}, loss`);
        const compared = new Map<string, number>();
        const compare = (initializer: string, offset: number, hf: string) => {
          const golden = fixture.tensors.get(`full_kto/batch${b}/grad/${hf}`)!;
          const expected = golden.shape.length === 2 ? transposed(golden) : golden;
          const { shape } = compiled.parameters.find(({ name }) => name === initializer)!;
          const columns = shape.at(-1)!, width = expected.shape.at(-1)!;
          const whole = numbers(results[gradientName(initializer)]);
          const part = width === columns
            ? whole
            : whole.filter((_, i) => i % columns >= offset && i % columns < offset + width);
          nearGradient(part, expected, `batch ${b}, ${hf}`);
          compared.set(initializer, (compared.get(initializer) ?? 0) + part.length);
        };
        for (const [module, { onnx: [place] }] of Object.entries(map)) {
          compare(place!.initializer, place!.out_offset, `${module}.weight`);
        }
        compare("lm_head.MatMul.weight", 0, "model.embed_tokens.weight");
        for (const i of [0, 1]) {
          compare(`model.layers.${i}.input_layernorm.weight`, 0, `model.layers.${i}.input_layernorm.weight`);
          compare(
            `model.layers.${i}.post_attention_layernorm.weight`,
            0,
            `model.layers.${i}.post_attention_layernorm.weight`,
          );
        }
        compare("model.layers.2.final_norm_layernorm.weight", 0, "model.norm.weight");
        for (const { name, shape } of compiled.parameters) {
          assertStrictEquals(
            compared.get(name),
            shape.reduce((product, size) => product * size, 1),
            `${name} is compared in full`,
          );
        }
      }
    });
  },
);
