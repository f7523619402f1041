// Text to ids and conversations to text, as transformers.js does both, for training and serving alike.
// Adds to transformers.js: a folder's chat_template.jinja, the end tokens of generation_config.json, and a content hash.
// Knows nothing of rows, labels or models.

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { AutoTokenizer, PreTrainedTokenizer } from "@huggingface/transformers";
import { z } from "zod";
import { InputError } from "../errors.ts";
import type { Message } from "../feedback/row.ts";
import type { ModelFolder } from "./model_folder.ts";

/** How a conversation is rendered. */
export interface RenderOptions {
  /** End with the words that open an assistant's turn. Default false. */
  addGenerationPrompt?: boolean;
  tools?: unknown[];
  /** Leave the last message open, so that the model goes on with it (transformers' `continue_final_message`). */
  continueFinal?: boolean;
  /** Further variables for the template, e.g. `enable_thinking`. */
  templateArguments?: Record<string, unknown>;
}

/** A model's tokenizer with its chat template. */
export interface ChatTokenizer {
  /** Ids of a text. Special tokens written in the text are recognised; none is added unless asked. */
  encode(text: string, options?: { addSpecialTokens?: boolean }): number[];
  decode(ids: ArrayLike<number>, options?: { skipSpecialTokens?: boolean }): string;
  /** The conversation as the model reads it. Throws InputError without a template, or where the template refuses. */
  render(messages: Message[], options?: RenderOptions): string;
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
  eos_token: TokenSchema,
  clean_up_tokenization_spaces: z.boolean().nullish(),
  chat_template: z.union([
    z.string(),
    z.array(z.object({ name: z.string(), template: z.string() })),
  ]).nullish(),
});
const EndTokensSchema = z.looseObject({ eos_token_id: z.union([z.number(), z.array(z.number())]).nullish() });
const SpecialTokensSchema = z.looseObject({ eos_token: TokenSchema });

/**
 * Loads the tokenizer of a model folder.
 *
 * @throws InputError when tokenizer.json or tokenizer_config.json cannot be read.
 */
export async function loadChatTokenizer(folder: ModelFolder): Promise<ChatTokenizer> {
  const tokenizerPath = join(folder.path, "tokenizer.json");
  if (!existsSync(tokenizerPath)) throw new InputError(`${folder.path} has no tokenizer.json.`);
  const bytes = readFileSync(tokenizerPath);
  const config = readJson(folder.path, "tokenizer_config.json", TokenizerConfigSchema);
  const tokenizer = await openTokenizer(folder.path, bytes, config !== undefined);
  const template = chatTemplate(folder.path, config);
  const eosToken = endToken(folder, config, tokenizer);
  const eosTokenId = eosToken === "" ? undefined : tokenizer.convert_tokens_to_ids(eosToken) as number | undefined;
  const generation = readJson(folder.path, "generation_config.json", EndTokensSchema);
  const eosTokenIds = [
    ...new Set([eosTokenId, generation?.eos_token_id ?? folder.config.eos_token_id].flat()),
  ].filter((id) => typeof id === "number");
  // transformers.js' own default is true, which would change the text between two thumbs.
  const cleansUpSpaces = config?.clean_up_tokenization_spaces ?? false;
  const hash = createHash("sha256").update(bytes).update("\0").update(
    template === undefined ? "" : templateText(template),
  );

  return {
    encode: (text, { addSpecialTokens = false } = {}) =>
      text === "" && !addSpecialTokens ? [] : tokenizer.encode(text, { add_special_tokens: addSpecialTokens }),
    decode: (ids, { skipSpecialTokens = false } = {}) =>
      ids.length === 0 ? "" : tokenizer.decode(Array.from(ids), {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: cleansUpSpaces,
      }),
    render: (messages, options = {}) => render(tokenizer, template, folder, messages, options),
    eosToken,
    eosTokenId,
    eosTokenIds,
    hasChatTemplate: template !== undefined,
    cleansUpSpaces,
    contentHash: hash.digest("hex"),
  };
}

type Template = string | { name: string; template: string }[];

/** As transformers resolves it: a chat_template.jinja beside the tokenizer goes before the one in its config. */
function chatTemplate(path: string, config: z.infer<typeof TokenizerConfigSchema> | undefined): Template | undefined {
  const file = join(path, "chat_template.jinja");
  if (existsSync(file)) return readFileSync(file, "utf8");
  return config?.chat_template || undefined;
}

function templateText(template: Template): string {
  return typeof template === "string" ? template : JSON.stringify(template);
}

function pickTemplate(template: Template, tools: unknown[] | undefined): string | undefined {
  if (typeof template === "string") return template;
  const named = (name: string) => template.find((entry) => entry.name === name)?.template;
  return (tools === undefined ? undefined : named("tool_use")) ?? named("default") ?? template[0]?.template;
}

function render(
  tokenizer: PreTrainedTokenizer,
  template: Template | undefined,
  folder: ModelFolder,
  messages: Message[],
  { addGenerationPrompt = false, tools, continueFinal = false, templateArguments = {} }: RenderOptions,
): string {
  const chosen = template === undefined ? undefined : pickTemplate(template, tools);
  if (chosen === undefined) {
    throw new InputError(
      `${folder.name} has no chat template (neither chat_template.jinja nor chat_template in tokenizer_config.json): ` +
        `it cannot read conversations, use plain text prompts or an instruct model.`,
    );
  }
  if (continueFinal && messages.at(-1)?.content === "") {
    // Nothing to leave open yet: the turn has only been opened.
    messages = messages.slice(0, -1);
    addGenerationPrompt = true;
    continueFinal = false;
  }
  let text: string;
  try {
    text = tokenizer.apply_chat_template(messages, {
      ...templateArguments,
      chat_template: chosen,
      tools: tools === undefined ? null : tools as object[],
      add_generation_prompt: addGenerationPrompt && !continueFinal,
      tokenize: false,
    });
  } catch (error) {
    // Templates refuse by raise_exception (roles that do not alternate, a system message …): the input's fault.
    throw new InputError(`The chat template of ${folder.name} refuses this conversation: ${(error as Error).message}`);
  }
  return continueFinal ? leaveOpen(text, messages) : text;
}

/** Cuts the rendered text after the last message's words, as transformers' `continue_final_message` does. */
function leaveOpen(text: string, messages: Message[]): string {
  const last = messages.at(-1)?.content ?? "";
  const at = text.lastIndexOf(last.trim());
  if (at < 0) throw new InputError("The chat template changes the last message, so it cannot be continued.");
  // A template may trim the message; where it did not, its last spaces belong to it.
  const whole = text.startsWith(last.trimStart(), at) ? last.trimStart() : last.trim();
  return text.slice(0, at + whole.length);
}

async function openTokenizer(path: string, bytes: Uint8Array, hasConfig: boolean): Promise<PreTrainedTokenizer> {
  try {
    if (hasConfig) return await AutoTokenizer.from_pretrained(path, { local_files_only: true });
    return new PreTrainedTokenizer(JSON.parse(new TextDecoder().decode(bytes)), {});
  } catch (error) {
    throw new InputError(`${join(path, "tokenizer.json")} cannot be loaded: ${(error as Error).message}`);
  }
}

/** The end token's text from where repositories keep it: tokenizer_config, special_tokens_map, or config's id. */
function endToken(
  folder: ModelFolder,
  config: z.infer<typeof TokenizerConfigSchema> | undefined,
  tokenizer: PreTrainedTokenizer,
): string {
  const named = config?.eos_token ?? readJson(folder.path, "special_tokens_map.json", SpecialTokensSchema)?.eos_token;
  if (named) return typeof named === "string" ? named : named.content;
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
