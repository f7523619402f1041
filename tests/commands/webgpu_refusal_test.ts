// What a GPU cannot run is refused in one sentence before anything is opened on it. SwiftShader has no 16-bit floats
// (Debian's chromium brings it along, and libvulkan1 the loader); where it is missing the test says so.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { softwareGpu } from "../../shared/runtime/software_gpu.ts";
import { copyFolder, fixture, fixtureTest, runTask } from "./run_task.ts";

const model = fixture("llama-genai"), data = `${model}/data.jsonl`;

/** The sentence with which a task ends; the driver's own lines are not the project's. */
async function refusal(task: string, args: (string | number)[], cache: string, driver: string): Promise<string> {
  const { code, stderr } = await runTask(task, args, { cache, env: { VK_DRIVER_FILES: driver } });
  assertEquals(code, 2, `${task}: ${stderr}`);
  assertNotMatch(stderr, /onnxruntime|Non-zero status|shader_helper|\.cc:\d+|^\s+at .*\.ts/m, task);
  return stderr.trimEnd().split("\n").at(-1)!;
}

fixtureTest(
  "16-bit floats on a GPU without them are refused by every command, with what works instead",
  async (folder) => {
    const driver = softwareGpu();
    if (!driver) return console.log("skipped: no SwiftShader (Debian: apt-get install chromium libvulkan1)");
    const on = (path: string) => ["--model", path, "--device", "webgpu"], out = `${folder}/out`;
    const asked = [...on(model), "--dtype", "fp16"];
    const tasks: Record<string, (string | number)[]> = {
      train: ["--data", data, "--out", out],
      score: ["--data", data, "--out", out],
      evaluate: ["--data", data],
      generate: ["--prompt", "hi"],
      gateway: ["--port", 0, "--data-dir", `${folder}/data`],
    };
    for (const [task, args] of Object.entries(tasks)) {
      const sentence = await refusal(task, [...asked, ...args], folder, driver);
      assertMatch(
        sentence,
        /^--dtype fp16 on --device webgpu: .*model_fp16\.onnx has 16-bit floats.*\(no shader-f16\)/,
      );
      assertMatch(sentence, /: use --dtype fp32, q8 or q4, or --device cpu\.$/);
    }
    assert(!existsSync(out), "something was written to --out");
    // Only what the folder has is offered; q4f16 has them, too, under another name.
    const copy = `${folder}/model`;
    await copyFolder(model, copy);
    for (const file of ["model.onnx", "model_quantized.onnx"]) await Deno.remove(`${copy}/onnx/${file}`);
    await Deno.copyFile(`${copy}/onnx/model_fp16.onnx`, `${copy}/onnx/model_q4f16.onnx`);
    const args = ["--data", data, "--out", out, "--dtype", "q4f16"];
    assertMatch(
      await refusal("score", [...on(copy), ...args], folder, driver),
      /: use --dtype q4, or --device cpu\.$/,
    );
    await Deno.writeTextFile(`${copy}/onnx/model_q4.onnx`, "broken");
    assertMatch(await refusal("score", [...on(copy), ...args], folder, driver), /: use --device cpu\.$/);
  },
);

fixtureTest("webgpu without a GPU is refused in words", async (folder) => {
  for (const task of ["score", "train"]) {
    const args = ["--model", model, "--data", data, "--out", `${folder}/out`, "--device", "webgpu"];
    assertEquals(
      await refusal(task, args, folder, `${folder}/no-driver.json`),
      "--device webgpu: there is no GPU here that WebGPU can use; install its driver (on Linux one for Vulkan), or use " +
        "--device cpu.",
    );
  }
});

fixtureTest(
  "on a GPU the default is one worker, and more are refused, since ONNX Runtime would crash",
  async (folder) => {
    const args = ["--model", model, "--data", data, "--out", `${folder}/out`, "--device", "webgpu"];
    for (const task of ["score", "train"]) {
      assertMatch(
        await refusal(task, [...args, "--workers", 2], folder, ""),
        /^--workers 2 on --device webgpu: .*; leave it out\.$/,
      );
    }
    const gateway = [
      "--model",
      model,
      "--device",
      "webgpu",
      "--workers",
      2,
      "--port",
      0,
      "--data-dir",
      `${folder}/data`,
    ];
    assertMatch(await refusal("gateway", gateway, folder, ""), /^--workers 2 on --device webgpu: /);
    const trainer = ["--model", model, "--device", "webgpu", "--train-workers", 2, "--data-dir", `${folder}/data`];
    assertMatch(await refusal("trainer", trainer, folder, ""), /^--train-workers 2 on --device webgpu: /);
    const driver = softwareGpu();
    if (!driver) return console.log("skipped: no SwiftShader (Debian: apt-get install chromium libvulkan1)");
    const { code, stderr } = await runTask("score", args, { cache: folder, env: { VK_DRIVER_FILES: driver } });
    assertStrictEquals(code, 0, stderr);
  },
);
