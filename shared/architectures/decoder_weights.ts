// Where a decoder's weights are: each initializer of the ONNX graph and the Hugging Face tensors it is made of. The graph
// has linear weights as [in, out] with q, k and v side by side; the checkpoint as [out, in], apart.
// It does not know files, operators or numbers.

import type { Decoder } from "./decoder.ts";

/** One initializer and the checkpoint's tensors it is made of. */
export interface WeightSlot {
  initializer: string;
  /** Shape in the ONNX graph. */
  shape: readonly number[];
  /** Checkpoint tensors, in the order of the initializer's columns. */
  parts: readonly { name: string; shape: readonly number[] }[];
  /** Whether the initializer holds the transposes. */
  transposed: boolean;
  /** Added to every element: the graph multiplies by 1 + w where the checkpoint has w. */
  plus: 0 | 1;
  /** A norm starts as ones; a residual projection adds into the stream, so it starts smaller. */
  kind: "embedding" | "norm" | "linear" | "residual" | "bias";
}

/** Every weight of the model, in graph order. A tied head has none of its own. */
export function weightSlots(decoder: Decoder): WeightSlot[] {
  const { hidden, inner, vocabulary, headSize, biases, fusedProjections } = decoder;
  const queries = decoder.heads * headSize, keys = decoder.kvHeads * headSize;
  const slots: WeightSlot[] = [];
  const linear = (
    initializer: string,
    inSize: number,
    parts: [name: string, outSize: number][],
    { bias = false, kind = "linear" as "linear" | "residual" } = {},
  ) => {
    const width = parts.reduce((sum, [, outSize]) => sum + outSize, 0);
    slots.push({
      initializer: `${initializer}.MatMul.weight`,
      shape: [inSize, width],
      parts: parts.map(([name, outSize]) => ({ name: `${name}.weight`, shape: [outSize, inSize] })),
      transposed: true,
      plus: 0,
      kind,
    });
    if (!bias) return;
    slots.push({
      initializer: `${initializer}.Add.bias`,
      shape: [width],
      parts: parts.map(([name, outSize]) => ({ name: `${name}.bias`, shape: [outSize] })),
      transposed: false,
      plus: 0,
      kind: "bias",
    });
  };
  const norm = (initializer: string, name: string, width: number) => {
    const shape = [width], plus = decoder.normsFromOne ? 1 : 0;
    slots.push({ initializer, shape, parts: [{ name, shape }], transposed: false, plus, kind: "norm" });
  };
  const streamNorm = (path: string) => norm(`${path}.weight`, `${path}.weight`, hidden);

  const table = { name: "model.embed_tokens.weight", shape: [vocabulary, hidden] };
  const { name: initializer, shape } = table;
  slots.push({ initializer, shape, parts: [table], transposed: false, plus: 0, kind: "embedding" });
  decoder.layers.forEach((_, i) => {
    const layer = `model.layers.${i}`, attention = `${layer}.self_attn`, mlp = `${layer}.mlp`;
    const bias = biases.mlp;
    streamNorm(`${layer}.input_layernorm`);
    const apart: [string, number][] = [["q_proj", queries], ["k_proj", keys], ["v_proj", keys]];
    const packed: [string, number][] = fusedProjections ? [["qkv_proj", queries + 2 * keys]] : apart;
    linear(
      `${layer}.attn.qkv_proj`,
      hidden,
      packed.map(([name, outSize]) => [`${attention}.${name}`, outSize]),
      { bias: biases.queryKeyValue },
    );
    for (const each of decoder.queryKeyNorm ? ["q_norm", "k_norm"] : []) {
      norm(`${layer}.attn.${each}.layernorm.weight`, `${attention}.${each}.weight`, headSize);
    }
    linear(`${layer}.attn.o_proj`, queries, [[`${attention}.o_proj`, hidden]], {
      bias: biases.attentionOutput,
      kind: "residual",
    });
    streamNorm(`${layer}.post_attention_layernorm`);
    if (decoder.sandwichNorms) streamNorm(`${layer}.pre_feedforward_layernorm`);
    if (fusedProjections) linear(`${mlp}.gate_up_proj`, hidden, [[`${mlp}.gate_up_proj`, 2 * inner]]);
    else {for (const each of ["gate_proj", "up_proj"]) {
        linear(`${mlp}.${each}`, hidden, [[`${mlp}.${each}`, inner]], { bias });
      }}
    linear(`${mlp}.down_proj`, inner, [[`${mlp}.down_proj`, hidden]], { bias, kind: "residual" });
    if (decoder.sandwichNorms) streamNorm(`${layer}.post_feedforward_layernorm`);
  });
  norm(`model.layers.${decoder.layers.length}.final_norm_layernorm.weight`, "model.norm.weight", hidden);
  if (!decoder.tied) linear("lm_head", hidden, [["lm_head", vocabulary]]);
  return slots;
}
