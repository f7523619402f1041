// `--device webgpu` gives the CPU's numbers. Without a GPU it runs on SwiftShader, which Debian's chromium brings along
// (and libvulkan1 the loader); where that is missing the test says so.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { softwareGpu } from "../../shared/runtime/software_gpu.ts";
import { fixture, fixtureTest, readLines, succeed } from "./run_task.ts";

fixtureTest("steps on WebGPU have the CPU's losses, rewards and gradient norms", async (cache) => {
  const driver = softwareGpu();
  if (!driver) return console.log("skipped: no SwiftShader (Debian: apt-get install chromium libvulkan1)");
  const model = fixture("llama-genai"), data = `${cache}/data.jsonl`;
  // One prompt for all rows, since every distinct one is answered before and after, which SwiftShader takes its time for.
  const rows = readLines(`${model}/data.jsonl`), { prompt } = rows[2]!;
  const some = rows.slice(2, 4).map((row) => JSON.stringify({ ...row, prompt }));
  await Deno.writeTextFile(data, some.join("\n"));
  const settings = ["--model", model, "--data", data, "--init-adapter", `${model}/adapter`, "--batch-size", 2];
  const more = [
    "--pairing",
    "rotate",
    "--epochs",
    2,
    "--warmup-ratio",
    0,
    "--learning-rate",
    0.01,
    "--held-out",
    0,
    "--workers",
    1,
  ];
  const run = async (device: string) => {
    const out = `${cache}/${device}`, args = [...settings, ...more, "--device", device, "--out", out];
    await succeed("train", args, { cache, env: { VK_DRIVER_FILES: driver } });
    const { result, settings: used } = JSON.parse(Deno.readTextFileSync(`${out}/run.json`));
    assertStrictEquals(used.device, device);
    assertStrictEquals(result.reference.cached, 0, "one device took the other's log-probs from the cache");
    return readLines<Record<string, number>>(`${out}/metrics.jsonl`);
  };
  const cpu = await run("cpu"), gpu = await run("webgpu");
  assertEquals(cpu.length, 2);
  assertEquals(gpu.length, 2);
  for (const [i, expected] of cpu.entries()) {
    for (const key of ["loss", "kl", "grad_norm", "rewards/chosen", "rewards/rejected"]) {
      const off = Math.abs(gpu[i]![key]! - expected[key]!);
      assert(off <= 1e-3, `step ${i + 1}, ${key}: ${gpu[i]![key]} on WebGPU, ${expected[key]} on the CPU`);
    }
  }
  assert(cpu.some(({ kl }) => kl! > 0), "no reference point above 0");
  assert(cpu[1]!.loss !== cpu[0]!.loss, "nothing was trained");
});
