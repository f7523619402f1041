// What was not trained on, and how the next run knows: the held-out rows of a run, and the prompts that an adapter has
// seen. Gate and comparison are only fair on rows that neither adapter was trained on. It does not know how rows are
// drawn.

import { join } from "node:path";
import { z } from "zod";
import { writeFileAtomic } from "../../shared/atomic_file.ts";
import { InputError } from "../../shared/errors.ts";
import { readFeedback } from "../../shared/feedback/read.ts";
import type { FeedbackRow } from "../../shared/feedback/row.ts";
import { heldOutName } from "../../shared/run_rows.ts";

const heldOutPath = (out: string) => join(out, heldOutName);
const trainedPromptsPath = (adapter: string) => join(adapter, "trained_prompts.json");

/** So many hexadecimal digits of a prompt's key tell prompts apart: 64 bits. */
const keyDigits = 16;

/** Writes a run's held-out rows into its folder, as a feedback file; an empty one where nothing was held out. */
export async function writeHeldOut(out: string, rows: readonly FeedbackRow[]): Promise<void> {
  const lines = rows.map(({ prompt, completion, label, tools, templateArguments }) =>
    JSON.stringify({
      prompt,
      completion,
      label,
      ...(tools ? { tools } : {}),
      ...(templateArguments ? { chat_template_kwargs: templateArguments } : {}),
    }) + "\n"
  );
  await writeFileAtomic(heldOutPath(out), lines.join(""));
}

/** The held-out rows of the run in `out`. @throws InputError where the run has left none of its files there */
export async function readHeldOut(out: string): Promise<FeedbackRow[]> {
  const path = heldOutPath(out);
  try {
    if ((await Deno.stat(path)).size === 0) return [];
  } catch (error) {
    throw new InputError(`${path} cannot be read (${(error as Error).message}): name the folder of a finished run.`);
  }
  return (await readFeedback(path)).rows;
}

/** Prompts by the beginning of their keys. */
export class PromptSet {
  #keys: Set<string>;

  constructor(keys: Iterable<string> = []) {
    this.#keys = new Set([...keys].map((key) => key.slice(0, keyDigits)));
  }

  has(promptKey: string): boolean {
    return this.#keys.has(promptKey.slice(0, keyDigits));
  }

  /** In order, so that the same set is the same file. */
  toJSON(): string[] {
    return [...this.#keys].sort();
  }
}

/** Writes beside an adapter which prompts it was trained on; PEFT does not mind another file. */
export async function writeTrainedPrompts(adapter: string, prompts: PromptSet): Promise<void> {
  await writeFileAtomic(trainedPromptsPath(adapter), JSON.stringify(prompts) + "\n");
}

/**
 * The prompts that an adapter was trained on, by itself or before as the adapter that it started from; none for an
 * adapter that was made elsewhere.
 *
 * @throws InputError where the file is there and is something else
 */
export async function readTrainedPrompts(adapter: string): Promise<PromptSet> {
  const path = trainedPromptsPath(adapter);
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return new PromptSet();
    throw new InputError(
      `${path} cannot be read (${(error as Error).message}), so it is not known what the adapter was trained on; ` +
        `make it readable, or delete it to go on as if that were nothing.`,
    );
  }
  try {
    return new PromptSet(z.array(z.string().regex(/^[0-9a-f]{16}$/)).parse(JSON.parse(text)));
  } catch {
    throw new InputError(`${path}: not a list of prompt keys; delete it to compare without it.`);
  }
}
