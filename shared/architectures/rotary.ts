// Rotary position embedding (arXiv 2104.09864): the frequencies of every scaling that checkpoints name in
// `rope_scaling`, and the tables of cosines and sines that ONNX Runtime reads. It does not know layers or files.

import { z } from "zod";
import { InputError, RefusedModelError } from "../errors.ts";

/** One rotary embedding. */
export interface Rotary {
  /** Elements at the start of a head that turn. */
  size: number;
  /** Radians per position of each pair of elements; `size`/2 of them. */
  frequencies: number[];
  /** Factor of cosines and sines (YaRN, LongRoPE). */
  magnitude: number;
}

/** What {@link rotary} needs besides the scaling. */
export interface RotaryBase {
  theta: number;
  size: number;
  /** `max_position_embeddings`. */
  positions: number;
  /** `original_max_position_embeddings` where config.json has it outside `rope_scaling`. */
  originalPositions: number | undefined;
}

const positive = z.number().positive();
const size = z.number().int().positive();

const scalings = {
  default: z.looseObject({}),
  linear: z.looseObject({ factor: positive }),
  dynamic: z.looseObject({}),
  llama3: z.looseObject({
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: size,
  }),
  yarn: z.looseObject({
    factor: positive.nullish(),
    original_max_position_embeddings: size.nullish(),
    attention_factor: positive.nullish(),
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    mscale: positive.nullish(),
    mscale_all_dim: positive.nullish(),
    truncate: z.boolean().nullish(),
  }),
  longrope: z.looseObject({
    short_factor: z.array(positive),
    factor: positive.nullish(),
    attention_factor: positive.nullish(),
    original_max_position_embeddings: size.nullish(),
  }),
};

type Scaling = keyof typeof scalings;

const kindSchema = z.looseObject({ rope_type: z.string().nullish(), type: z.string().nullish() });

const round = Math.fround;

/**
 * The rotary embedding that `rope_scaling` (or transformers 5's `rope_parameters`) asks for, and the longest sequence
 * for which it is right: `dynamic` and `longrope` change the frequencies of the whole sequence beyond that length,
 * which a graph with one table cannot follow.
 *
 * @param scaling the field's value; null for none
 * @param source what messages name, such as config.json's path
 * @throws {RefusedModelError} for a scaling of another type
 * @throws {InputError} naming the part that is missing
 */
export function rotary(base: RotaryBase, scaling: unknown, source: string): { rotary: Rotary; positions: number } {
  const kind = kindSchema.safeParse(scaling ?? {});
  const type = kind.success ? kind.data.rope_type ?? kind.data.type ?? "default" : "unreadable";
  if (!Object.hasOwn(scalings, type)) {
    throw new RefusedModelError(
      `${source}: rope_scaling of type "${type}" is not supported (${Object.keys(scalings).join(", ")} are); use an ` +
        `ONNX export of this model.`,
    );
  }
  const read = <K extends Scaling>(name: K): z.infer<(typeof scalings)[K]> => {
    const parsed = scalings[name].safeParse(kind.data);
    if (parsed.success) return parsed.data as z.infer<(typeof scalings)[K]>;
    const issue = parsed.error.issues[0];
    throw new InputError(`${source}: rope_scaling.${issue?.path.join(".")}: ${issue?.message ?? "unusable"}.`);
  };
  const { theta, size, positions } = base;
  // Rounded to float32 step by step, as PyTorch computes them.
  const wavelengths = Array.from({ length: size / 2 }, (_, i) => round(theta ** round((2 * i) / size)));
  const plain = wavelengths.map((each) => round(1 / each));
  const rotaryOf = (frequencies: number[], magnitude = 1): Rotary => ({ size, frequencies, magnitude });
  switch (type as Scaling) {
    case "default":
    case "dynamic":
      return { rotary: rotaryOf(plain), positions };
    case "linear": {
      const { factor } = read("linear");
      return { rotary: rotaryOf(plain.map((each) => round(each / factor))), positions };
    }
    case "llama3":
      return { rotary: rotaryOf(plain.map(llama3(read("llama3")))), positions };
    case "yarn":
      return { rotary: yarn(base, read("yarn"), wavelengths), positions };
    case "longrope": {
      const { short_factor, factor, attention_factor, original_max_position_embeddings } = read("longrope");
      if (short_factor.length !== size / 2) {
        throw new InputError(
          `${source}: rope_scaling.short_factor has ${short_factor.length} numbers, not ${size / 2}.`,
        );
      }
      const original = original_max_position_embeddings ?? base.originalPositions ?? positions;
      const stretch = factor ?? positions / original;
      const magnitude = attention_factor ??
        (stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(original)));
      const frequencies = wavelengths.map((each, i) => round(1 / round(round(short_factor[i]!) * each)));
      return { rotary: rotaryOf(frequencies, magnitude), positions: Math.min(original, positions) };
    }
  }
}

/** Llama 3.1: long waves are stretched, short ones kept, those between blended. */
function llama3(scaling: z.infer<(typeof scalings)["llama3"]>): (frequency: number) => number {
  const { factor, low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = scaling;
  return (frequency) => {
    const wavelength = round((2 * Math.PI) / frequency);
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return round(frequency / factor);
    const smooth = round((original / wavelength - low) / (high - low));
    return round(round((1 - smooth) * frequency / factor) + round(smooth * frequency));
  };
}

/** YaRN (arXiv 2309.00071): a ramp over the pairs from kept to stretched frequencies, and a magnitude. */
function yarn(
  { theta, size, positions, originalPositions }: RotaryBase,
  scaling: z.infer<(typeof scalings)["yarn"]>,
  wavelengths: number[],
): Rotary {
  const original = scaling.original_max_position_embeddings ?? originalPositions ?? positions;
  const factor = scaling.factor ?? positions / original;
  const growth = (weight: number) => factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
  const { mscale, mscale_all_dim } = scaling;
  const magnitude = scaling.attention_factor ??
    (mscale && mscale_all_dim ? growth(mscale) / growth(mscale_all_dim) : growth(1));
  /** The pair that makes so many turns over the original length. */
  const pairOf = (turns: number) => size * Math.log(original / (turns * 2 * Math.PI)) / (2 * Math.log(theta));
  const whole = scaling.truncate ?? true;
  const first = pairOf(scaling.beta_fast ?? 32), last = pairOf(scaling.beta_slow ?? 1);
  const low = Math.max(whole ? Math.floor(first) : first, 0);
  const high = Math.min(whole ? Math.ceil(last) : last, size - 1);
  const width = high === low ? 0.001 : high - low;
  const frequencies = wavelengths.map((wavelength, i) => {
    const kept = round(1 - Math.min(Math.max((i - low) / width, 0), 1));
    const stretched = round(1 / round(factor * wavelength));
    return round(round(stretched * (1 - kept)) + round(round(1 / wavelength) * kept));
  });
  return { size, frequencies, magnitude };
}

/** A piece of a table: float32 [count, size/2], cosines or sines of the angles at positions from `first` on. */
export function rotaryTable(
  { frequencies, magnitude }: Rotary,
  wave: "cos" | "sin",
  first: number,
  count: number,
): Float32Array {
  const table = new Float32Array(count * frequencies.length);
  for (let position = first, at = 0; position < first + count; position++) {
    for (const frequency of frequencies) {
      table[at++] = Math[wave](round(position * frequency)) * magnitude;
    }
  }
  return table;
}
