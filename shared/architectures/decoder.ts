// What a decoder-only language model is, once its family's habits are settled: sizes, norms, biases, scales, and for
// each layer how it attends. The graph writer and the weight layout read this; they never ask for a family.
// It does not know config.json, checkpoints or operators.

import type { Rotary } from "./rotary.ts";

/** How one layer attends. */
export interface DecoderLayer {
  /** Positions that a token sees, itself included; -1 is all before it. */
  window: number;
  /** Which of {@link Decoder.rotaries} turns queries and keys; absent where the layer has no position at all. */
  rotary?: string;
}

/** A decoder: embedding, blocks of attention and gated MLP around a residual stream, norm, output head. */
export interface Decoder {
  vocabulary: number;
  hidden: number;
  /** Width of the MLP. */
  inner: number;
  heads: number;
  /** Heads of keys and values; `heads` is a multiple. */
  kvHeads: number;
  headSize: number;
  layers: DecoderLayer[];
  /** Rotary embeddings by name; the name is the suffix of their cosine and sine tables. */
  rotaries: Record<string, Rotary>;
  /** Length of the rotary tables: no longer sequence can be run. */
  positions: number;

  epsilon: number;
  /** Norm weights w act as 1 + w. */
  normsFromOne: boolean;
  /** What a block adds to the stream is normalised first, beside what it reads. */
  sandwichNorms: boolean;
  /** Queries and keys are normalised head by head before they turn. */
  queryKeyNorm: boolean;
  biases: { queryKeyValue: boolean; attentionOutput: boolean; mlp: boolean };
  /** The checkpoint itself has `qkv_proj` and `gate_up_proj`, so PEFT adapts those. */
  fusedProjections: boolean;
  activation: "silu" | "gelu_tanh";

  embeddingScale: number;
  attentionScale: number;
  /** Scores s become cap·tanh(s/cap); 0 leaves them. */
  attentionSoftcap: number;
  logitSoftcap: number;
  /** The head multiplies by the embedding table. */
  tied: boolean;
}

/**
 * Whether queries and keys turn inside GroupQueryAttention. ONNX Runtime 1.30 wants a head size that is a multiple of
 * 16 there; other sizes and heads that turn in part only get RotaryEmbedding nodes before it.
 */
export function turnsInside({ headSize, rotaries }: Decoder): boolean {
  return headSize % 16 === 0 && Object.values(rotaries).every(({ size }) => size === headSize);
}
