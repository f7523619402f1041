// What a model's folder says of its tokenizer and chat template, as plain data that a thread can be given. It makes no
// tokenizer of it.

import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../errors.ts";
import type { TemplateSource } from "./chat_template.ts";
import type { ModelFolder } from "./model_folder.ts";

/** A token as configurations write it. */
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
export type TokenizerConfig = z.infer<typeof TokenizerConfigSchema>;
const EndTokensSchema = z.looseObject({ eos_token_id: z.union([z.number(), z.array(z.number())]).nullish() });
const SpecialTokensSchema = z.looseObject({ eos_token: TokenSchema });

/** The files of a tokenizer. */
export interface TokenizerFiles {
  /** The model's name and its folder, for what is refused. */
  name: string;
  path: string;
  /** tokenizer.json, unread. */
  tokenizer: Uint8Array;
  config: TokenizerConfig;
  template: TemplateSource | undefined;
  /** The end token's text, where a file says it. */
  eosToken: string | undefined;
  /** Ids that end an answer, of generation_config.json or else of config.json; there, the first is the end token. */
  endIds: number[];
  firstEndId: number | undefined;
}

/** The text of a token. */
export const wordOf = (token: z.infer<typeof TokenSchema>): string | undefined =>
  typeof token === "string" ? token : token?.content;

/** Reads the files. @throws InputError where there is no tokenizer.json, or another file cannot be read */
export function readTokenizerFiles({ path, name, config: { eos_token_id } }: ModelFolder): TokenizerFiles {
  const tokenizerPath = join(path, "tokenizer.json");
  if (!existsSync(tokenizerPath)) throw new InputError(`${path} has no tokenizer.json.`);
  const config = readJson(path, "tokenizer_config.json", TokenizerConfigSchema) ?? {};
  const generation = readJson(path, "generation_config.json", EndTokensSchema);
  const idsOf = (ids: number | number[] | null | undefined) => [ids ?? []].flat();
  return {
    name,
    path,
    tokenizer: readFileSync(tokenizerPath),
    config,
    template: chatTemplate(path, config),
    eosToken: wordOf(config.eos_token ?? readJson(path, "special_tokens_map.json", SpecialTokensSchema)?.eos_token),
    endIds: idsOf(generation?.eos_token_id ?? eos_token_id),
    firstEndId: idsOf(eos_token_id)[0],
  };
}

/** As transformers resolves it: a chat_template.jinja beside the tokenizer goes before the one in its config. */
function chatTemplate(path: string, config: TokenizerConfig): TemplateSource | undefined {
  const file = join(path, "chat_template.jinja");
  if (existsSync(file)) return readFileSync(file, "utf8");
  return config.chat_template || undefined;
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
