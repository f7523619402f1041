// From a model's own ONNX file to the graphs that Prospect runs: `scoring` (ids -> log-probs of the completion),
// `gradient` (the same forward, the objective and the gradients of what is trained) and `generation` (the original
// graph, cache and all, with LoRA inputs). The order of the passes is the whole design. It runs nothing itself.

import { RefusedModelError } from "../errors.ts";
import { Builder, type RuntimeSize } from "../onnx/builder.ts";
import { cloneGraph, type Graph, prune, type Shape, sortTopologically } from "../onnx/graph.ts";
import { weightsFolder } from "../onnx/external_data.ts";
import { readModel } from "../onnx/read_model.ts";
import { writeModel } from "../onnx/write_model.ts";
import { returnAllMemory } from "../runtime/native_memory.ts";
import type { WeightRange } from "../runtime/shared_weights.ts";
import { kto, ktoInputs, ktoOutputs } from "../objectives/kto.ts";
import { nextToken, nextTokenInputs } from "../objectives/next_token.ts";
import { injectLora, loraNames, selectTargets } from "./adapt.ts";
import { sizeCaches } from "./cache_sizes.ts";
import { checkAttributes } from "./check_attributes.ts";
import { checkFile } from "./check_file.ts";
import { decompose } from "./decompose/decompose.ts";
import { products } from "./decompose/product.ts";
import { differentiate } from "./differentiate.ts";
import { dropEmptyRowGuards } from "./empty_rows.ts";
import { type AttentionSizes, type LinearLayer, linearLayers, noLayer } from "./linear_layers.ts";
import { widenScales } from "./kernel_scales.ts";
import { sumAsKernels } from "./kernel_sums.ts";
import { frozenKind, readLowPrecision } from "./low_precision.ts";
import { annotateShapes, applyConstants, measureShapes } from "./measure.ts";
import { portableAttention } from "./portable_attention.ts";
import { recallNames } from "./recall_names.ts";
import { cutHead, head, lowerHead } from "./score_head.ts";
import {
  batch,
  closeInputs,
  foldConstants,
  liftConstants,
  refuseMerged,
  refuseOperator,
  sequence,
} from "./specialize.ts";
import { recomputeLate } from "./recompute.ts";
import { sharePrefixes } from "./share_prefixes.ts";
import { holdsForTrees, mostTreeTokens } from "./try_tree.ts";
import { trainableWeights } from "./trainable_weights.ts";
import { upgradeOpset } from "./upgrade.ts";
import { floatTables, keepMapped, readWeightsLate } from "./weight_reads.ts";

/** A trained tensor: a graph input of the compiled graphs. */
export interface Parameter {
  /** PEFT's tensor name for LoRA, the initializer's for a full weight. */
  name: string;
  /** Shape in the graph; LoRA's A is [in, rank], B is [rank, out] (PEFT's files hold the transposes). */
  shape: number[];
}

export interface Lora {
  kind: "lora";
  /** PEFT's target_modules, or ["all-linear"]. */
  targetModules: string[];
  /** What named the targets, for messages: `--target-modules`, or an adapter folder. */
  asker: string;
  rankOf: (module: string) => number;
  scalingOf: (module: string) => number;
}

/** What is trained: LoRA adapters or every weight. */
export type Trained = Lora | { kind: "full" };

export type Objective = { kind: "kto"; beta: number } | { kind: "next-token" };

export interface CompiledScoring {
  /** Folder in which the graphs' external data lies. */
  folder: string;
  parameters: Parameter[];
  /** LoRA layers, empty for full training. */
  layers: LinearLayer[];
  vocabulary: number;
  /** Scored positions are fed in multiples of this. */
  tokenMultiple: number;
  /** Most tokens of a tree of rows that share prefixes (share_prefixes.ts); 0 where rows cannot be laid out as one. */
  treeTokens: number;
  /** What a file of low precision keeps in float32, its embedding and head: inputs that all sessions may share. */
  tables: WeightRange[];
  /** ONNX bytes. Inputs: input_ids, completion_positions, completion_targets, parameters. Output: log_probs. */
  scoring: Uint8Array;
}

export interface CompiledModel extends CompiledScoring {
  /** ONNX bytes: as scoring, plus the objective's inputs; outputs loss, log_probs, and `gradientName` per parameter. */
  gradient: Uint8Array;
}

/** Output that holds the gradient of a parameter. */
export const gradientName = (parameter: string) => `gradient/${parameter}`;
export const rowOfToken = "row_of_token";

const runtimeSizes: ReadonlyMap<string, RuntimeSize> = new Map([
  [batch, { value: "input_ids", axis: 0 }],
  [sequence, { value: "input_ids", axis: 1 }],
  ["tokens", { value: head.targets, axis: 0 }],
  ["rows", { value: ktoInputs.sign.name, axis: 0 }],
]);

/** The file as it stands. */
function openFile(path: string): Graph {
  const graph = readModel(path);
  checkAttributes(graph, path);
  return graph;
}

/** The model's forward graph, closed and decomposed, up to `logits`. */
function openForward(path: string): Graph {
  const graph = openFile(path);
  recallNames(graph, path);
  liftConstants(graph);
  upgradeOpset(graph, path);
  readLowPrecision(graph, path);
  sizeCaches(graph);
  const inputShapes = new Map<string, Shape>(graph.inputs.map((input) => [input.name, input.shape]));
  closeInputs(graph, path);
  decompose(graph, path, inputShapes);
  dropEmptyRowGuards(graph);
  return graph;
}

/** Makes weights graph inputs, so that a run may feed changed ones. */
function openWeights(graph: Graph, names: string[]): Parameter[] {
  return names.map((name) => {
    const { dims } = graph.initializers.get(name)!;
    graph.initializers.delete(name);
    graph.inputs.push({ name, dataType: "float32", shape: dims });
    return { name, shape: dims };
  });
}

/** Appends the objective's inputs and nodes; returns the outputs it has besides the loss. */
function appendObjective(build: Builder, objective: Objective): string[] {
  const { graph } = build;
  const input = ({ name, shape }: { name: string; shape: readonly string[] }) => {
    graph.inputs.push({ name, dataType: "float32", shape: [...shape] });
  };
  if (objective.kind === "next-token") {
    Object.values(nextTokenInputs).forEach(input);
    nextToken(build, head.logProbs);
    graph.outputs.push({ name: "loss" });
    return [];
  }
  Object.values(ktoInputs).forEach(input);
  graph.inputs.push({ name: rowOfToken, dataType: "int64", shape: ["tokens"] });
  kto(build, head.logProbs, rowOfToken, objective.beta);
  graph.outputs.push({ name: "loss" });
  return [ktoOutputs.logRatios];
}

/** Weights of a float32 file stay in its mapping, which the system can drop. */
const tablesOf = (graph: Graph) => frozenKind(graph) === undefined ? [] : floatTables(graph);

/** What is left of the tokens that a tree may hold after trying one. */
async function triedTreeTokens(graph: Graph, scoring: Uint8Array, forward: Omit<Forward, "graph">): Promise<number> {
  const { treeTokens } = forward;
  return treeTokens > 0 && await holdsForTrees(graph, scoring, forward) ? treeTokens : 0;
}

interface Forward extends Omit<CompiledScoring, "scoring" | "tables"> {
  /** Ends in `log_probs`; the head is still the pseudo-operator. */
  graph: Graph;
}

/** The forward pass from ids to log-probs, with what is trained (if anything) as inputs. */
async function compileForward(path: string, config: AttentionSizes, trained: Trained | undefined): Promise<Forward> {
  const open = openForward(path);
  // After what the compiler has to say of the file, which says more of what to do.
  await checkFile(path);
  const folder = weightsFolder(path);
  const kind = trained?.kind === "full" ? frozenKind(open) : undefined;
  if (kind) {
    throw new RefusedModelError(
      `${path}: --full trains float32 weights and this file's are ${kind}; choose --dtype fp32, or leave --full out ` +
        `to train LoRA on it.`,
    );
  }
  let layers: LinearLayer[] = [];
  let parameters: Parameter[] = [];
  if (trained?.kind === "lora") {
    layers = selectTargets(linearLayers(open, config), trained.targetModules, path, trained.asker);
    injectLora(open, layers, trained.scalingOf);
    parameters = layers.flatMap(({ module, inSize, outSize }) => {
      const { a, b } = loraNames(module), rank = trained.rankOf(module);
      return [{ name: a, shape: [inSize, rank] }, { name: b, shape: [rank, outSize] }];
    });
  }
  const causal = await annotateShapes(open, folder, parameters)
    .catch((error: Error) => refuseOperator(open, path, error));
  const masks = sharePrefixes(open, causal);
  const graph = await foldConstants(open, path);
  const { vocabulary, chunks } = cutHead(graph, path, trained?.kind !== "full");
  if (trained?.kind === "full") parameters = openWeights(graph, trainableWeights(graph));
  const treeTokens = trained?.kind === "full" ? 0 : mostTreeTokens(graph, masks, config);
  return { graph, folder, layers, parameters, vocabulary, tokenMultiple: chunks, treeTokens };
}

/**
 * Compiles the scoring graph alone: needs no gradient rule.
 *
 * @param trained an adapter to score under; undefined is the base model
 * @throws RefusedModelError where the forward pass cannot be compiled
 */
export async function compileScoring(
  path: string,
  config: AttentionSizes,
  trained: Lora | undefined,
): Promise<CompiledScoring> {
  const { graph, ...rest } = await compileForward(path, config, trained);
  const { constants } = await measureShapes(graph, rest.folder, rest.parameters);
  applyConstants(graph, constants);
  lowerHead(graph);
  sumAsKernels(graph);
  readWeightsLate(graph);
  widenScales(graph, rest.folder);
  await annotateShapes(graph, rest.folder, []);
  const scoring = writeModel(keepMapped(graph)), treeTokens = await triedTreeTokens(graph, scoring, rest);
  return { ...rest, tables: tablesOf(graph), scoring, treeTokens };
}

/**
 * Compiles the graphs that training runs.
 *
 * @param path the model's .onnx file
 * @throws RefusedModelError where the model cannot be trained: operator, node and what was expected.
 */
export async function compileTraining(
  path: string,
  config: AttentionSizes,
  trained: Trained,
  objective: Objective,
): Promise<CompiledModel> {
  const { graph, ...rest } = await compileForward(path, config, trained);
  const { parameters, folder } = rest;
  if (parameters.length === 0) throw new RefusedModelError(`${path}: it has no weight that Prospect can train.`);

  const scoring = cloneGraph(graph);
  const outputs = appendObjective(new Builder(graph, "objective"), objective);
  const { shapes, types, constants } = await measureShapes(graph, folder, parameters);
  for (const each of [scoring, graph]) applyConstants(each, constants);
  lowerHead(scoring);

  const forward = new Set(graph.nodes);
  const build = new Builder(graph, "backward", shapes, runtimeSizes);
  const gradients = differentiate(build, "loss", parameters.map(({ name }) => name), path);
  for (const [name, value] of gradients) build.operator("Identity", [value], {}, { output: gradientName(name) });
  graph.outputs = ["loss", ...outputs, head.logProbs, ...parameters.map(({ name }) => gradientName(name))]
    .map((name) => ({ name }));
  lowerHead(graph);
  recomputeLate(graph, forward);
  for (const each of [scoring, graph]) sumAsKernels(each);
  prune(graph);
  sortTopologically(graph);
  for (const each of [scoring, graph]) {
    readWeightsLate(each);
    widenScales(each, folder);
  }
  // Not what was measured above: the reference is scored by adapters of rank 0.
  await annotateShapes(scoring, folder, []);
  await annotateShapes(graph, folder, parameters, types);
  const scoringBytes = writeModel(keepMapped(scoring));
  const treeTokens = await triedTreeTokens(scoring, scoringBytes, rest);
  const gradientBytes = writeModel(keepMapped(graph));
  returnAllMemory();
  return { ...rest, treeTokens, tables: tablesOf(scoring), scoring: scoringBytes, gradient: gradientBytes };
}

/** Makes the model's own graph, cache and all, one that this runtime answers with. */
function makeAnswerable(graph: Graph, path: string): void {
  readLowPrecision(graph, path);
  sizeCaches(graph);
  portableAttention(graph);
}

/** The model's own graph, cache and all, and the layers of it that an adapter may sit on. */
function openAdaptable(path: string, config: AttentionSizes): { graph: Graph; layers: LinearLayer[] } {
  const graph = openFile(path);
  refuseMerged(graph, path);
  recallNames(graph, path);
  makeAnswerable(graph, path);
  decompose(graph, path, new Map(), products);
  return { graph, layers: linearLayers(graph, config) };
}

/**
 * The layers that an adapter of the model may sit on, by PEFT's names.
 *
 * @throws RefusedModelError where there is none
 */
export function adaptableLayers(path: string, config: AttentionSizes): LinearLayer[] {
  const { layers } = openAdaptable(path, config);
  if (layers.length > 0) return layers;
  throw new RefusedModelError(noLayer(path, "an adapter has nothing to sit on"));
}

/**
 * The model's own graph, cache and all, for answers without an adapter: nothing is added to it, and ONNX Runtime packs its
 * weights as it likes best. It answers as fast as the file itself; LoRA inputs of rank 0 and mapped float32 weights cost a
 * quarter to a half more a token.
 *
 * @returns ONNX bytes; the weights stay ranges of the model's files
 */
export function compileBaseGeneration(path: string): Uint8Array {
  const graph = openFile(path);
  makeAnswerable(graph, path);
  return writeModel(graph);
}

/**
 * The model's own graph, cache and all, with open-rank LoRA inputs at every linear layer: rank 0 is the base model.
 * The caller folds an adapter's scaling into B.
 *
 * @returns ONNX bytes; the weights stay ranges of the model's files
 */
export function compileGeneration(path: string, config: AttentionSizes): Uint8Array {
  const { graph, layers } = openAdaptable(path, config);
  injectLora(graph, layers, () => 1);
  // Packed or folded copies of quantised and float16 weights are small and answer faster; float32 stays shared.
  return writeModel(keepMapped(graph, (dataType) => dataType === "float32"));
}
