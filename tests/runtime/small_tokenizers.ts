// Small tokenizers of the kinds that models have, each with control tokens and a chat template, as folders of a model.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ChatTokenizer, loadChatTokenizer } from "../../shared/runtime/chat_tokenizer.ts";
import { openModelFolder } from "../../shared/runtime/model_folder.ts";

const printable = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i));

/** Ids in order. */
const numbered = (pieces: readonly string[]) => Object.fromEntries(pieces.map((piece, id) => [piece, id]));

const special = (id: number, content: string, flags: object = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...flags,
});

const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
const file = { version: "1.0", truncation: null, padding: null, post_processor: null, decoder: null };

/** tokenizer.json by the kind of tokenizer; ids 0 to 2 of each are control tokens. */
export const smallTokenizers = {
  /** Llama 2: spaces become ▁ in the normalizer, what is unknown becomes bytes. */
  llama: {
    ...file,
    added_tokens: [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
    normalizer: {
      type: "Sequence",
      normalizers: [{ type: "Prepend", prepend: "▁" }, { type: "Replace", pattern: { String: " " }, content: "▁" }],
    },
    pre_tokenizer: null,
    model: {
      type: "BPE",
      unk_token: "<unk>",
      fuse_unk: true,
      byte_fallback: true,
      vocab: numbered(["<unk>", "<s>", "</s>", ...bytes, "▁", ...printable, "</", "▁a", "he", "▁he"]),
      merges: [["<", "/"], ["▁", "a"], ["h", "e"], ["▁", "he"]],
    },
  },
  /** Llama 3: a word that the vocabulary has needs no merges, and the library counts added tokens among them. */
  llama3: {
    ...file,
    added_tokens: [special(0, "<|bos|>"), special(1, "<|head|>"), special(2, "<|eot|>")],
    normalizer: null,
    pre_tokenizer: { type: "WhitespaceSplit" },
    model: {
      type: "BPE",
      ignore_merges: true,
      vocab: numbered(["<|bos|>", "<|head|>", "<|eot|>", ...printable, "<|", "|>"]),
      merges: [["<", "|"], ["|", ">"]],
    },
  },
  /** T5 and others: the vocabulary itself has the words, and a normalizer makes them of look-alikes. */
  unigram: {
    ...file,
    added_tokens: [special(0, "<pad>"), special(1, "<unk>"), special(2, "</s>")],
    normalizer: { type: "NFKC" },
    pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: true },
    model: {
      type: "Unigram",
      unk_id: 1,
      byte_fallback: false,
      vocab: [
        ["<pad>", 0],
        ["<unk>", 0],
        ["</s>", 0],
        ["▁", -2],
        ["▁a", -2.5],
        ...printable.map((piece) => [piece, -3]),
      ],
    },
  },
  /** BERT's kind: looked for in the normalized text, which is in lower case; spaces beside one are its own. */
  wordpiece: {
    ...file,
    added_tokens: [
      special(0, "[pad]", { normalized: true }),
      special(1, "[unk]", { normalized: true }),
      special(2, "[sep]", { normalized: true, lstrip: true, rstrip: true }),
    ],
    normalizer: { type: "Lowercase" },
    pre_tokenizer: { type: "WhitespaceSplit" },
    model: {
      type: "WordPiece",
      unk_token: "[unk]",
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab: numbered(["[pad]", "[unk]", "[sep]", ...printable, ...printable.map((piece) => `##${piece}`)]),
    },
  },
};

/** How conversations are written for each: what is said, closed by the control token of id 2. */
export const smallTemplate = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";

/** A tokenizer from the files of a folder that is then gone. */
export async function openTokenizer(
  tokenizer: { added_tokens: { content: string }[]; post_processor?: object | null },
  chat_template = smallTemplate,
  config: object = {},
): Promise<ChatTokenizer> {
  const folder = await Deno.makeTempDir();
  try {
    const eos_token = tokenizer.added_tokens[2]!.content;
    const files = {
      "tokenizer.json": tokenizer,
      "tokenizer_config.json": { eos_token, chat_template, ...config },
      "config.json": { model_type: "llama" },
    };
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content));
    return loadChatTokenizer(openModelFolder(folder));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}
