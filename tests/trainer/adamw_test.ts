import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import { clipGradients, createAdamW, gradientNorm } from "../../services/trainer/adamw.ts";
import { readSafetensors, toFloat32 } from "../../shared/onnx/safetensors.ts";
import { readAdapter } from "../../shared/runtime/adapter.ts";

const fixtures = new URL("../../../shared/fixtures/", import.meta.url).pathname;

Deno.test("the first step of TRL's run is reproduced from TRL's gradients, clipping and decay included", async (t) => {
  for (const family of ["llama-genai", "qwen2-genai", "gemma3-genai", "gpt2-optimum"]) {
    await t.step(family, async () => {
      const folder = `${fixtures}${family}`;
      const golden = await Deno.readTextFile(`${folder}/golden.json`).then(JSON.parse).catch(() => undefined);
      if (golden === undefined) return console.log("skipped: no fixtures");
      const [gradientAt, weightAt] = ["kto_beta0.1/batch0/grad/", "trajectory/step1/"];
      const tensors = await readSafetensors(
        `${folder}/golden.safetensors`,
        (name) => name.startsWith(gradientAt) || name.startsWith(weightAt),
      );
      const { tensors: start } = await readAdapter(`${folder}/adapter`);
      const names = [...start.keys()];
      const parameters = names.map((name) => start.get(name)!.data);
      const gradients = names.map((name) => toFloat32(tensors.get(gradientAt + name)!));

      const norm = clipGradients(gradients, 1);
      const expected = golden.kto["kto_beta0.1"].batches[0].grad_norm;
      assert(Math.abs(norm - expected) < 1e-5 * expected, `norm ${norm}, TRL ${expected}`);
      assert(gradientNorm(gradients) <= 1.000001);

      const optimizer = createAdamW(parameters.map((parameter) => parameter.length), { weightDecay: 0.01 });
      optimizer.step(parameters, gradients, 0.01);
      let worst = 0;
      names.forEach((name, index) => {
        const wanted = toFloat32(tensors.get(weightAt + name)!);
        wanted.forEach((value, i) => worst = Math.max(worst, Math.abs(value - parameters[index]![i]!)));
      });
      assert(worst < 5e-6, `largest difference ${worst}`);
    });
  }
});

Deno.test("three steps on one weight follow torch's formula written out", () => {
  const parameter = new Float32Array([0.5]);
  const optimizer = createAdamW([1], { weightDecay: 0.1, epsilon: 1e-3 });
  let [weight, m, v] = [0.5, 0, 0];
  [0.3, -0.2, 0.05].forEach((gradient, index) => {
    const step = index + 1;
    optimizer.step([parameter], [new Float32Array([gradient])], 0.02);
    weight *= 1 - 0.02 * 0.1;
    m = 0.9 * m + 0.1 * gradient;
    v = 0.999 * v + 0.001 * gradient ** 2;
    weight -= 0.02 * (m / (1 - 0.9 ** step)) / (Math.sqrt(v / (1 - 0.999 ** step)) + 1e-3);
    assert(Math.abs(parameter[0]! - weight) < 1e-6, `step ${step}: ${parameter[0]} but ${weight}`);
  });
});

Deno.test("a restored optimizer goes on to the same bits, and does not share memory with the state it came from", () => {
  const run = (steps: number, from?: ReturnType<typeof createAdamW>) => {
    const optimizer = from ?? createAdamW([3], { weightDecay: 0.01 });
    for (let i = 0; i < steps; i++) optimizer.step([parameter], [new Float32Array([0.1, -0.2, 0.3 * (i + 1)])], 0.01);
    return optimizer;
  };
  let parameter = new Float32Array([1, 2, 3]);
  const half = run(2);
  const saved = structuredClone(half.state());
  const atHalf = parameter.slice();
  run(2, half);
  const uninterrupted = parameter;

  parameter = atHalf;
  const resumed = createAdamW([3], { weightDecay: 0.01 });
  resumed.restore(saved);
  run(2, resumed);
  assertEquals(parameter, uninterrupted);
  assertEquals(resumed.state().step, 4);
  assertEquals(saved.step, 2);
  assertNotEquals(saved.firstMoments, resumed.state().firstMoments);
});

Deno.test("a state or gradient of another shape is refused rather than half used", () => {
  const optimizer = createAdamW([2, 3]);
  const fitting = [new Float32Array(2), new Float32Array(3)];
  assertThrows(() => optimizer.step(fitting, [new Float32Array(2)], 1), RangeError);
  assertThrows(() => optimizer.step(fitting, [new Float32Array(2), new Float32Array(4)], 1), RangeError);
  assertThrows(
    () => optimizer.restore({ step: 1, firstMoments: fitting, secondMoments: [new Float32Array(2)] }),
    RangeError,
  );
  assertEquals(optimizer.state().step, 0);
});

Deno.test("clipping scales all gradients by one factor, only when they are too long, and never hides a NaN", () => {
  const gradients = [new Float32Array([3]), new Float32Array([0, 4])];
  assertEquals(clipGradients(gradients, 10), 5);
  assertEquals(clipGradients(gradients, 0), 5);
  assertEquals(gradients, [new Float32Array([3]), new Float32Array([0, 4])]);
  assertEquals(clipGradients(gradients, 1), 5);
  assert(Math.abs(gradients[0]![0]! - 3 / 5) < 1e-6 && Math.abs(gradients[1]![1]! - 4 / 5) < 1e-6);
  const broken = [new Float32Array([NaN, 2])];
  assert(Number.isNaN(clipGradients(broken, 1)));
  assertEquals(broken, [new Float32Array([NaN, 2])]);
});
