// `deno task import`: the ONNX file of a safetensors checkpoint, in a folder of its own.

import { importCheckpoint } from "../shared/architectures/import_checkpoint.ts";
import { createReporter, type Progress } from "../shared/progress.ts";
import { command, required, runCommand } from "./command.ts";

const program = command(
  "import",
  `Writes a transformers.js folder (onnx/model.onnx in fp32, KV cache included) from a Hugging Face checkpoint: config.json
and model.safetensors, or its shards. Commands with --model do this by themselves, into the cache.`,
)
  .option("--model <folder>", "the checkpoint; it is only read")
  .option("--out <folder>", "where to write; must not be there yet")
  .option("--json", "progress and result as JSON lines on stdout")
  .action(async (options) => {
    const model: string = required(options.model, "--model"), out: string = required(options.out, "--out");
    const json = options.json === true, reporter = createReporter({ json });
    let progress: Progress | undefined, shown = 0;
    try {
      const { remark } = await importCheckpoint(model, out, {
        onProgress: (written, total) => {
          progress ??= reporter.progress({ label: "importing", total, unit: "bytes" });
          progress.advance(written - shown);
          shown = written;
        },
      });
      progress?.done();
      if (remark) console.error(`${model}: ${remark}.`);
    } finally {
      progress?.done();
    }
    console.log(json ? JSON.stringify({ event: "imported", out }) : `Written to ${out}.`);
  });

await runCommand(program);
