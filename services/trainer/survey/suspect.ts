// Which operator a device computes differently: runs a graph there and on the CPU with every value as an output, and
// names the first node, in the graph's order, whose values part while those that go into it agree. It does not know
// what the graph is for.

import { InferenceSession, type Tensor } from "onnxruntime-node";
import { messages } from "../../../shared/onnx/schema.ts";
import { type Device, sessionOptions } from "../../../shared/runtime/session.ts";

/** A node as protobufjs reads it. */
export interface NodeMessage {
  name: string;
  opType: string;
  input: string[];
  output: string[];
}

/** Relative differences below this are rounding. */
const rounding = 1e-5;

/** Largest difference relative to the largest finite value; 0 for equal infinities. */
function difference(actual: Tensor, expected: Tensor): number {
  const a = actual.data as ArrayLike<number | bigint>, b = expected.data as ArrayLike<number | bigint>;
  if (a.length !== b.length) return Infinity;
  let largest = 0, off = 0;
  for (let i = 0; i < b.length; i++) {
    const [x, y] = [Number(a[i]), Number(b[i])];
    if (Number.isFinite(y)) largest = Math.max(largest, Math.abs(y));
    if (!Object.is(x, y) && x !== y) off = Math.max(off, Number.isFinite(x - y) ? Math.abs(x - y) : Infinity);
  }
  return off === 0 ? 0 : off / (largest || 1);
}

/** `model` with more outputs. Two protobuf messages of one type, one behind the other, are read as their union. */
function withOutputs(model: Uint8Array, names: string[]): Uint8Array {
  const more = messages.model.encode({ graph: { output: names.map((name) => ({ name })) } }).finish();
  const whole = new Uint8Array(model.length + more.length);
  whole.set(model);
  whole.set(more, model.length);
  return whole;
}

/** The sentence that names the first node whose values part though those that go into it agree; undefined without one. */
export function firstToPart(
  nodes: readonly NodeMessage[],
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
): string | undefined {
  const off = new Map<string, number>();
  for (const { name, opType, input, output } of nodes) {
    const before = Math.max(0, ...input.map((each) => off.get(each) ?? 0));
    const after = Math.max(...output.map((each) => each === "" ? 0 : difference(actual[each]!, expected[each]!)));
    for (const each of output) off.set(each, after);
    if (after > rounding && after > 10 * before) {
      return `${opType} (node "${name}") is the first operator that differs from the CPU's, by ${
        after.toExponential(1)
      } of its largest value.`;
    }
  }
  return undefined;
}

/**
 * The sentence that names the operator, or undefined where every value agrees.
 *
 * @param model ONNX bytes
 * @param folder where their external data is
 * @param feeds inputs; those that the graph does not read are left out
 */
export async function findSuspect(
  model: Uint8Array,
  folder: string,
  feeds: Record<string, Tensor>,
  device: Device,
): Promise<string | undefined> {
  const { graph } = messages.model.decode(model) as unknown as {
    graph: { node: NodeMessage[]; output: { name: string }[] };
  };
  const known = new Set(graph.output.map(({ name }) => name));
  const inner = graph.node.flatMap(({ output }) => output).filter((name) => name !== "" && !known.has(name));
  const bytes = withOutputs(model, inner);
  const run = async (on: Device) => {
    const session = await InferenceSession.create(bytes, sessionOptions(folder, on));
    try {
      const read = Object.entries(feeds).filter(([name]) => session.inputNames.includes(name));
      return await session.run(Object.fromEntries(read));
    } finally {
      await session.release();
    }
  };
  return firstToPart(graph.node, await run(device), await run("cpu"));
}
