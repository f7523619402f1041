// Draws the next token of an answer from the model's logits, and reports its raw log-prob. Each answer has a sampler of
// its own, so an answer does not depend on its neighbours. It knows token ids only.

import { Random } from "../shared/random.ts";
import type { DrawnToken, Sampling, ScoredToken } from "./protocol.ts";

/** Room for one row of logits and of weights, used again for every token of every answer of the thread. */
let adjustedRoom = new Float32Array(0), weightRoom = new Float64Array(0);

function growRooms(vocabulary: number): void {
  if (adjustedRoom.length >= vocabulary) return;
  adjustedRoom = new Float32Array(vocabulary);
  weightRoom = new Float64Array(vocabulary);
}

/** e^−i, and e^−j/64 for what is left. */
const wholes = Float64Array.from({ length: 128 }, (_, i) => Math.exp(-i));
const parts = Float64Array.from({ length: 64 }, (_, j) => Math.exp(-j / 64));

/**
 * e^−y for y ≥ 0, to 3e-9 of its value, and 0 from 128 on: two table entries and the first terms of the series. Math.exp
 * over 49,152 logits took 1 ms a token, a twentieth of SmolLM2's own time.
 */
function decay(y: number): number {
  if (!(y < 128)) return 0;
  const whole = y | 0, part = (y - whole) * 64, step = part | 0, rest = (step - part) / 64;
  return wholes[whole]! * parts[step]! * (1 + rest * (1 + rest * (0.5 + rest / 6)));
}

/** Index of the largest value, the first one where several are equal. */
function likeliest(logits: Float32Array): number {
  let best = 0, highest = logits[0]!;
  for (let i = 1; i < logits.length; i++) {
    if (logits[i]! > highest) {
      highest = logits[i]!;
      best = i;
    }
  }
  return best;
}

/** log Σ exp(logits). */
function logSumExp(logits: Float32Array, highest: number): number {
  let total = 0;
  for (let i = 0; i < logits.length; i++) total += decay(highest - logits[i]!);
  return highest + Math.log(total);
}

/** Ids of the `count` largest logits, the largest first; of equal ones the smaller id first. */
function largest(logits: Float32Array, count: number): number[] {
  const ids: number[] = [];
  for (let i = 0; i < logits.length; i++) {
    if (ids.length === count && logits[i]! <= logits[ids[count - 1]!]!) continue;
    let place = ids.length;
    while (place > 0 && logits[ids[place - 1]!]! < logits[i]!) place--;
    ids.splice(place, 0, i);
    if (ids.length > count) ids.pop();
  }
  return ids;
}

/** Draws an index with the probabilities of the first `count` weights. */
function drawFromAll(weights: Float64Array, count: number, total: number, random: Random, otherwise: number): number {
  let left = random.next() * total;
  for (let i = 0; i < count; i++) if ((left -= weights[i]!) < 0) return i;
  return otherwise;
}

/**
 * Draws from the nucleus: the likeliest tokens whose probabilities reach `topP` together. All tokens lighter than
 * (1 − topP)·total/count weigh less than 1 − topP together, so that they are never in it and need no sorting.
 */
function drawFromNucleus(
  weights: Float64Array,
  count: number,
  total: number,
  topP: number,
  random: Random,
): number {
  const bound = (1 - topP) * total / count, candidates: number[] = [];
  for (let i = 0; i < count; i++) if (weights[i]! >= bound) candidates.push(i);
  candidates.sort((a, b) => weights[b]! - weights[a]! || a - b);
  let size = 0, mass = 0;
  while (size < candidates.length && (size === 0 || mass < topP * total)) mass += weights[candidates[size++]!]!;
  let left = random.next() * mass;
  for (let i = 0; i < size; i++) if ((left -= weights[candidates[i]!]!) < 0) return candidates[i]!;
  return candidates[0]!;
}

export class Sampler {
  #random: Random;
  /** How often each token stands in the answer. */
  #counts = new Map<number, number>();

  constructor(readonly sampling: Sampling, readonly topLogProbs: number | undefined) {
    this.#random = new Random(sampling.seed);
  }

  /** Draws a token from a row of logits [vocabulary] and counts it as part of the answer. */
  next(logits: Float32Array): DrawnToken {
    growRooms(logits.length);
    const highest = logits[likeliest(logits)]!, normalizer = logSumExp(logits, highest);
    const token = this.#draw(this.#adjusted(logits));
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    const scored = (token: number): ScoredToken => ({ token, logProb: logits[token]! - normalizer });
    return { ...scored(token), top: this.topLogProbs ? largest(logits, this.topLogProbs).map(scored) : [] };
  }

  /** Logits under bias and penalties: logit − count·frequency − (count > 0)·presence + bias, as OpenAI defines them. */
  #adjusted(logits: Float32Array): Float32Array {
    const { frequencyPenalty, presencePenalty, logitBias } = this.sampling;
    const penalized = frequencyPenalty !== 0 || presencePenalty !== 0;
    if (!penalized && logitBias.size === 0) return logits;
    const adjusted = adjustedRoom.subarray(0, logits.length);
    adjusted.set(logits);
    if (penalized) {
      for (const [token, count] of this.#counts) adjusted[token]! -= count * frequencyPenalty + presencePenalty;
    }
    for (const [token, bias] of logitBias) if (token < adjusted.length) adjusted[token]! += bias;
    return adjusted;
  }

  #draw(logits: Float32Array): number {
    const { temperature, topP } = this.sampling, best = likeliest(logits);
    if (temperature <= 0) return best;
    const highest = logits[best]!;
    let total = 0;
    for (let i = 0; i < logits.length; i++) {
      total += weightRoom[i] = decay((highest - logits[i]!) / temperature);
    }
    return topP < 1
      ? drawFromNucleus(weightRoom, logits.length, total, topP, this.#random)
      : drawFromAll(weightRoom, logits.length, total, this.#random, best);
  }
}
