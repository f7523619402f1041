// Text to ids and conversations to ids, with the libraries that transformers.js itself uses, for training and serving alike.
// Adds to them: a folder's chat_template.jinja, the end tokens of generation_config.json, and a content hash.
// Knows nothing of rows, labels or models.

import { createHash } from "node:crypto";
import { join } from "node:path";
import { Tokenizer } from "@huggingface/tokenizers";
import { InputError } from "../errors.ts";
import type { Message } from "../feedback/row.ts";
import { ChatTemplate, type RenderOptions, templateText } from "./chat_template.ts";
import { ControlTokens, type Sealed, type TokenizerFile } from "./control_tokens.ts";
import type { ModelFolder } from "./model_folder.ts";
import { readTokenizerFiles, type TokenizerConfig, type TokenizerFiles, wordOf } from "./tokenizer_files.ts";

export type { RenderOptions };

/** A conversation as a model reads it. */
export interface ReadChat {
  text: string;
  ids: number[];
}

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
  /** As encodeChat, with the text that `render` writes. */
  readChat(messages: Message[], options?: RenderOptions): ReadChat;
  /** A conversation up to the generation prompt, then an answer, which is text as messages are, and the words that end it. */
  readAnswered(messages: Message[], options: RenderOptions, answer: string, ending: string): ReadChat;
  /**
   * Ids of a plain text that an answer follows, in serving and in training: after what the tokenizer puts before a text,
   * unless the text brings that itself, and without what it puts after one.
   */
  encodePrompt(text: string): number[];
  /** The text of the end token, e.g. `<|im_end|>`. Empty where the model names none. */
  eosToken: string;
  /** The end token's id; undefined where the model names none. */
  eosTokenId: number | undefined;
  /** All ids that end an answer: the tokenizer's and those of generation_config.json and config.json. */
  eosTokenIds: number[];
  /** Their words. */
  endWords: string[];
  hasChatTemplate: boolean;
  /** Whether decoding takes away spaces before punctuation, so that a token can change the text before it. */
  cleansUpSpaces: boolean;
  /** sha-256 over tokenizer.json's bytes and the template's text: same hash, same ids for the same conversation. */
  contentHash: string;
}

/**
 * Loads the tokenizer of a model folder.
 *
 * @throws InputError when tokenizer.json or tokenizer_config.json cannot be read.
 */
export function loadChatTokenizer(folder: ModelFolder): ChatTokenizer {
  return createChatTokenizer(readTokenizerFiles(folder));
}

/** Makes a tokenizer of its files. @throws InputError for a broken tokenizer.json */
export function createChatTokenizer(files: TokenizerFiles): ChatTokenizer {
  const { config, name, template: source } = files;
  const { file, tokenizer } = openTokenizer(files);
  const template = new ChatTemplate(source, name, namedWords(config));
  const eosToken = files.eosToken || textOf(tokenizer, files.firstEndId);
  const eosTokenId = eosToken === "" ? undefined : tokenizer.token_to_id(eosToken);
  const eosTokenIds = [...new Set([eosTokenId, ...files.endIds])].filter((id) => id !== undefined);
  // transformers.js' own default is true, which would change the text between two thumbs.
  const cleansUpSpaces = config.clean_up_tokenization_spaces ?? false;
  const hash = createHash("sha256").update(files.tokenizer).update("\0").update(
    source === undefined ? "" : templateText(source),
  );
  const furtherControls = new Set([config.bos_token, ...config.additional_special_tokens ?? []].map(wordOf));
  const controls = new ControlTokens(
    tokenizer,
    file,
    config,
    ({ id, content, special }) => special === true || eosTokenIds.includes(id) || furtherControls.has(content),
  );
  const encode: ChatTokenizer["encode"] = (text, { addSpecialTokens = false } = {}) =>
    text === "" && !addSpecialTokens ? [] : tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids;
  const before = idsBefore(tokenizer);
  const asRead = (text: string, sealed?: Sealed<unknown>): ReadChat =>
    sealed === undefined ? { text, ids: encode(text) } : { text: sealed.unseal(text), ids: sealed.encode(text) };
  const readChat: ChatTokenizer["readChat"] = (messages, options = {}) => {
    const sealed = controls.seal({ messages, options });
    return sealed === undefined
      ? asRead(template.render(messages, options))
      : asRead(template.render(sealed.value.messages, sealed.value.options), sealed);
  };

  return {
    encode,
    encodePrompt(text) {
      const ids = encode(text);
      return before.every((id, i) => id === ids[i]) ? ids : [...before, ...ids];
    },
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      ids.length === 0 ? "" : tokenizer.decode(Array.from(ids), {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: cleansUpSpaces,
      }),
    render: (messages, options) => template.render(messages, options),
    readChat,
    readAnswered(messages, options, answer, ending) {
      const open = { ...options, addGenerationPrompt: true },
        sealed = controls.seal({ messages, options: open, answer });
      const value = sealed?.value ?? { messages, options: open, answer };
      return asRead(template.render(value.messages, value.options) + value.answer + ending, sealed);
    },
    encodeChat: (messages, options) => readChat(messages, options).ids,
    eosToken,
    eosTokenId,
    eosTokenIds,
    endWords: eosTokenIds.map((id) => textOf(tokenizer, id)).filter((word) => word !== ""),
    hasChatTemplate: source !== undefined,
    cleansUpSpaces,
    contentHash: hash.digest("hex"),
  };
}

/** @throws InputError for a broken file */
function openTokenizer({ path, tokenizer, config }: TokenizerFiles): { file: TokenizerFile; tokenizer: Tokenizer } {
  try {
    const file = JSON.parse(new TextDecoder().decode(tokenizer)) as TokenizerFile;
    return { file, tokenizer: new Tokenizer(file, config) };
  } catch (error) {
    throw new InputError(`${join(path, "tokenizer.json")} cannot be loaded: ${(error as Error).message}`);
  }
}

/** What a tokenizer puts before every text, for example a beginning token. */
function idsBefore(tokenizer: Tokenizer): number[] {
  const [bare, framed] = [false, true].map((add) => tokenizer.encode("a", { add_special_tokens: add }).ids);
  const at = framed!.findIndex((_, start) => bare!.every((id, i) => id === framed![start + i]));
  return framed!.slice(0, Math.max(0, at));
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

function namedWords(config: TokenizerConfig): Record<string, string> {
  const words = namedTokens.map((name) => [name, wordOf(config[name])] as const);
  return Object.fromEntries(words.filter((entry): entry is [typeof entry[0], string] => Boolean(entry[1])));
}

const textOf = (tokenizer: Tokenizer, id: number | undefined) =>
  id === undefined ? "" : tokenizer.decode([id], { skip_special_tokens: false });
