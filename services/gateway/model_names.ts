// Which model a request's `model` field means: `base`, `base:ADAPTER`, or an alias that spreads requests over several of
// those by weight. It draws arms; it does not know requests, adapters' weights or HTTP.

import { createHash } from "node:crypto";
import { InputError } from "../../shared/errors.ts";
import type { Arm } from "../../shared/store/aliases.ts";
import { adapterOf } from "../../shared/store/registry.ts";

export type { Arm };

/** Adapters' names, and aliases': no colon, since it parts names in a model's name. */
export const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/**
 * Reads `--alias prospect=base:90,base:new:10`: a name, then arms with their weights. A last part that is a number is the
 * weight; without one it is 1.
 *
 * @throws InputError naming the part at fault
 */
export function parseAlias(text: string): { name: string; arms: Arm[] } {
  const [, name, list] = /^([^=]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || list === undefined || !namePattern.test(name) || name === "base") {
    throw new InputError(`--alias ${text}: write NAME=MODEL:WEIGHT,MODEL:WEIGHT, e.g. prospect=base:90,base:new:10.`);
  }
  const arms = list.split(",").map((part) => {
    const [, model, weight] = /^(.+?)(?::(\d+(?:\.\d+)?))?$/.exec(part.trim()) ?? [];
    if (model === undefined || adapterOf(model) === null) {
      throw new InputError(`--alias ${text}: "${part}" is no model; arms are base or base:ADAPTER, with a weight.`);
    }
    return { model, weight: weight === undefined ? 1 : Number(weight) };
  });
  checkArms(name, arms);
  return { name, arms };
}

/** @throws InputError for arms that could never be drawn, or twice */
export function checkArms(alias: string, arms: readonly Arm[]): void {
  if (!(arms.reduce((sum, { weight }) => sum + weight, 0) > 0)) {
    throw new InputError(`Alias ${alias}: the weights add up to nothing; give one model a weight above 0.`);
  }
  if (new Set(arms.map(({ model }) => model)).size < arms.length) {
    throw new InputError(`Alias ${alias}: a model is named twice; name each once.`);
  }
}

/**
 * The arm of one request. The same person always gets the same arm while the weights stay, so that a conversation does
 * not change its voice; without a person it is drawn.
 */
export function drawArm(alias: string, arms: readonly Arm[], person: string | undefined): string {
  const total = arms.reduce((sum, { weight }) => sum + weight, 0);
  let left = (person === undefined ? Math.random() : fraction(`${alias}\n${person}`)) * total;
  for (const { model, weight } of arms) if ((left -= weight) < 0) return model;
  return arms.findLast(({ weight }) => weight > 0)!.model;
}

/** A text's own number in [0, 1). */
function fraction(text: string): number {
  return createHash("sha256").update(text).digest().readUInt32BE() / 2 ** 32;
}
