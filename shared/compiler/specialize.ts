// Turns an exported decoder into one that reads whole sequences only: no cache in or out, no padding mask, positions
// from 0. What is left to feed is `input_ids`. Constants are then folded by ONNX Runtime itself, which never sees a
// weight: large initializers are declared as inputs for the while. It does not know what a layer is.

import { InferenceSession } from "onnxruntime-node";
import { join } from "node:path";
import { RefusedModelError } from "../errors.ts";
import { Builder } from "../onnx/builder.ts";
import { type Graph, operatorKey, prune, type Shape, sortTopologically } from "../onnx/graph.ts";
import { readModel } from "../onnx/read_model.ts";
import { writeModel } from "../onnx/write_model.ts";
import { cacheFolder } from "../runtime/cache_folder.ts";
import { runtimeSentence } from "../runtime/runtime_errors.ts";

/** Names of the sizes that a run chooses. */
export const batch = "batch", sequence = "sequence";

/** Values by which a sequence is a tree of tokens (share_prefixes.ts): int64 [sequence]. */
export const tree = { positions: "token_positions", ends: "subtree_ends" } as const;

/** The position of every token of a row, int64 [sequence]: 0, 1, 2 … until share_prefixes.ts makes it an input. */
export function tokenPositions(build: Builder): string {
  if (!build.graph.nodes.some((node) => node.outputs.includes(tree.positions))) {
    const length = build.gather(build.operator("Shape", ["input_ids"]), build.int(1), 0);
    build.operator("Range", [build.int(0), length, build.int(1)], {}, { output: tree.positions });
  }
  return tree.positions;
}

/**
 * An old optimum merged two graphs into one file: which of them runs, the one with a cache or the one without, is an input.
 *
 * @throws RefusedModelError for such a file
 */
export function refuseMerged(graph: Graph, path: string): void {
  if (!graph.inputs.some(({ name }) => name === "use_cache_branch")) return;
  throw new RefusedModelError(
    `${path}: a merged export, two graphs behind the input "use_cache_branch", which Prospect does not read; use an export ` +
      `with one graph, which optimum of today and onnx-community write as onnx/model.onnx.`,
  );
}

/**
 * Replaces every graph input but `input_ids` by what it is for whole, right-padded sequences, and drops every output
 * but `logits`. Right padding needs no mask: under a causal mask no real token sees what stands behind it.
 *
 * @throws RefusedModelError when the model has an input that a text decoder does not have.
 */
export function closeInputs(graph: Graph, path: string): void {
  refuseMerged(graph, path);
  if (!graph.outputs.some((output) => output.name === "logits")) {
    const names = graph.outputs.map((output) => output.name).slice(0, 4).join(", ");
    throw new RefusedModelError(
      `${path}: no output named "logits" (it has ${names}); Prospect tunes decoder-only language models.`,
    );
  }
  const logits = graph.outputs.find((output) => output.name === "logits");
  if (logits && "shape" in logits && logits.shape[1] === 1) {
    throw new RefusedModelError(
      `${path}: output "logits" [${logits.shape}] is of the last position alone; export the model with logits of every ` +
        `position (the GenAI builder: without prune_lm_head).`,
    );
  }
  const ids = graph.inputs.find((input) => input.name === "input_ids");
  if (!ids) {
    const names = graph.inputs.map((input) => input.name).slice(0, 4).join(", ");
    throw new RefusedModelError(
      `${path}: no input named "input_ids" (it has ${names}); Prospect tunes decoder-only language models.`,
    );
  }
  const build = new Builder(graph, "specialize");
  const one = (code: "int64" | "int32") => ({
    value: {
      kind: "tensor" as const,
      value: {
        name: "",
        dataType: code,
        dims: [1],
        data: {
          kind: "inline" as const,
          bytes: new Uint8Array(code === "int64" ? [1, 0, 0, 0, 0, 0, 0, 0] : [1, 0, 0, 0]),
        },
      },
    },
  });
  const idsShape = () => build.once("shape", () => build.operator("Shape", ["input_ids"]));
  const size = (axis: number) => build.once(`size ${axis}`, () => build.gather(idsShape(), build.ints([axis]), 0));
  const integerCodes = { int64: 7, int32: 6 } as const;

  for (const input of graph.inputs) {
    const { name, dataType } = input;
    if (name === "input_ids") continue;
    // Of some exports the shape is not said.
    if (/^(attention_mask|position_ids)$/.test(name) && input.shape.length !== 2 && input.shape.length !== 0) {
      throw new RefusedModelError(
        `${path}: input "${name}" is [${input.shape}], where a text decoder has one number per token, [batch, sequence]; ` +
          `Prospect tunes decoder-only language models.`,
      );
    }
    if (name === "attention_mask" && (dataType === "int64" || dataType === "int32")) {
      build.operator("ConstantOfShape", [idsShape()], one(dataType), { output: name });
    } else if (name === "position_ids" && (dataType === "int64" || dataType === "int32")) {
      const positions = tokenPositions(build);
      const typed = dataType === "int64" ? positions : build.cast(positions, integerCodes.int32);
      build.operator("Expand", [typed, idsShape()], {}, { output: name });
    } else if (name.startsWith("past_key_values.") && input.shape.length === 4) {
      const fixed = (axis: number) => {
        const dimension = input.shape[axis]!;
        if (typeof dimension === "number") return dimension;
        throw new RefusedModelError(
          `${path}: cache input "${name}" has no fixed size on axis ${axis}; export it with fixed heads.`,
        );
      };
      const shape = build.concat([size(0), build.ints([fixed(1), 0, fixed(3)])], 0);
      const element = dataType === "float16" ? { kind: "inline" as const, bytes: new Uint8Array(2) } : undefined;
      build.operator(
        "ConstantOfShape",
        [shape],
        element ? { value: { kind: "tensor", value: { name: "", dataType, dims: [1], data: element } } } : {},
        { output: name },
      );
    } else if (name === "num_logits_to_keep" && dataType === "int64") {
      // transformers.js feeds 0 where it wants the logits of every position.
      const dims = input.shape.map(() => 1);
      graph.initializers.set(name, { name, dataType, dims, data: { kind: "inline", bytes: new Uint8Array(8) } });
    } else {
      throw new RefusedModelError(
        `${path}: input "${name}" (${dataType} [${input.shape}]) is not one of a text decoder (input_ids, attention_mask, ` +
          `position_ids, past_key_values.N.key/value); Prospect tunes decoder-only language models.`,
      );
    }
  }
  graph.inputs = [{ ...ids, shape: [batch, sequence] }];
  graph.outputs = graph.outputs.filter((output) => output.name === "logits");
  sortTopologically(graph);
  prune(graph);
}

/**
 * Folds constants, shares common subexpressions and drops no-ops, by ONNX Runtime's "basic" optimizer.
 * Weights are not loaded: they are inputs while it runs.
 *
 * @throws RefusedModelError for an operator that ONNX Runtime does not have.
 */
export async function foldConstants(graph: Graph, path: string): Promise<Graph> {
  const weights = [...graph.initializers.values()].filter((tensor) => tensor.data.kind === "external");
  const light: Graph = {
    ...graph,
    inputs: [
      ...graph.inputs,
      ...weights.map(({ name, dataType, dims }) => ({ name, dataType, shape: dims as Shape })),
    ],
    initializers: new Map([...graph.initializers].filter(([, tensor]) => tensor.data.kind === "inline")),
  };
  const cache = cacheFolder();
  await Deno.mkdir(cache, { recursive: true });
  const folder = await Deno.makeTempDir({ dir: cache, prefix: "folding-" });
  try {
    const file = join(folder, "folded.onnx");
    const session = await InferenceSession.create(writeModel(light), {
      graphOptimizationLevel: "basic",
      optimizedModelFilePath: file,
      executionProviders: ["cpu"],
      intraOpNumThreads: 1,
      logSeverityLevel: 4,
    }).catch((error: Error) => refuseOperator(graph, path, error));
    await session.release();
    const folded = readModel(file, { inlineLimit: Infinity });
    const names = new Set(weights.map((tensor) => tensor.name));
    folded.inputs = folded.inputs.filter((input) => !names.has(input.name));
    for (const tensor of weights) folded.initializers.set(tensor.name, tensor);
    prune(folded);
    return folded;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** `operator …, node "…": ` of the node that ONNX Runtime's message is about, where it can be told; or nothing. */
export function nodeBehind(graph: Graph, { message }: Error): string {
  const node =
    graph.nodes.find(({ operator }) =>
      /^\w+$/.test(operator) && new RegExp(`\\b${operator}\\b[^a-z]*(\\(|is not|with domain)`).test(message)
    ) ??
      graph.nodes.find(({ name }) => name !== "" && message.includes(name));
  return node ? `operator ${operatorKey(node)}, node "${node.name}": ` : "";
}

/** ONNX Runtime's complaint about the graph, with the node that it is about where its message names the operator. */
export function refuseOperator(graph: Graph, path: string, error: Error): never {
  throw new RefusedModelError(
    `${path}: ${nodeBehind(graph, error)}expected operators that ONNX Runtime has (it says: ${
      runtimeSentence(error)
    }).`,
  );
}

/**
 * Constant nodes as initializers, and constants behind what they are added to or multiplied with, so that every pass
 * finds constants in one place.
 */
export function liftConstants(graph: Graph): void {
  graph.nodes = graph.nodes.filter((node) => {
    if (node.operator !== "Constant" || node.domain !== "") return true;
    const value = node.attributes.get("value");
    if (value?.kind !== "tensor") return true;
    const name = node.outputs[0]!;
    graph.initializers.set(name, { ...value.value, name });
    return false;
  });
  for (const { operator, inputs } of graph.nodes) {
    if (operator !== "Add" && operator !== "Mul") continue;
    if (graph.initializers.has(inputs[0]!) && !graph.initializers.has(inputs[1]!)) inputs.reverse();
  }
}
