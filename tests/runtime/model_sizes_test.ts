// Sizes of models under the names that families give them.

import { assertEquals } from "@std/assert";
import { contextLengthOf, widthOf } from "../../shared/runtime/model_sizes.ts";

Deno.test("context and width are found under every family's name for them, and what is no size is not taken", () => {
  const configs = [
    { max_position_embeddings: 256, hidden_size: 64 }, // Llama
    { n_positions: 256, n_embd: 64 }, // GPT-2
    { max_seq_len: 256, d_model: 64 }, // MPT
    { seq_length: 256, dim: 64 },
    { max_position_embeddings: null, n_positions: 256, hidden_size: "wide", n_embd: 64 },
  ];
  for (const config of configs) assertEquals([contextLengthOf(config), widthOf(config)], [256, 64]);
  for (const config of [{}, { n_positions: 0, dim: -1 }, { n_positions: 0.5, dim: NaN }]) {
    assertEquals([contextLengthOf(config), widthOf(config)], [undefined, undefined]);
  }
});
