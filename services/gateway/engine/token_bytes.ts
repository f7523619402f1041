// The bytes of each token of a vocabulary: exact where decoding a token alone would lose the pieces of a character. It
// reads tokenizer.json and knows the two ways in which vocabularies write bytes.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { InputError } from "../../../shared/errors.ts";

/** The bytes of a token, by its id; none for an id that the vocabulary does not have. */
export type TokenBytes = (id: number) => number[];

const DecoderSchema = z.looseObject({
  type: z.string(),
  pattern: z.looseObject({ String: z.string().optional() }).optional(),
  content: z.string().nullish(),
  replacement: z.string().nullish(),
});
const TokenizerSchema = z.looseObject({
  model: z.looseObject({
    vocab: z.union([
      z.record(z.string(), z.number()),
      z.array(z.tuple([z.string()], z.unknown())),
    ]),
  }),
  decoder: z.looseObject({ type: z.string(), decoders: z.array(DecoderSchema).optional() }).nullish(),
  added_tokens: z.array(z.looseObject({ id: z.number(), content: z.string() })).default([]),
});

/**
 * GPT-2's way of writing bytes as letters: bytes that print stand for themselves, all others for U+0100 and on, in order.
 */
function byteOfLetter(): Map<string, number> {
  const printing = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 255 && byte !== 173);
  let next = 256;
  return new Map(
    Array.from({ length: 256 }, (_, byte) => [String.fromCodePoint(printing(byte) ? byte : next++), byte]),
  );
}

/** @throws InputError where the folder's tokenizer.json cannot be read */
export function readTokenBytes(folder: string): TokenBytes {
  const path = join(folder, "tokenizer.json");
  let parsed: z.infer<typeof TokenizerSchema>;
  try {
    parsed = TokenizerSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch (error) {
    throw new InputError(`${path} cannot be read: ${(error as Error).message}`);
  }
  const { model: { vocab }, decoder, added_tokens: added } = parsed;
  const names = new Map<number, string>(
    Array.isArray(vocab)
      ? vocab.map(([token], id) => [id, token])
      : Object.entries(vocab).map(([token, id]) => [id, token]),
  );
  const whole = new Map(added.map(({ id, content }) => [id, content]));
  const decoders = [DecoderSchema.safeParse(decoder).data, ...decoder?.decoders ?? []].filter((each) => each != null);
  const has = (type: string) => decoders.some((each) => each.type === type);
  const utf8 = (text: string) => [...new TextEncoder().encode(text)];
  if (has("ByteLevel")) {
    const bytes = byteOfLetter();
    return (id) => {
      const token = whole.get(id);
      if (token !== undefined) return utf8(token);
      return [...names.get(id) ?? ""].flatMap((letter) => bytes.get(letter) ?? utf8(letter));
    };
  }
  const spelled = (token: string) =>
    decoders.reduce((text, { type, pattern, content, replacement }) => {
      if (type === "Replace" && pattern?.String) return text.replaceAll(pattern.String, content ?? "");
      return type === "Metaspace" ? text.replaceAll(replacement ?? "▁", " ") : text;
    }, token);
  return (id) => {
    const token = whole.get(id) ?? names.get(id) ?? "";
    const [, byte] = has("ByteFallback") && /^<0x([0-9A-F]{2})>$/i.exec(token) || [];
    if (byte !== undefined) return [parseInt(byte, 16)];
    return utf8(whole.has(id) ? token : spelled(token));
  };
}
