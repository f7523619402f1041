// Where the tests find the shared fixtures and data, which are not part of the repository, and how they go without.

import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** The folder beside the repository that holds fixtures/, data/ and models/. */
export const SHARED = fileURLToPath(new URL("../../../shared", import.meta.url));

/** The nine tiny exported models with goldens from TRL. */
export const FIXTURES = [
  "llama-genai",
  "llama-genai-mha",
  "llama-optimum",
  "llama-dynamo",
  "llama-untied-genai",
  "qwen2-genai",
  "qwen2-optimum",
  "gemma3-genai",
  "gpt2-optimum",
];

/** A test that needs files under `path` of the shared folder; without them it says so and passes. */
export function sharedTest(path: string, name: string, run: (path: string) => void | Promise<void>): void {
  Deno.test(name, async () => {
    const whole = `${SHARED}/${path}`;
    if (!existsSync(whole)) return console.log(`skipped: no ${whole}`);
    await run(whole);
  });
}

/** Runs with a new file holding `content` and removes it after. */
export async function withFile(
  content: string | Uint8Array<ArrayBuffer>,
  run: (path: string) => void | Promise<void>,
  suffix = ".jsonl",
): Promise<void> {
  const path = await Deno.makeTempFile({ suffix });
  try {
    if (typeof content === "string") await Deno.writeTextFile(path, content);
    else await Deno.writeFile(path, content);
    await run(path);
  } finally {
    await Deno.remove(path);
  }
}
