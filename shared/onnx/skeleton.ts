// A model file without its weights: byte for byte as it is, but for large initializers, which name the ranges of the files
// that hold them. Whatever else is in the file, sound or not, is still there for ONNX Runtime to judge. It does not judge
// itself.

import { messages } from "./schema.ts";
import { fields, FileWindow } from "./file_fields.ts";
import type { Graph, Tensor } from "./graph.ts";
import { InputError } from "../errors.ts";

/** Fields of ModelProto, GraphProto and TensorProto. */
const graphField = 7, initializerField = 5;
const tensorFields = { floatData: 4, name: 8, rawData: 9, externalData: 13, dataLocation: 14 };
/** What a tensor in a file of its own has not, or has from us. */
const replaced = new Set([
  tensorFields.floatData,
  tensorFields.rawData,
  tensorFields.externalData,
  tensorFields.dataLocation,
]);

const decoder = new TextDecoder();

/** A field of bytes: its tag, its length and the parts that it is made of. */
function message(id: number, parts: Uint8Array[]): Uint8Array[] {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return [varint(8 * id + 2), varint(length), ...parts];
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push(value % 128 + 128);
  return Uint8Array.from([...bytes, value]);
}

/**
 * The bytes of a model file whose large weights are references, to be resolved against {@link weightsFolder}.
 *
 * @param graph what readModel found in it
 */
export function skeletonOf(path: string, graph: Graph): Uint8Array {
  using file = Deno.openSync(path);
  const window = new FileWindow(file, Deno.statSync(path).size, (why) => {
    throw new InputError(`${path}: not a usable ONNX model: ${why}; download or export it again.`);
  });
  const copy = (start: number, end: number) => window.bytes(start, end - start).slice();
  const parts: Uint8Array[] = [];
  for (const outer of fields(window, 0, window.size)) {
    if (outer.id !== graphField) {
      parts.push(copy(outer.at, outer.end));
      continue;
    }
    const inside: Uint8Array[] = [];
    for (const inner of fields(window, outer.start, outer.end)) {
      const whole = () => copy(inner.at, inner.end);
      if (inner.id !== initializerField || inner.wireType !== 2) {
        inside.push(whole());
        continue;
      }
      const own: Uint8Array[] = [];
      let tensor: Tensor | undefined;
      for (const each of fields(window, inner.start, inner.end)) {
        if (each.wireType === 2 && each.id === tensorFields.name) {
          tensor = graph.initializers.get(decoder.decode(copy(each.start, each.end)));
        }
        if (!replaced.has(each.id)) own.push(copy(each.at, each.end));
      }
      inside.push(
        ...(tensor?.data.kind === "external"
          ? message(initializerField, [...own, referenceTo(tensor.data)])
          : [whole()]),
      );
    }
    parts.push(...message(graphField, inside));
  }
  return new Uint8Array(concatenated(parts));
}

/** The fields of a TensorProto that say where its data is. */
function referenceTo(place: { location: string; offset: number; length: number }): Uint8Array {
  const externalData = (["location", "offset", "length"] as const).map((key) => ({ key, value: `${place[key]}` }));
  return messages.tensor.encode({ externalData, dataLocation: 1 }).finish();
}

function concatenated(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
