// What tests of hub downloads share: a repository with weights, ways to cut them off, and how a refusal has to read.

import { assert, assertMatch, assertRejects } from "@std/assert";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../../shared/errors.ts";
import { type ModelFolder, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { type Asked, brokenOff, type LocalHub, type Place, tagOf } from "./local_hub.ts";

/** The files of a repository besides its weights. */
export const small = {
  "config.json": '{"model_type":"llama"}',
  "tokenizer.json": "{}",
  "README.md": "",
  ".gitattributes": "",
};

export const weights = Uint8Array.from({ length: 100_000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 23);

/** As long, and other. */
export const changed = weights.map((byte) => byte ^ 1);

/** Where the weights are. */
export const data = "onnx/model.onnx_data";

export const files = { ...small, "onnx/model.onnx": "graph", [data]: weights };

/** An error is of bad input, in one sentence on one line. */
export function assertSentence(error: unknown, message: RegExp): void {
  assert(error instanceof InputError, `${error}`);
  assertMatch(error.message, message);
  assertMatch(error.message, /^[^\n]+\.$/);
}

export const find = ({ options }: Place): Promise<ModelFolder> => resolveModelFolder("owner/name", options);

/** The tag of the weights that have arrived: arrays of this length take long to be shown where they differ. */
export const arrived = ({ folder }: Place): string => tagOf(readFileSync(join(folder, data)));

/** Unfinished files. */
export const partials = ({ folder }: Place): string[] =>
  readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(".partial"));

/** Requests for the weights that had the usual answer. */
export const ofWeights = ({ asked }: LocalHub): Asked[] => asked.filter(({ file }) => file === data);

/** Trouble with the weights alone; the nth request for them has the nth answer, later ones the usual. */
export function withWeights(...answers: ((request: Request) => Response)[]): LocalHub["trouble"] {
  return (path, request) => path.endsWith(data) ? answers.shift()?.(request) : undefined;
}

/** A call that is cut off for good after `after` bytes of the weights. */
export async function cutOff(hub: LocalHub, place: Place, after: number): Promise<void> {
  hub.trouble = (path) => path.endsWith(data) ? brokenOff(weights, after) : undefined;
  assertSentence(
    await assertRejects(() => find(place)),
    /^Could not download owner\/name from http.*: check the network and run the same command again, which/,
  );
  hub.trouble = undefined;
  hub.asked.length = 0;
}
