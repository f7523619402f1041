// transformers.js' names of precisions and of the ONNX files that have them. It knows names, not files or folders.

import { InputError } from "../errors.ts";

/** transformers.js' precisions and what each adds to the file's base name, from the most to the least precise. */
export const DTYPE_SUFFIXES = {
  fp32: "",
  fp16: "_fp16",
  q8: "_quantized",
  int8: "_int8",
  uint8: "_uint8",
  q4: "_q4",
  q4f16: "_q4f16",
  bnb4: "_bnb4",
  q2: "_q2",
  q2f16: "_q2f16",
  q1: "_q1",
  q1f16: "_q1f16",
} as const;

/** A precision by transformers.js' name. */
export type Dtype = keyof typeof DTYPE_SUFFIXES;

/** All precisions, the most precise first. */
export const DTYPES = Object.keys(DTYPE_SUFFIXES) as Dtype[];

/** Where a decoder lies in a repository, the usual place first. optimum writes to the root unless told otherwise. */
const BASE_NAMES = ["onnx/model", "onnx/decoder_model_merged", "model", "decoder_model_merged"];

/** Paths at which the ONNX file of a precision may be, the usual one first. */
export function onnxCandidates(dtype: Dtype): string[] {
  return BASE_NAMES.map((base) => `${base}${DTYPE_SUFFIXES[dtype]}.onnx`);
}

/** @throws {InputError} for a name that is no precision */
export function checkDtypeName(dtype: string): Dtype {
  if (Object.hasOwn(DTYPE_SUFFIXES, dtype)) return dtype as Dtype;
  throw new InputError(`Unknown dtype ${JSON.stringify(dtype)}: use auto or one of ${DTYPES.join(", ")}.`);
}
