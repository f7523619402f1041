// Where a model's weights are: files of the model's folder, or those that links in it lead to. It does not know what is in
// them.

import { dirname, join, relative, sep } from "node:path";
import { InputError } from "../errors.ts";
import type { Graph, Tensor } from "./graph.ts";
import { refusePointer } from "./other_weights.ts";

/** Folder in which the places of a model's weights are: that of the file itself where `path` is a link to it. */
export function weightsFolder(path: string): string {
  return dirname(Deno.realPathSync(path));
}

/**
 * Checks that each file that initializers point into is there and long enough. ONNX Runtime follows no link out of the
 * folder that it is given: unless links are kept, initializers then point to the file behind.
 */
export function settleExternalFiles(graph: Graph, path: string, links: "followed" | "kept"): void {
  const folder = dirname(path), home = weightsFolder(path);
  const files = new Map<string, { size: number; place: string }>();
  for (const tensor of graph.initializers.values()) {
    if (tensor.data.kind !== "external") continue;
    const { location, offset, length } = tensor.data, file = join(folder, location);
    if (!files.has(location)) {
      if (location.startsWith("/") || location.split(/[\\/]/).includes("..")) {
        throw new InputError(
          `${path}: external data "${location}" points outside the model's folder, which is refused.`,
        );
      }
      try {
        const { size, isFile } = Deno.statSync(file);
        if (!isFile) throw new Error("it is a folder");
        files.set(location, { size, place: relative(home, Deno.realPathSync(file)) });
      } catch {
        throw new InputError(`${file}: the external data of ${path} is missing; put the file back beside the model.`);
      }
    }
    const { size, place } = files.get(location)!;
    if (place.split(sep)[0] === "..") {
      throw new InputError(
        `${file} and ${path}: links lead to files of different folders, which ONNX Runtime does not follow; copy the ` +
          `model's folder with what its links point to (cp -rL) and name the copy.`,
      );
    }
    if (offset + length > size) {
      refusePointer(file);
      throw new InputError(
        `${file}: too short: weight "${tensor.name}" of ${path} ends at byte ${offset + length}, ` +
          `the file has ${size}; download or copy it again.`,
      );
    }
    if (links === "followed") tensor.data.location = place;
  }
}

/** Reads the bytes of an initializer, from memory or from its file in `folder`. */
export function readTensorBytes(tensor: Tensor, folder: string): Uint8Array {
  if (tensor.data.kind === "inline") return tensor.data.bytes;
  const { location, offset, length } = tensor.data;
  using file = Deno.openSync(join(folder, location));
  file.seekSync(offset, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const read = file.readSync(bytes.subarray(filled));
    if (read === null) throw new InputError(`${join(folder, location)}: too short for weight "${tensor.name}".`);
    filled += read;
  }
  return bytes;
}
