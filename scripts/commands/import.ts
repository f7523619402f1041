// The words of `deno task import`, and what it needs leave for.

import { dirname } from "node:path";
import { command, PathOption } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = { runtime: true };

export const program = command(
  "import",
  `Writes a transformers.js folder (onnx/model.onnx in fp32, KV cache included) from a Hugging Face checkpoint: config.json
and model.safetensors, or its shards. Commands with --model do this by themselves, into the cache.`,
)
  .addOption(new PathOption("--model <folder>", "the checkpoint; it is only read", "read"))
  .addOption(new PathOption("--out <folder>", "where to write; must not be there yet", "write", dirname))
  .option("--json", "progress and result as JSON lines on stdout");
