// Weights that Prospect does not read, and texts in place of weights: how files show that they are such, and what would
// work in their place.

import { existsSync, readdirSync } from "node:fs";
import { InputError } from "../errors.ts";

interface Format {
  file: RegExp;
  what: string;
  instead: string;
}

const formats: Format[] = [
  { file: /\.gguf$/, what: "a GGUF file", instead: "give the safetensors checkpoint that it was made from" },
  {
    file: /^pytorch_model.*\.bin$|\.(pt|pth)$/,
    what: "a Python pickle",
    instead: "save the model as safetensors (save_pretrained of transformers)",
  },
  {
    file: /\.(h5|msgpack)$/,
    what: "of TensorFlow or Flax",
    instead: "save the model as safetensors (from PyTorch, with save_pretrained of transformers)",
  },
];

/** The clause about a file of another format, by its name; undefined for others. */
export function aboutOtherWeights(name: string): string | undefined {
  const format = formats.find(({ file }) => file.test(name));
  return format && `${name} is ${format.what}, which is not read: ${format.instead}, or use an ONNX export`;
}

/** The clause about the first file of another format in a folder, if there is one. */
export function otherWeightsIn(folder: string): string | undefined {
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names.map(aboutOtherWeights).find((clause) => clause !== undefined);
}

const pointer = new TextEncoder().encode("version https://git-lfs.github.com/spec/");

/**
 * A clone without Git LFS has a few lines of text in place of every large file.
 *
 * @throws {InputError} where `path` is such a text
 */
export function refusePointer(path: string): void {
  const head = new Uint8Array(pointer.length);
  try {
    using file = Deno.openSync(path);
    file.readSync(head);
  } catch {
    // Who reads the file itself says what is the matter.
  }
  if (head.some((byte, i) => byte !== pointer[i])) return;
  throw new InputError(`${path}: a Git LFS pointer in place of the file itself; run "git lfs pull" in its folder.`);
}
