// `deno task models`: which models, exporters and precisions work on which device, from running them; writes
// docs/MODELS.md. Thin: what is measured is in services/trainer/survey.

import { fileURLToPath } from "node:url";
import { measureCell, type Subject } from "../services/trainer/survey/measure.ts";
import { survey } from "../services/trainer/survey/survey.ts";
import { createReporter } from "../shared/progress.ts";
import { softwareGpu } from "../shared/runtime/software_gpu.ts";
import { command, count, device, list, runCommand } from "./command.ts";

const program = command(
  "models",
  `Runs every ONNX file of the fixtures, log-probs and one training step, against their goldens, and writes the table of
what works. Findings of earlier runs are kept, so a part can be run again.`,
)
  .option("--fixtures <folders>", "folders of model folders with goldens", list, [
    "../shared/fixtures",
    "tests/exports",
  ])
  .option("--devices <list>", "cpu, webgpu or both; without a GPU webgpu runs on SwiftShader, slowly", list, ["cpu"])
  .option("--only <text>", "only files whose folder/name holds this", "")
  .option("--seconds <n>", "longest time for one file on one device", count, 600)
  .option("--out <file>", "the page to write", "docs/MODELS.md")
  .option("--json", "findings as JSON lines on stdout")
  .action(async (options) => {
    const devices = (options.devices as string[]).map(device),
      reporter = createReporter({ json: options.json === true });
    if (devices.includes("webgpu") && !Deno.env.has("VK_DRIVER_FILES")) {
      const driver = softwareGpu();
      if (driver) Deno.env.set("VK_DRIVER_FILES", driver);
    }
    await survey({ ...options, devices, program: fileURLToPath(import.meta.url) }, reporter);
  });

program.command("cell", { hidden: true })
  .argument("<json>")
  .action(async (text: string) => {
    const subject = JSON.parse(text) as Subject;
    await measureCell(subject, (finding) => console.log(JSON.stringify(finding)));
  });

await runCommand(program);
