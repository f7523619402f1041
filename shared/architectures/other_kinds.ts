// Models that are no dense, causal, text-only decoders with float weights: how a config.json shows it, and what would work
// instead. It does not know the families that Prospect writes.

type Fields = Record<string, unknown>;

/** One kind: what gives it away in config.json, and the sentence about it. */
interface OtherKind {
  found: (config: Fields, type: string) => string | false | undefined;
  say: (found: string, families: string[]) => string;
}

const firstOf = (config: Fields, fields: string[]) => fields.find((field) => config[field]);

const otherKinds: OtherKind[] = [
  {
    found: ({ quantization_config: found }) =>
      found ? `${(found as Fields)["quant_method"] ?? "of no named method"}` : false,
    say: (method) =>
      `the checkpoint is quantised (quantization_config: ${method}), which Prospect does not read; give the float ` +
      `checkpoint it was made from, or a 4-bit or 8-bit ONNX export`,
  },
  {
    found: (config) => config["is_encoder_decoder"] === true && "is_encoder_decoder",
    say: () => `it is an encoder-decoder model; Prospect tunes decoder-only language models`,
  },
  {
    found: (config) => firstOf(config, ["vision_config", "audio_config", "image_token_id"]),
    say: (field, families) =>
      `it is no text-only model (${field}); give a checkpoint of a language model alone, whose model_type is one of ` +
      families.join(", "),
  },
  {
    found: (config, type) =>
      firstOf(config, ["num_local_experts", "num_experts", "n_routed_experts", "moe_intermediate_size"]) ??
        (/moe|mixtral/.test(type) && `model_type ${type}`),
    say: (field) =>
      `it is a mixture of experts (${field}), which Prospect does not train; take a dense model of the family`,
  },
  {
    found: (config) => config["use_bidirectional_attention"] === true && "use_bidirectional_attention",
    say: (field) => `its attention is bidirectional (${field}); Prospect tunes causal language models`,
  },
];

/**
 * Why a model is none that could be written, or undefined.
 *
 * @param type its model_type
 * @param families the model types that can be, for the sentence
 */
export function whyNotDecoder(config: Fields, type: string, families: string[]): string | undefined {
  for (const { found, say } of otherKinds) {
    const what = found(config, type);
    if (what) return say(what, families);
  }
}
