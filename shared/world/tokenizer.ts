// Trains a byte-level BPE tokenizer in the format of Hugging Face's tokenizer.json, with the ChatML template of the
// embedded world. It does not know the world: texts in, two JSON objects out.
//
// In so small a vocabulary the halves of words would take the room of words. So the commonest words become entries of
// their own, which readers take whole ("ignore_merges": true, as in Llama 3), and ordinary BPE merges fill the rest for
// text nobody foresaw.

/** The special tokens by id: padding, start of a message, end of a message. */
export const SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] as const;

/** A line break stands between messages, not after the last: a completion ends in the end token, and nothing follows. */
export const CHAT_TEMPLATE = "{% for message in messages %}" +
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' }}" +
  "{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '\\n<|im_start|>assistant\\n' }}{% endif %}";

/** GPT-2's split into words, the one `ByteLevel` with `use_regex` does. */
const WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** The template's own words, wanted whole however seldom the texts have them. */
const TEMPLATE_WORDS = ["system", "user", "assistant"];

/** At most this share of the room goes to whole words, so that some merges are always learnt. */
const WORD_SHARE = 15 / 16;

type Pair = readonly [string, string];

/**
 * Trains on the texts (message contents, without template). `vocabularySize` counts everything: special tokens, the 256
 * byte symbols, whole words and merges; fewer are made if the texts have no more to give.
 */
export function trainTokenizer(texts: string[], vocabularySize: number): { tokenizer: object; config: object } {
  const symbols = byteSymbols();
  const room = vocabularySize - SPECIAL_TOKENS.length - symbols.length;
  if (room < 0) throw new RangeError(`a byte-level vocabulary needs at least ${symbols.length + 3} entries`);
  const counts = countWords(texts, symbols);
  const entries = new Set<string>([...SPECIAL_TOKENS, ...[...symbols].sort()]);
  const words = [...counts.keys()].filter((word) => word.length > 1)
    .sort((a, b) => (counts.get(b) ?? 0) - (counts.get(a) ?? 0) || (a < b ? -1 : 1));
  for (const word of words.slice(0, Math.floor(room * WORD_SHARE))) entries.add(word);
  const merges = learnMerges(counts, entries, vocabularySize);
  return { tokenizer: tokenizerJson(entries, merges), config: configJson() };
}

/** Learns merges, commonest pair first, adding what they make to `entries` until those are `limit`. */
function learnMerges(counts: ReadonlyMap<string, number>, entries: Set<string>, limit: number): Pair[] {
  const merges: Pair[] = [];
  const words = [...counts].map(([word, count]) => ({ parts: [...word], count }));
  for (;;) {
    const best = commonestPair(words);
    if (!best) return merges;
    const made = best[0] + best[1];
    // A pair that makes a whole word already has its entry and costs nothing.
    if (!entries.has(made) && entries.size >= limit) return merges;
    entries.add(made);
    merges.push(best);
    for (const word of words) word.parts = merged(word.parts, best);
  }
}

function commonestPair(words: readonly { parts: string[]; count: number }[]): Pair | undefined {
  const counts = new Map<string, { pair: Pair; count: number }>();
  for (const { parts, count } of words) {
    for (let i = 0; i + 1 < parts.length; i++) {
      const pair: Pair = [parts[i] ?? "", parts[i + 1] ?? ""];
      const held = counts.get(pair.join(" "));
      if (held) held.count += count;
      else counts.set(pair.join(" "), { pair, count });
    }
  }
  let best: { key: string; pair: Pair; count: number } | undefined;
  for (const [key, { pair, count }] of counts) {
    // Ties go to the pair that sorts first, so the order of the texts does not matter.
    if (!best || count > best.count || (count === best.count && key < best.key)) best = { key, pair, count };
  }
  return best && best.count > 1 ? best.pair : undefined;
}

function merged(parts: readonly string[], [a, b]: Pair): string[] {
  const out: string[] = [];
  for (let i = 0; i < parts.length; i++) {
    const part = parts[i] ?? "";
    if (part === a && parts[i + 1] === b) {
      out.push(a + b);
      i++;
    } else out.push(part);
  }
  return out;
}

function countWords(texts: readonly string[], symbols: readonly string[]): Map<string, number> {
  const encoder = new TextEncoder();
  const raw = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(WORD)) raw.set(word, (raw.get(word) ?? 0) + 1);
  }
  // As common as can be: they are in every conversation, though in none of its messages.
  for (const word of TEMPLATE_WORDS) raw.set(word, (raw.get(word) ?? 0) + texts.length);
  const out = new Map<string, number>();
  for (const [word, count] of raw) out.set([...encoder.encode(word)].map((byte) => symbols[byte]).join(""), count);
  return out;
}

/** GPT-2's printable stand-in for each byte. */
function byteSymbols(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

function tokenizerJson(entries: ReadonlySet<string>, merges: readonly Pair[]): object {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({ id, content, ...addedToken })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: { ...byteLevel, trim_offsets: false },
    decoder: { ...byteLevel },
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: true,
      vocab: Object.fromEntries([...entries].map((entry, id) => [entry, id])),
      merges: merges.map((pair) => [...pair]),
    },
  };
}

const addedToken = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };

function configJson(): object {
  const [pad, start, end] = SPECIAL_TOKENS;
  return {
    add_prefix_space: false,
    add_bos_token: false,
    added_tokens_decoder: Object.fromEntries(SPECIAL_TOKENS.map((content, id) => [id, { content, ...addedToken }])),
    bos_token: start,
    eos_token: end,
    pad_token: pad,
    unk_token: null,
    additional_special_tokens: [start, end],
    chat_template: CHAT_TEMPLATE,
    clean_up_tokenization_spaces: false,
    model_max_length: 512,
    errors: "replace",
    split_special_tokens: false,
    tokenizer_class: "PreTrainedTokenizerFast",
  };
}
