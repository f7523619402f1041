// Whether the GPU that ONNX Runtime finds can run a model, found out by running two nodes on it before anything else is
// opened there. It does not know what models compute.

import { InferenceSession, Tensor } from "onnxruntime-node";
import { InputError } from "../errors.ts";
import { attribute } from "../onnx/builder.ts";
import { type Graph, intAttribute } from "../onnx/graph.ts";
import { readModel } from "../onnx/read_model.ts";
import { dataTypes } from "../onnx/schema.ts";
import { writeModel } from "../onnx/write_model.ts";
import type { Dtype } from "./dtypes.ts";
import type { OpenModel } from "./open_model.ts";
import { type Device, sessionOptions } from "./session.ts";

/** There is no GPU, or none with a driver. */
export class NoGpuError extends InputError {}

/** The model has 16-bit floats, and the GPU's shaders have none. */
export class NoFloat16Error extends InputError {}

/** What a GPU can do. */
interface Gpu {
  /** WebGPU's optional feature shader-f16. */
  float16: boolean;
}

/** Precisions to choose instead, if they are there: the usual ones that need no 16-bit floats. */
const others: Dtype[] = ["fp32", "q8", "q4"];

/** float32 to float16 and back. */
function roundTrip(): Uint8Array {
  const cast = (input: string, output: string, to: keyof typeof dataTypes) => ({
    operator: "Cast",
    domain: "",
    name: output,
    inputs: [input],
    outputs: [output],
    attributes: new Map([["to", attribute.int(dataTypes[to].code)]]),
    metadata: new Map(),
  });
  return writeModel({
    irVersion: 8,
    opsets: new Map([["", 17]]),
    inputs: [{ name: "x", dataType: "float32", shape: [1] }],
    outputs: [{ name: "y", dataType: "float32", shape: [1] }],
    nodes: [cast("x", "half", "float16"), cast("half", "y", "float32")],
    initializers: new Map(),
  });
}

/** The GPU that sessions would run on. @throws {NoGpuError} */
async function findGpu(): Promise<Gpu> {
  // Failures are what is asked for here: ONNX Runtime shall not print them.
  const quiet = { logSeverityLevel: 4 } as const;
  let session: InferenceSession;
  try {
    session = await InferenceSession.create(roundTrip(), { ...sessionOptions(".", "webgpu"), ...quiet });
  } catch (error) {
    const { message } = error as Error;
    if (!/Failed to get a WebGPU (adapter|device)/.test(message)) throw error;
    throw new NoGpuError(
      "--device webgpu: there is no GPU here that WebGPU can use; install its driver (on Linux one for Vulkan), or use " +
        "--device cpu.",
    );
  }
  try {
    await session.run({ x: new Tensor("float32", Float32Array.of(1), [1]) }, quiet);
    return { float16: true };
  } catch (error) {
    if (!/requires f16 but the device does not support it/.test((error as Error).message)) throw error;
    return { float16: false };
  } finally {
    await session.release();
  }
}

/**
 * Makes sure that a model can run on the device.
 *
 * @throws {NoGpuError} for webgpu without a GPU
 * @throws {NoFloat16Error} for a model with 16-bit floats on a GPU without; it names what works instead
 */
export async function checkDevice({ folder, path, dtype }: OpenModel, device: Device): Promise<void> {
  if (device === "cpu") return;
  const { float16 } = await findGpu();
  if (float16 || !hasFloat16(readModel(path))) return;
  const better = others.filter((each) => folder.dtypes.includes(each) && runsWithout(folder.onnxFile(each)));
  const named = [better.slice(0, -1).join(", "), ...better.slice(-1)].filter((each) => each !== "").join(" or ");
  const choices = [...(named === "" ? [] : [`--dtype ${named}`]), "--device cpu"];
  throw new NoFloat16Error(
    `--dtype ${dtype} on --device webgpu: ${path} has 16-bit floats, and this GPU's shaders have none (no shader-f16): ` +
      `use ${choices.join(", or ")}.`,
  );
}

function runsWithout(path: string): boolean {
  try {
    return !hasFloat16(readModel(path));
  } catch {
    // A broken file is no way out.
    return false;
  }
}

/** Whether anything in a graph is a 16-bit float. */
function hasFloat16({ inputs, outputs, initializers, nodes }: Graph): boolean {
  const values = [...inputs, ...outputs, ...initializers.values()];
  return values.some((value) => "dataType" in value && value.dataType === "float16") ||
    nodes.some((node) =>
      (node.operator === "Cast" && intAttribute(node, "to", 0) === dataTypes.float16.code) ||
      [...node.attributes.values()].some((each) => each.kind === "tensor" && each.value.dataType === "float16")
    );
}
