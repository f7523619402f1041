// What the compiler's tests share: sessions over compiled graphs, and tensors. It does not know operators or models.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { sessionOptions } from "../../shared/runtime/session.ts";

/** A session as Prospect opens it, on ONNX bytes whose external data lies in `folder`. */
export function sessionFor(model: Uint8Array, folder = "."): Promise<InferenceSession> {
  return InferenceSession.create(model, sessionOptions(folder));
}

export const floats = (values: ArrayLike<number>, dims: number[] = [values.length]): Tensor =>
  new Tensor("float32", Float32Array.from(values), dims);

export const ints = (values: number[], dims: number[] = [values.length]): Tensor =>
  new Tensor("int64", BigInt64Array.from(values.map(BigInt)), dims);
