// What the compiler says to models that it cannot train: one InputError that names the file, the operator or tensor,
// and what was expected, never a crash and never a wrong gradient. Each model is a fixture with one thing changed.

import { assert, assertMatch, assertRejects } from "@std/assert";
import { compileTraining, type Trained } from "../../shared/compiler/compile.ts";
import type { AttentionSizes } from "../../shared/compiler/linear_layers.ts";
import { InputError } from "../../shared/errors.ts";
import { attribute } from "../../shared/onnx/builder.ts";
import type { Attribute, Graph, Node, Value } from "../../shared/onnx/graph.ts";
import { readModel } from "../../shared/onnx/read_model.ts";
import { messages } from "../../shared/onnx/schema.ts";
import { writeModel } from "../../shared/onnx/write_model.ts";
import { sharedTest } from "../feedback/shared_files.ts";

const lora: Trained = {
  kind: "lora",
  targetModules: ["all-linear"],
  asker: "--target-modules",
  rankOf: () => 4,
  scalingOf: () => 1,
};

/** A test that changes a fixture's model and expects the compiler's message to match. */
function refused(
  sentence: string,
  change: (graph: Graph) => void,
  expected: RegExp[],
  { fixture = "llama-genai", trained = lora }: { fixture?: string; trained?: Trained } = {},
): void {
  sharedTest(`fixtures/${fixture}`, sentence, async (folder) => {
    const config = JSON.parse(await Deno.readTextFile(`${folder}/config.json`)) as AttentionSizes;
    const temporary = await Deno.makeTempDir({ prefix: "prospect-test-" });
    try {
      // The weights stay ranges of model.onnx, so the changed graph goes beside a copy of it.
      await Deno.copyFile(`${folder}/onnx/model.onnx`, `${temporary}/model.onnx`);
      const graph = readModel(`${temporary}/model.onnx`), path = `${temporary}/changed.onnx`;
      change(graph);
      await Deno.writeFile(path, writeModel(graph));
      const error = await assertRejects(
        () => compileTraining(path, config, trained, { kind: "kto", beta: 0.1 }),
        InputError,
      );
      assert(error.message.includes(path), `the file is not named: ${error.message}`);
      for (const part of expected) assertMatch(error.message, part);
      assert(!error.message.includes("\n"), "more than one line");
    } finally {
      await Deno.remove(temporary, { recursive: true });
    }
  });
}

/** The first node of an operator. */
function first(graph: Graph, operator: string): Node {
  const node = graph.nodes.find((each) => each.operator === operator);
  assert(node, `the fixture has no ${operator}`);
  return node;
}

refused(
  "an operator that nobody knows is refused by name and node",
  (graph) => {
    graph.opsets.set("com.example", 1);
    Object.assign(first(graph, "SkipSimplifiedLayerNormalization"), { operator: "FancyNorm", domain: "com.example" });
  },
  [/com\.example\.FancyNorm/, /node "\/model\/layers\.0\/post_attention_layernorm\/SkipLayerNorm"/, /not a registered/],
);

refused(
  "an operator that runs but has no gradient rule is refused by name, node and expectation",
  (graph) => Object.assign(first(graph, "Sigmoid"), { operator: "Softplus" }),
  [/Softplus node "\/model\/layers\.\d\/mlp\/act_fn\/\w+"/, /expected an operator with a gradient rule/],
);

refused(
  "a rule's own limits are refused by name, node and expectation",
  (graph) => {
    const node = first(graph, "Sigmoid");
    Object.assign(node, { operator: "Max", inputs: [node.inputs[0]!, node.inputs[0]!, node.inputs[0]!] });
  },
  [/Max node "\/model\/layers\.\d\/mlp\/act_fn\/\w+"/, /expected two inputs/],
);

refused(
  "block-sparse attention is refused by name, node and expectation",
  (graph) => first(graph, "GroupQueryAttention").operator = "SparseAttention",
  [/com\.microsoft\.SparseAttention node "\/model\/layers\.0\/attn\/\w+"/, /expected attention to every key/],
);

refused(
  "a model without logits is refused, with the outputs that it has",
  (graph) => graph.outputs = graph.outputs.filter(({ name }) => name !== "logits"),
  [/no output named "logits"/, /present\.0\.key/],
);

refused(
  "a model with logits of the last position alone is refused, since completions are scored at all of theirs",
  (graph) => {
    const logits = graph.outputs.find(({ name }) => name === "logits") as Value;
    logits.shape = ["batch_size", 1, 512];
  },
  [/output "logits" \[batch_size,1,512\] is of the last position alone/, /every position/],
);

refused(
  "a model without input_ids is refused, with the inputs that it has",
  (graph) => {
    graph.inputs = graph.inputs.map((input) =>
      input.name === "input_ids" ? { ...input, name: "inputs_embeds" } : input
    );
  },
  [/no input named "input_ids"/, /inputs_embeds/],
);

refused(
  "a model that reads an encoder is refused, with the input that gives it away",
  (graph) => {
    graph.inputs.push({ name: "encoder_hidden_states", dataType: "float32", shape: ["batch", "source", 64] });
  },
  [/input "encoder_hidden_states" \(float32 \[batch,source,64\]\)/, /decoder/],
);

refused(
  "a model that reads images is refused, with the input that gives it away",
  (graph) => {
    graph.inputs.push({ name: "pixel_values", dataType: "float32", shape: ["images", 3, 224, 224] });
  },
  [/input "pixel_values" \(float32 \[images,3,224,224\]\)/, /decoder/],
);

refused(
  "positions on three axes, as models of images have them, are refused with their shape",
  (graph) => graph.inputs.push({ name: "position_ids", dataType: "int64", shape: [3, "batch", "sequence"] }),
  [/input "position_ids" is \[3,batch,sequence\]/, /one number per token, \[batch, sequence\]/],
);

for (const operator of ["MoE", "QMoE"]) {
  refused(
    `a mixture of experts is refused: com.microsoft.${operator}`,
    (graph) => Object.assign(first(graph, "Sigmoid"), { operator, domain: "com.microsoft" }),
    [new RegExp(`com\\.microsoft\\.${operator} node "\\S+" cannot be trained`), /expected a dense decoder/],
  );
}
refused(
  "a mixture of experts in ordinary operators is refused at the choice of experts",
  (graph) => Object.assign(first(graph, "Sigmoid"), { operator: "TopK" }),
  [/TopK node "\S+" cannot be trained/, /expected a dense decoder; a mixture of experts/],
);

/** A branch of one node. */
const branch = (opType: string, input: string[]): Attribute => {
  const graph = { node: [{ opType, input, output: ["y"] }], output: [{ name: "y" }] };
  return { kind: "graph", value: messages.graph.encode(messages.graph.create(graph)).finish() };
};
refused(
  "branches that read the graph around them are refused, with the value that they read",
  (graph) => {
    const attributes = new Map(["then_branch", "else_branch"].map((name) => [name, branch("Identity", ["around"])]));
    Object.assign(first(graph, "Sigmoid"), { operator: "If", attributes });
  },
  [/If node "\S+" cannot be trained/, /expected branches that read no value .+ \(they read "around"\)/],
);
refused(
  "branches that compute are refused",
  (graph) => {
    const attributes = new Map(["then_branch", "else_branch"].map((name) => [name, branch("RandomNormal", [])]));
    Object.assign(first(graph, "Sigmoid"), { operator: "If", attributes });
  },
  [/If node "\S+" cannot be trained/, /expected branches that are constants/],
);
refused(
  "a loop is refused",
  (graph) => Object.assign(first(graph, "Sigmoid"), { operator: "Loop" }),
  [/Loop node "\S+" cannot be trained: expected a graph without loops/],
);

refused(
  "an export that is too old is refused, with the oldest opset that is read",
  (graph) => graph.opsets.set("", 8),
  [/expected opset 9 or newer \(it is 8\)/],
);

const manyHeads = { fixture: "llama-genai-mha" };
const heads = [/MultiHeadAttention node "\/model\/layers\.0\/attn\/MultiHeadAttention" cannot be trained/, /expected/];
refused(
  "attention of many heads without a mask is refused, since it sees what comes after",
  (graph) => first(graph, "MultiHeadAttention").inputs[5] = "",
  [...heads, /causal attention: unidirectional 1, or an attention_bias that masks/],
  manyHeads,
);
refused(
  "cross-attention of many heads is refused",
  (graph) => {
    const node = first(graph, "MultiHeadAttention");
    node.inputs.splice(1, 2, "past_key_values.0.key", "past_key_values.0.value");
  },
  [...heads, /keys that the decoder computes/],
  manyHeads,
);
refused(
  "a past of many heads that is no cache is refused",
  (graph) => {
    const node = first(graph, "MultiHeadAttention");
    node.inputs.splice(6, 2, "present.0.key", "present.0.value");
  },
  [...heads, /a past that is a cache input/],
  manyHeads,
);
refused(
  "a mask of lengths in attention of many heads is refused",
  (graph) => {
    const lengths = { kind: "inline" as const, bytes: new Uint8Array(4) };
    graph.initializers.set("lengths", { name: "lengths", dataType: "int32", dims: [1], data: lengths });
    first(graph, "MultiHeadAttention").inputs[4] = "lengths";
  },
  [...heads, /a key_padding_mask of \[batch, sequence\]/],
  manyHeads,
);

refused(
  "a cache whose number of heads is open is refused",
  (graph) => {
    const cache = graph.inputs.find(({ name }) => name === "past_key_values.0.key")!;
    cache.shape = [...cache.shape];
    cache.shape[1] = "heads";
  },
  [/past_key_values\.0\.key/, /fixed/],
);

const attention = [/GroupQueryAttention node "\/model\/layers\.0\/attn\/GroupQueryAttention"/, /expected/];
/** Grouped attention with an input put at a place, and an attribute. */
const grouped = (place: number, value: string, name = "do_rotary", number = 1) => (graph: Graph) => {
  const { inputs, attributes } = first(graph, "GroupQueryAttention");
  while (inputs.length <= place) inputs.push("");
  if (place >= 0) inputs[place] = value;
  attributes.set(name, { kind: "int", value: number });
};
refused(
  "grouped attention that sees what comes after is refused",
  grouped(-1, "", "causal", 0),
  [...attention, /causal attention \(causal 1\)/],
);
refused(
  "a quantised cache in grouped attention is refused",
  grouped(12, "cos_cache"),
  [...attention, /no quantised cache/],
);
refused(
  "a window of no keys in grouped attention is refused",
  grouped(-1, "", "local_window_size", 0),
  [
    /GroupQueryAttention, node "\/model\/layers\.0\/attn\/GroupQueryAttention"/,
    /"local_window_size" is 0, where a window/,
  ],
);
refused(
  "a scale of the attention that is no number is refused by attribute and expectation",
  (graph) => first(graph, "GroupQueryAttention").attributes.set("scale", attribute.float(NaN)),
  [
    /GroupQueryAttention, node "\/model\/layers\.0\/attn\/GroupQueryAttention"/,
    /"scale" is NaN, where a finite number/,
  ],
);
refused(
  "a query norm without a key norm in grouped attention is refused",
  grouped(14, "model.layers.0.input_layernorm.weight"),
  [...attention, /q_norm_weight and k_norm_weight together/],
);
refused(
  "rotation without its caches in grouped attention is refused",
  grouped(7, ""),
  [...attention, /cos_cache and sin_cache where do_rotary is 1/],
);
refused(
  "grouped attention whose heads do not divide is refused",
  (graph) => first(graph, "GroupQueryAttention").attributes.set("num_heads", { kind: "int", value: 5 }),
  [...attention, /num_heads a multiple of kv_num_heads/],
);

refused(
  "logits that come from something else than a vocabulary product are refused",
  (graph) => {
    const head = graph.nodes.find((node) => node.outputs[0] === "logits")!;
    head.outputs[0] = "plain";
    graph.nodes.push({
      operator: "Softmax",
      domain: "",
      name: "/lm_head/Softmax",
      inputs: ["plain"],
      outputs: ["logits"],
      attributes: new Map(),
      metadata: new Map(),
    });
  },
  [/Softmax, node "\/lm_head\/Softmax"/, /expected MatMul or Gemm/],
);

refused(
  "a target that the model does not have is refused, with those that it has",
  () => {},
  [/--target-modules/, /"query"/, /q_proj, k_proj, v_proj/],
  { trained: { ...lora, targetModules: ["query"] } },
);
