// The page of what works: its text for given findings, and that the page in the repository is the text of the findings
// beside it. Then the survey itself, on a fixture, on a folder that is not there, and on a process that dies.

import { assert, assertEquals, assertMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Cell, cellSchema, exporterOf, holds, limits } from "../../services/trainer/survey/cell.ts";
import { stageOf } from "../../services/trainer/survey/measure.ts";
import { dtypeOf, subjects, survey } from "../../services/trainer/survey/survey.ts";
import { renderModels, tidy } from "../../services/trainer/survey/table.ts";
import { findSuspect, firstToPart } from "../../services/trainer/survey/suspect.ts";
import { compileScoring } from "../../shared/compiler/compile.ts";
import { microBatchFeeds } from "../../shared/compiler/feeds.ts";
import { packRows } from "../../shared/feedback/micro_batch.ts";
import { InputError, RefusedModelError } from "../../shared/errors.ts";
import { createReporter } from "../../shared/progress.ts";
import { NoFloat16Error, NoGpuError } from "../../shared/runtime/gpu.ts";
import { floats } from "../compiler/sessions.ts";
import { runTask, withFolder } from "../commands/run_task.ts";
import { SHARED, sharedTest } from "../feedback/shared_files.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

const cell = (more: Partial<Cell>): Cell => ({
  model: "llama-genai",
  family: "llama",
  exporter: "GenAI builder",
  file: "model.onnx",
  dtype: "fp32",
  device: "cpu",
  date: "2026-01-02",
  scoring: { kind: "measured", error: 1.5e-7 },
  training: { kind: "measured", error: 3e-6, loss: { before: 0.5, after: 0.49 } },
  ...more,
});

/** Rows of the table without its head. */
const rowsOf = (page: string) => page.split("\n").filter((line) => line.startsWith("| ")).slice(2);

Deno.test("the page has a row per file, a tick with its errors, and one numbered sentence per reason", () => {
  const refused = { kind: "refused", sentence: 'operator Warp, node "w": expected a rule.' } as const;
  const page = renderModels([
    cell({ model: "qwen2-optimum", family: "qwen2", exporter: "optimum (TorchScript)", training: refused }),
    cell({
      device: "webgpu",
      scoring: { kind: "measured", error: 0.2 },
      training: { kind: "broken", sentence: "It | died." },
    }),
    cell({
      file: "model_q4.onnx",
      dtype: "q4",
      scoring: refused,
      training: { kind: "untested", sentence: "Too slow." },
    }),
    cell({ date: "2026-01-03" }),
    cell({ model: "z-genai", scoring: { kind: "measured", error: 1 }, suspect: "Cos is off." }),
  ]);
  assertEquals(rowsOf(page), [
    "| llama | GenAI builder | llama-genai/model.onnx | fp32 | ✓ 1.5e-7 | ✓ 3.0e-6, loss 0.500 → 0.490 | ✗ 2.0e-1 | ✗ broken [1] |",
    "| llama | GenAI builder | llama-genai/model_q4.onnx | q4 | refused [2] | untested [3] | untested | untested |",
    "| qwen2 | optimum (TorchScript) | qwen2-optimum/model.onnx | fp32 | ✓ 1.5e-7 | refused [2] | untested | untested |",
    "| llama | GenAI builder | z-genai/model.onnx | fp32 | ✗ 1.0e+0 [4] | ✓ 3.0e-6, loss 0.500 → 0.490 | untested | untested |",
    "| qwen3 | any | none here (Qwen 3) | any | untested | untested | untested | untested |",
    "| gemma3_text | any | none here (Gemma 3) | any | untested | untested | untested | untested |",
    "| phi3 | any | none here (Phi 3) | any | untested | untested | untested | untested |",
    "| gpt2 | any | none here (GPT-2) | any | untested | untested | untested | untested |",
  ]);
  assertMatch(
    page,
    /\n1\. It \| died\.\n2\. operator Warp, node "w": expected a rule\.\n3\. Too slow\.\n4\. Cos is off\.\n$/,
  );
  assertMatch(page, /from 2026-01-02 to 2026-01-03/);
  assertMatch(renderModels([]), /it has run nothing yet/);
});

Deno.test("the page in the repository is what the findings beside it say, and nobody's own words", async () => {
  const findings = JSON.parse(await Deno.readTextFile(join(root, "docs/models.json")));
  const page = await Deno.readTextFile(join(root, "docs/MODELS.md"));
  assertStrictEquals(page, renderModels(cellSchema.array().parse(findings)));
});

Deno.test("a tick wants both: an error within the limit of precision and device, and a loss that fell", () => {
  const measured = (error: number | null, after?: number) =>
    ({ kind: "measured", error, ...(after === undefined ? {} : { loss: { before: 1, after } }) }) as const;
  assert(holds(measured(1e-6), 2e-6) && !holds(measured(3e-6), 2e-6) && !holds(measured(NaN), 1));
  assert(holds(measured(null, 0.9), 0) && !holds(measured(null, 1), 0) && !holds(measured(0, NaN), 1));
  const strict = limits({ dtype: "fp32", device: "cpu" }), loose = limits({ dtype: "q8", device: "cpu" });
  assert(strict.scoring < limits({ dtype: "fp16", device: "cpu" }).scoring);
  assert(limits({ dtype: "fp16", device: "cpu" }).scoring < loose.scoring);
});

Deno.test("the suspect is the first operator that adds an error, not those that pass it on", () => {
  const node = (opType: string, input: string, output: string) => ({
    name: `/${output}`,
    opType,
    input: [input, ""],
    output: [output, ""],
  });
  const nodes = [node("MatMul", "x", "a"), node("Cos", "a", "b"), node("Mul", "b", "c"), node("Where", "x", "m")];
  const values = (more: Record<string, number[]>) =>
    Object.fromEntries(
      Object.entries({ a: [1, 2], b: [0.5, 0.25], c: [4, 2], m: [0, -Infinity], ...more })
        .map(([name, data]) => [name, floats(data)]),
    );
  assertEquals(firstToPart(nodes, values({ a: [1.000001, 2] }), values({})), undefined);
  assertMatch(
    firstToPart(nodes, values({ b: [0.501, 0.25], c: [4.008, 2] }), values({}))!,
    /^Cos \(node "\/b"\) is the first .* by 2\.0e-3 /,
  );
  assertMatch(firstToPart(nodes, values({ m: [0, NaN] }), values({}))!, /^Where .*Infinity/);
});

sharedTest("fixtures/llama-optimum", "a device that computes as the CPU does has no suspect", async (folder) => {
  const { scoring, tokenMultiple, folder: weights } = await compileScoring(`${folder}/onnx/model.onnx`, {}, undefined);
  const feeds = microBatchFeeds(packRows([{ promptIds: [5], completionIds: [6, 7] }], tokenMultiple));
  assertEquals(await findSuspect(scoring, weights, feeds, "cpu"), undefined);
});

Deno.test("what a stage throws is a refusal where it was made for people, else a breakage", async () => {
  const stage = (error: Error) => stageOf(() => Promise.reject(error));
  assertEquals((await stage(new RefusedModelError("no"))).kind, "refused");
  assertEquals((await stage(new InputError("no"))).kind, "refused");
  assertEquals((await stage(new NoGpuError("There is none."))).kind, "untested");
  assertEquals(
    (await stage(new NoFloat16Error("Its shaders have none."))).kind,
    "refused",
  );
  assertEquals(await stage(new TypeError("x is not y")), { kind: "broken", sentence: "x is not y" });
});

Deno.test("names of folders and files say exporter and precision; sentences lose the machine's folders", () => {
  assertEquals(["a-genai", "a-genai-mha", "b-optimum", "b-dynamo", "c"].map(exporterOf), [
    "GenAI builder",
    "GenAI builder 0.8",
    "optimum (TorchScript)",
    "torch dynamo",
    "unknown",
  ]);
  assertEquals(
    ["model.onnx", "model_fp16.onnx", "model_q4.onnx", "model_quantized.onnx", "model_opset14.onnx"].map(dtypeOf),
    ["fp32", "fp16", "q4", "q8", "fp32"],
  );
  assertEquals(tidy("/a/b/m/x.onnx: no\n  rule; see /a/b/n", "/a/b/m/x.onnx", ["/a", "/a/b/"]), "no rule; see n");
});

Deno.test("a fixtures folder that is not there, or holds nothing of the kind, is said", async () => {
  assertThrows(
    () => subjects({ fixtures: ["/nowhere"], devices: ["cpu"], only: "" }),
    Error,
    "/nowhere: no such folder; --fix",
  );
  const { code, stderr } = await runTask("models", ["--fixtures", "/nowhere"], { cache: "none" });
  assertEquals(code, 2);
  assertMatch(stderr, /^\/nowhere: no such folder/);
});

sharedTest(
  "fixtures/llama-genai",
  "the survey measures a file, keeps earlier findings, and outlives a process that dies",
  async () => {
    await withFolder(async (folder) => {
      const out = join(folder, "page.md"), reporter = createReporter({ json: true, out: () => {} });
      const settings = { fixtures: [`${SHARED}/fixtures`], devices: ["cpu" as const], seconds: 120, out };
      const only = "llama-genai/model.onnx", program = join(root, "scripts/models.ts");
      const [first] = await survey({ ...settings, only, program }, reporter);
      for (const stage of [first!.scoring, first!.training]) {
        assertEquals(stage.kind, "measured", JSON.stringify(stage));
      }
      assertMatch(
        await Deno.readTextFile(out),
        /llama-genai\/model\.onnx \| fp32 \| ✓ \d\.\de-\d \| ✓ \d\.\de-\d, loss/,
      );

      const dying = join(folder, "dying.ts");
      const line = JSON.stringify({ stage: "scoring", finding: { kind: "measured", error: 0 } });
      await Deno.writeTextFile(dying, `console.log(${JSON.stringify(line)}); Deno.kill(Deno.pid, "SIGKILL");`);
      const cells = await survey({ ...settings, only: "qwen2-genai/model.onnx", program: dying }, reporter);
      assertEquals(cells.length, 2, "the earlier finding is lost");
      assertEquals(cells[1]!.scoring, { kind: "measured", error: 0 });
      assertEquals(cells[1]!.training, { kind: "broken", sentence: "The process ended with SIGKILL." });

      await Deno.writeTextFile(dying, "await new Promise((resolve) => setTimeout(resolve, 60000));");
      const late = await survey({ ...settings, seconds: 1, only: "qwen2-genai/model.onnx", program: dying }, reporter);
      assertEquals(late[1]!.scoring, { kind: "untested", sentence: "Not done within 1 s." });
    });
  },
);
