// Weights of a whole model in and out of a parameter block: read from the model's files, and written back as a copy of
// its folder with the trained weights in place. It does not know what the weights mean.

import { statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ensureWritableFolder, writeFailure } from "../../shared/atomic_file.ts";
import { readTensorBytes, weightsFolder } from "../../shared/onnx/external_data.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import type { OpenModel } from "./model.ts";
import type { ParameterBlock } from "./parameters.ts";

/** Sets every parameter to the model's own weight. */
export function fillFromModel(policy: ParameterBlock, path: string): void {
  const graph = readModel(path);
  policy.parameters.forEach(({ name }, i) => {
    const bytes = readTensorBytes(graph.initializers.get(name)!, weightsFolder(path)).slice();
    policy.views[i]!.set(new Float32Array(bytes.buffer));
  });
}

/**
 * Writes a transformers.js folder with the trained weights: a copy of the model's files in which the bytes of each
 * trained weight are overwritten. The folder appears whole, by a rename at the end.
 */
export async function exportFullModel(out: string, model: OpenModel, policy: ParameterBlock): Promise<void> {
  const graph = readModel(model.path, { inlineLimit: 0, links: "kept" });
  const source = dirname(model.path);
  const temporary = `${out}.partial`;
  try {
    await Deno.remove(temporary, { recursive: true }).catch(() => {});
    await ensureWritableFolder(join(temporary, "onnx"));
    for (const entry of Deno.readDirSync(model.folder.path)) {
      const file = join(model.folder.path, entry.name);
      // Links count as what they lead to.
      if (/\.(json|jinja)$/.test(entry.name) && statSync(file, { throwIfNoEntry: false })?.isFile()) {
        await Deno.copyFile(file, join(temporary, entry.name));
      }
    }
    const files = new Set([basename(model.path)]);
    for (const { data } of graph.initializers.values()) if (data.kind === "external") files.add(data.location);
    for (const file of files) {
      await Deno.copyFile(join(source, file), join(temporary, "onnx", file));
      await Deno.chmod(join(temporary, "onnx", file), 0o644);
    }
    policy.parameters.forEach(({ name }, i) => {
      const { data } = graph.initializers.get(name)!;
      if (data.kind !== "external") throw new Error(`The place of weight "${name}" in its file is not known.`);
      using file = Deno.openSync(join(temporary, "onnx", data.location), { write: true });
      file.seekSync(data.offset, Deno.SeekMode.Start);
      const bytes = new Uint8Array(policy.views[i]!.slice().buffer);
      for (let written = 0; written < bytes.length;) written += file.writeSync(bytes.subarray(written));
    });
    await Deno.remove(out, { recursive: true }).catch(() => {});
    await Deno.rename(temporary, out);
  } catch (error) {
    throw writeFailure(out, error);
  }
}
