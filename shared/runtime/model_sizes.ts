// What a model's config.json says of its size, under the names that families give it: how long its context is, how wide
// it is. It does not know what is made of that, nor of a model that does not say.

/** Where configs keep the length of the context. */
const contextLengthFields = ["max_position_embeddings", "n_positions", "max_seq_len", "seq_length"];

/** Where configs keep the width of the residual stream. */
const widthFields = ["hidden_size", "n_embd", "d_model", "dim"];

function sizeAt(config: Record<string, unknown>, fields: readonly string[]): number | undefined {
  return fields.map((field) => config[field]).find((value) => Number.isInteger(value) && (value as number) > 0) as
    | number
    | undefined;
}

/** The most tokens that prompt and answer have together; undefined where the config does not say. */
export function contextLengthOf(config: Record<string, unknown>): number | undefined {
  return sizeAt(config, contextLengthFields);
}

/** The width of the model's hidden states; undefined where the config does not say. */
export function widthOf(config: Record<string, unknown>): number | undefined {
  return sizeAt(config, widthFields);
}
