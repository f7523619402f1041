// What the tests of this folder share: a Llama of a few thousand weights, and a folder to write one into.

import { type LlamaConfig, type Weights, writeLlamaModel } from "../../shared/architectures/llama.ts";

export const small: LlamaConfig = {
  vocab_size: 320,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 3,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  max_position_embeddings: 64,
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2,
  pad_token_id: 0,
};

/** Writes a model into a new folder, removed after. */
export async function withModel(
  config: LlamaConfig,
  weights: Weights,
  run: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "prospect-llama-" });
  try {
    await writeLlamaModel(folder, config, weights);
    await run(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
