// `--device webgpu` answers as the CPU does. Without a GPU it runs on SwiftShader, which Debian's chromium brings along
// (and libvulkan1 the loader); where that is missing the test says so.

import { assert, assertStrictEquals } from "@std/assert";
import { softwareGpu } from "../../shared/runtime/software_gpu.ts";
import { withFolder } from "../commands/run_task.ts";
import { startGatewayProcess } from "./gateway_process.ts";

Deno.test("a gateway on WebGPU gives the CPU's greedy answer, with its log-probs", async () => {
  const driver = softwareGpu();
  if (!driver) return console.log("skipped: no SwiftShader (Debian: apt-get install chromium libvulkan1)");
  const body = JSON.stringify({
    model: "base",
    messages: [{ role: "user", content: "What is the opposite of hot?" }],
    temperature: 0,
    max_tokens: 6,
    logprobs: true,
  });
  const answer = (device: string) =>
    withFolderResult(async (folder) => {
      const gateway = await startGatewayProcess(folder, {
        args: ["--device", device],
        env: { VK_DRIVER_FILES: driver },
      });
      try {
        const headers = { "Content-Type": "application/json" };
        const response = await fetch(`${gateway.address}/v1/chat/completions`, { method: "POST", headers, body });
        return (await response.json()).choices[0];
      } finally {
        await gateway.stop();
      }
    });
  const cpu = await answer("cpu"), gpu = await answer("webgpu");
  assertStrictEquals(gpu.message.content, cpu.message.content);
  cpu.logprobs.content.forEach(({ logprob }: { logprob: number }, i: number) => {
    const off = Math.abs(logprob - gpu.logprobs.content[i].logprob);
    assert(off < 1e-3, `token ${i}: ${logprob} on the CPU, ${off} off on WebGPU`);
  });
});

async function withFolderResult<Result>(use: (folder: string) => Promise<Result>): Promise<Result> {
  let result: Result;
  await withFolder(async (folder) => {
    result = await use(folder);
  });
  return result!;
}
