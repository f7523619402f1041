// Has ONNX Runtime itself judge a model file, as it stands, before the compiler changes anything: what it refuses must not
// be trained or answered with because a pass happens to drop the broken part. No weight is loaded. It does not know what
// the compiler takes.

import { InferenceSession } from "onnxruntime-node";
import { InputError } from "../errors.ts";
import { weightsFolder } from "../onnx/external_data.ts";
import type { Graph } from "../onnx/graph.ts";
import { readModel } from "../onnx/read_model.ts";
import { messages } from "../onnx/schema.ts";
import { skeletonOf } from "../onnx/skeleton.ts";
import { returnFreedMemory } from "../runtime/native_memory.ts";
import { runtimeSentence } from "../runtime/runtime_errors.ts";
import { sessionOptions } from "../runtime/session.ts";
import { nodeBehind } from "./specialize.ts";

/** What the CPU lacks a kernel for may run on a GPU, or as what the compiler makes of it: that is no fault of the file. */
const noKernel = /NOT_IMPLEMENTED|Could not find an implementation|is not implemented/i;

/** Size and time of the files that were found sound, by path: a command compiles a file more than once. */
const sound = new Map<string, string>();

/**
 * Opens the file in ONNX Runtime, its large weights left where they are.
 *
 * @throws InputError with what ONNX Runtime says, where it refuses the file; or what readModel says
 */
export async function checkFile(path: string): Promise<void> {
  const { size, mtime } = await Deno.stat(path).catch(() => ({ size: 0, mtime: null }));
  const look = `${size} ${mtime?.getTime()}`;
  if (sound.get(path) === look) return;
  const graph = readModel(path), folder = weightsFolder(path), options = sessionOptions(folder);
  try {
    const session = await InferenceSession.create(withEveryOutput(skeletonOf(path, graph), graph), {
      ...options,
      logSeverityLevel: 4,
      // Packing would read the weights.
      extra: { session: { ...options.extra!.session as object, disable_prepacking: "1" } },
    });
    await session.release();
    returnFreedMemory();
  } catch (error) {
    if (!noKernel.test((error as Error).message)) {
      const says = runtimeSentence(error as Error),
        about = says.startsWith("node ") ? "" : nodeBehind(graph, error as Error);
      throw new InputError(
        `${path}: ${about}ONNX Runtime does not open the file (it says: ${says}); download or export it again.`,
      );
    }
  }
  sound.set(path, look);
}

/**
 * Lets a model put out every value. ONNX Runtime's planner then looks for no buffer to use again, which takes it seconds
 * in a graph without shapes (SmolLM2-135M of optimum: 0.7 s in place of 3.5). In protobuf, what is appended is merged.
 */
function withEveryOutput(model: Uint8Array, graph: Graph): Uint8Array {
  const outputs = new Set(graph.outputs.map(({ name }) => name));
  const others = new Set(
    graph.nodes.flatMap((node) => node.outputs).filter((name) => name !== "" && !outputs.has(name)),
  );
  const appended = messages.model.encode({ graph: { output: [...others].map((name) => ({ name })) } }).finish();
  const all = new Uint8Array(model.length + appended.length);
  all.set(model);
  all.set(appended, model.length);
  return all;
}
