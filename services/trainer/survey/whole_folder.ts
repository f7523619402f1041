// A surveyed model's folder with all that belongs to it. Models that share a tokenizer and rows have one copy of those
// beside their folders. Knows only names of files.

import { copyFileSync, cpSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** What models may share. */
const shareable = ["tokenizer.json", "tokenizer_config.json", "data.jsonl"];

/**
 * Hands the folder to `use`; where the folder above has files that this one lacks, a temporary copy that has them, gone
 * when `use` is done.
 */
export async function withWholeFolder<T>(folder: string, use: (whole: string) => Promise<T>): Promise<T> {
  const above = dirname(folder);
  const shared = shareable.filter((file) => !existsSync(join(folder, file)) && existsSync(join(above, file)));
  if (shared.length === 0) return await use(folder);
  const whole = await Deno.makeTempDir();
  try {
    cpSync(folder, whole, { recursive: true });
    for (const file of shared) copyFileSync(join(above, file), join(whole, file));
    return await use(whole);
  } finally {
    await Deno.remove(whole, { recursive: true });
  }
}
