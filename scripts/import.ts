// `deno task import`: the ONNX file of a safetensors checkpoint, in a folder of its own.

import { dirname } from "node:path";
import { importCheckpoint } from "../shared/architectures/import_checkpoint.ts";
import { ensureWritableFolder } from "../shared/atomic_file.ts";
import { lockOutputPath, type OutputLock } from "../shared/output_lock.ts";
import { createReporter, type Progress } from "../shared/progress.ts";
import { required, runCommand } from "./command.ts";
import { program } from "./commands/import.ts";

program.action(async (options) => {
  const model: string = required(options.model, "--model"), out: string = required(options.out, "--out");
  const json = options.json === true, reporter = createReporter({ json });
  let progress: Progress | undefined, shown = 0;
  let lock: OutputLock | undefined;
  try {
    const { remark } = await importCheckpoint(model, out, {
      onChecked: async () => {
        await ensureWritableFolder(dirname(out));
        lock = await lockOutputPath(out);
      },
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
    lock?.release();
  }
  console.log(json ? JSON.stringify({ event: "imported", out }) : `Written to ${out}.`);
});

await runCommand(program);
