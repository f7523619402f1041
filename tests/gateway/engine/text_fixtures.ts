// The tokenizers that tests of texts run on: byte-level ones and one with byte fallback, random ids for them, and a
// tokenizer of four pieces that cleans up spaces.

import { existsSync } from "node:fs";
import { type ChatTokenizer, loadChatTokenizer } from "../../../shared/runtime/chat_tokenizer.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";
import { openModelFolder } from "../../../shared/runtime/model_folder.ts";
import type { Random } from "../../../shared/random.ts";
import { SHARED } from "../../feedback/shared_files.ts";

const folders: Record<string, string> = {
  "the embedded model": embeddedModelFolder,
  "llama-genai": `${SHARED}/fixtures/llama-genai`,
  "gemma3-genai": `${SHARED}/fixtures/gemma3-genai`,
  "stories260K (byte fallback)": `${SHARED}/models/stories260K`,
  "SmolLM2": `${SHARED}/models/SmolLM2-135M-Instruct`,
};

export interface NamedTokenizer {
  name: string;
  folder: string;
  tokenizer: ChatTokenizer;
  vocabulary: number;
}

/** The tokenizers that are there. */
export function tokenizers(): NamedTokenizer[] {
  const found = Object.entries(folders).filter(([, folder]) => existsSync(folder));
  return found.map(([name, path]) => {
    const folder = openModelFolder(path), tokenizer = loadChatTokenizer(folder);
    return { name, folder: path, tokenizer, vocabulary: folder.config.vocab_size! };
  });
}

/** Texts whose characters take one to four bytes, joined emoji among them. */
export const texts = [
  "Hello, world! It's 10 o'clock.",
  "Zażółć gęślą jaźń — naïve façade; 漢字かな交じり文 한국어 текст",
  "🙂👩‍👩‍👧‍👦🏳️‍🌈 👍🏽 \u{1F9D1}\u200d\u{1F680} é e\u0301",
  "  two  spaces \n\n\ttabs\r\n and a bell \u0007 \ufeff \ufffd end ",
];

/** Ids at random, among them those of texts with pieces of them left out, so that characters break. */
export function randomIds({ tokenizer, vocabulary }: NamedTokenizer, random: Random): number[] {
  const ids: number[] = [];
  while (ids.length < 10 + random.int(150)) {
    if (random.next() < 0.5) ids.push(random.int(vocabulary));
    else ids.push(...tokenizer.encode(random.pick(texts)).filter(() => random.next() < 0.95));
  }
  return ids;
}
