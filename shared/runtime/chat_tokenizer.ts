// Text to ids and conversations to ids, with the libraries that transformers.js itself uses, for training and serving alike.
// Adds to them: a folder's chat_template.jinja, the end tokens of generation_config.json, and a content hash.
// Knows nothing of rows, labels or models.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { InputError } from "../errors.ts";
import type { Message } from "../feedback/row.ts";
import { ChatTemplate, type RenderOptions, type TemplateSource, templateText } from "./chat_template.ts";
import { ControlTokens, type TokenizerFile } from "./control_tokens.ts";
import type { ModelFolder } from "./model_folder.ts";

export type { RenderOptions };

/** A model's tokenizer with its chat template. */
export interface ChatTokenizer {
  /** Ids of a text. Special tokens written in the text are recognised; none is added unless asked. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** The conversation as the model reads it. Throws InputError without a template, or where the template refuses. */
  render(messages: Message[], options?: RenderOptions): string;
  /**
   * Ids of a conversation as `render` writes it. Control tokens are the template's alone: where messages, tools or
   * arguments have the words of one, they are text. Throws as `render` does.
   */
  encodeChat(messages: Message[], options?: RenderOptions): number[];
  /** The text of the end token, e.g. `<|im_end|>`. Empty where the model names none. */
  eosToken: string;
  /** The end token's id; undefined where the model names none. */
  eosTokenId: number | undefined;
  /** All ids that end an answer: the tokenizer's and those of generation_config.json and config.json. */
  eosTokenIds: number[];
  hasChatTemplate: boolean;
  /** Whether decoding takes away spaces before punctuation, so that a token can change the text before it. */
  cleansUpSpaces: boolean;
  /** sha-256 over tokenizer.json's bytes and the template's text: same hash, same ids for the same conversation. */
  contentHash: string;
}

const TokenSchema = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const TokenizerConfigSchema = z.looseObject({
  bos_token: TokenSchema,
  eos_token: TokenSchema,
  unk_token: TokenSchema,
  sep_token: TokenSchema,
  pad_token: TokenSchema,
  cls_token: TokenSchema,
  mask_token: TokenSchema,
  additional_special_tokens: z.array(z.union([z.string(), z.looseObject({ content: z.string() })])).nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  chat_template: z.union([
    z.string(),
    z.array(z.object({ name: z.string(), template: z.string() })),
  ]).nullish(),
});
type TokenizerConfig = z.infer<typeof TokenizerConfigSchema>;
const EndTokensSchema = z.looseObject({ eos_token_id: z.union([z.number(), z.array(z.number())]).nullish() });
const SpecialTokensSchema = z.looseObject({ eos_token: TokenSchema });

/**
 * Loads the tokenizer of a model folder.
 *
 * @throws InputError when tokenizer.json or tokenizer_config.json cannot be read.
 */
export function loadChatTokenizer(folder: ModelFolder): ChatTokenizer {
  const tokenizerPath = join(folder.path, "tokenizer.json");
  if (!existsSync(tokenizerPath)) throw new InputError(`${folder.path} has no tokenizer.json.`);
  const bytes = readFileSync(tokenizerPath);
  const config = readJson(folder.path, "tokenizer_config.json", TokenizerConfigSchema);
  const { file, tokenizer } = openTokenizer(folder.path, bytes, config ?? {});
  const source = chatTemplate(folder.path, config);
  const template = new ChatTemplate(source, folder.name, namedWords(config));
  const eosToken = endToken(folder, config, tokenizer);
  const eosTokenId = eosToken === "" ? undefined : tokenizer.token_to_id(eosToken);
  const generation = readJson(folder.path, "generation_config.json", EndTokensSchema);
  const eosTokenIds = [
    ...new Set([eosTokenId, generation?.eos_token_id ?? folder.config.eos_token_id].flat()),
  ].filter((id) => typeof id === "number");
  // transformers.js' own default is true, which would change the text between two thumbs.
  const cleansUpSpaces = config?.clean_up_tokenization_spaces ?? false;
  const hash = createHash("sha256").update(bytes).update("\0").update(
    source === undefined ? "" : templateText(source),
  );
  const furtherControls = new Set([config?.bos_token, ...config?.additional_special_tokens ?? []].map(wordOf));
  const controls = new ControlTokens(
    tokenizer,
    file,
    config ?? {},
    ({ id, content, special }) => special === true || eosTokenIds.includes(id) || furtherControls.has(content),
  );
  const encode: ChatTokenizer["encode"] = (text, { addSpecialTokens = false } = {}) =>
    text === "" && !addSpecialTokens ? [] : tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;

  return {
    encode,
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      ids.length === 0 ? "" : tokenizer.decode(Array.from(ids), {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: cleansUpSpaces,
      }),
    render: (messages, options) => template.render(messages, options),
    encodeChat(messages, options = {}) {
      const sealed = controls.seal({ messages, options });
      return sealed === undefined
        ? encode(template.render(messages, options))
        : sealed.encode(template.render(sealed.value.messages, sealed.value.options));
    },
    eosToken,
    eosTokenId,
    eosTokenIds,
    hasChatTemplate: source !== undefined,
    cleansUpSpaces,
    contentHash: hash.digest("hex"),
  };
}

/** As transformers resolves it: a chat_template.jinja beside the tokenizer goes before the one in its config. */
function chatTemplate(path: string, config: TokenizerConfig | undefined): TemplateSource | undefined {
  const file = join(path, "chat_template.jinja");
  if (existsSync(file)) return readFileSync(file, "utf8");
  return config?.chat_template || undefined;
}

/** What templates and texts are made of, as tokenizer.json says it. @throws InputError for a broken file */
function openTokenizer(path: string, bytes: Uint8Array, config: object): { file: TokenizerFile; tokenizer: Tokenizer } {
  try {
    const file = JSON.parse(new TextDecoder().decode(bytes)) as TokenizerFile;
    return { file, tokenizer: new Tokenizer(file, config) };
  } catch (error) {
    throw new InputError(`${join(path, "tokenizer.json")} cannot be loaded: ${(error as Error).message}`);
  }
}

/** The tokens that templates know by name. */
const namedTokens = [
  "bos_token",
  "eos_token",
  "unk_token",
  "sep_token",
  "pad_token",
  "cls_token",
  "mask_token",
] as const;

const wordOf = (token: z.infer<typeof TokenSchema>) => typeof token === "string" ? token : token?.content;

function namedWords(config: TokenizerConfig | undefined): Record<string, string> {
  const words = namedTokens.map((name) => [name, wordOf(config?.[name])] as const);
  return Object.fromEntries(words.filter((entry): entry is [typeof entry[0], string] => Boolean(entry[1])));
}

/** The end token's text from where repositories keep it: tokenizer_config, special_tokens_map, or config's id. */
function endToken(
  folder: ModelFolder,
  config: TokenizerConfig | undefined,
  tokenizer: Tokenizer,
): string {
  const named = config?.eos_token ?? readJson(folder.path, "special_tokens_map.json", SpecialTokensSchema)?.eos_token;
  if (named) return wordOf(named)!;
  const id = [folder.config.eos_token_id].flat()[0];
  return typeof id === "number" ? tokenizer.decode([id], { skip_special_tokens: false }) : "";
}

function readJson<T>(folder: string, file: string, schema: z.ZodType<T>): T | undefined {
  const path = join(folder, file);
  if (!existsSync(path)) return undefined;
  try {
    return schema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    const why = error instanceof z.ZodError
      ? error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`).join("; ")
      : (error as Error).message;
    throw new InputError(`${path} cannot be read: ${why}`);
  }
}
