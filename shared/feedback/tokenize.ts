// Rows to token ids, exactly as TRL 1.13's KTOTrainer makes them, and a report of every row that was changed or dropped.
// Knows the tokenizer only as what encodes texts and conversations; nothing of batches, pairs or models.

import { createHash } from "node:crypto";
import { counted } from "../counted.ts";
import { InputError } from "../errors.ts";
import type { ChatTokenizer } from "../runtime/chat_tokenizer.ts";
import { type FeedbackRow, isEmptyCompletion, listLines, type Message } from "./row.ts";

/** What tokenising needs of a tokenizer. */
export type RowTokenizer = Pick<ChatTokenizer, "encode" | "encodeChat" | "eosToken" | "eosTokenId" | "eosTokenIds">;

/** A row ready for the model: the sequence is promptIds followed by completionIds. */
export interface TokenizedRow {
  /** The FeedbackRow's index and line. */
  index: number;
  line: number;
  /** sha-256 of the prompt's ids: the same prompt has the same key. */
  promptKey: string;
  promptIds: number[];
  completionIds: number[];
  label: boolean;
}

/** Rows that share a fate, by line number in file order. */
export interface TokenizeReport {
  /** Rows given. */
  given: number;
  /** Rows that are left, by class. */
  desirable: number;
  undesirable: number;
  /** Dropped: the completion has no tokens. */
  emptyCompletion: number[];
  /** Dropped: no token stands before the completion, so its first token has no probability. */
  emptyPrompt: number[];
  /** Dropped: the prompt alone fills maxLength. */
  promptTooLong: number[];
  /** Dropped: same prompt, completion and label as an earlier row. Empty with `dropDuplicates: false`. */
  duplicates: number[];
  /** Kept, cut at the end to fit maxLength. */
  truncated: number[];
  /** Of those, the ones whose end token was cut off. */
  endTokenCut: number[];
  /** Kept, not cut, but without any end token: the model does not learn to stop there. */
  noEndToken: number[];
  /** Kept: the prompt's ids are not how the joint ids begin, so a token at the seam is lost or doubled (as in TRL). */
  seamMismatch: number[];
  /** Kept: the same prompt and completion carry both labels, which cancel (KTO Prop. 4.3 at equal weights). */
  contradictory: number[];
  /** What rows were cut to, in words. */
  limit: string;
}

/** Rows that are ready for the model, and what became of the others. */
export interface TokenizedRows {
  rows: TokenizedRow[];
  report: TokenizeReport;
}

/** How rows are tokenised. */
export interface TokenizeOptions {
  /** Most tokens of prompt and completion together; the start is kept. */
  maxLength: number;
  /** Most tokens that the model takes; counts where it is less than `maxLength`. */
  contextLength?: number | undefined;
  /** Drop rows that repeat an earlier prompt, completion and label. Default true. */
  dropDuplicates?: boolean;
}

/**
 * Tokenises rows as TRL does (kto_trainer.py 1058-1117, `truncate`): conversations through the chat template, rendered
 * with and without the completion; plain text with the end token appended where missing. The completion is what the
 * joint ids have beyond the prompt's length.
 *
 * @throws InputError (from the template) naming the line, when a conversation cannot be rendered.
 */
export function tokenizeRows(
  rows: readonly FeedbackRow[],
  tokenizer: RowTokenizer,
  options: TokenizeOptions,
): TokenizedRows {
  const assembly = tokenizing(rows, tokenizer, options);
  let step = assembly.next();
  while (!step.done) step = assembly.next(idsOfRow(step.value, tokenizer));
  return step.value;
}

/**
 * As tokenizeRows, for ids that come from elsewhere: gives the rows one by one, and is given each one's ids, as
 * `idsOfRow` makes them.
 */
export function* tokenizing(
  rows: readonly FeedbackRow[],
  tokenizer: Pick<RowTokenizer, "eosTokenIds">,
  options: TokenizeOptions,
): Generator<FeedbackRow, TokenizedRows, RowIds> {
  const { contextLength = Infinity, dropDuplicates = true } = options;
  const maxLength = Math.min(options.maxLength, contextLength);
  const report: TokenizeReport = {
    given: rows.length,
    desirable: 0,
    undesirable: 0,
    emptyCompletion: [],
    emptyPrompt: [],
    promptTooLong: [],
    duplicates: [],
    truncated: [],
    endTokenCut: [],
    noEndToken: [],
    seamMismatch: [],
    contradictory: [],
    limit: contextLength < options.maxLength
      ? `the model's ${counted(contextLength, "token")}`
      : `--max-length ${maxLength}`,
  };
  const ends = new Set(tokenizer.eosTokenIds);
  const seen = new Map<string, { labels: Set<boolean>; lines: number[] }>();
  const kept: TokenizedRow[] = [];
  for (const row of rows) {
    const { promptIds, jointIds }: RowIds = yield row;
    const whole = jointIds.slice(promptIds.length);
    if (isEmptyCompletion(row.completion) || whole.length === 0) {
      report.emptyCompletion.push(row.line);
      continue;
    }
    if (promptIds.length === 0) {
      report.emptyPrompt.push(row.line);
      continue;
    }
    if (promptIds.length >= maxLength) {
      report.promptTooLong.push(row.line);
      continue;
    }
    const promptKey = hashIds(promptIds);
    // Compared before cutting: two answers that differ only beyond maxLength are still two judgements.
    const pairKey = `${promptKey} ${hashIds(whole)}`;
    const same = seen.get(pairKey) ?? { labels: new Set<boolean>(), lines: [] };
    if (dropDuplicates && same.labels.has(row.label)) {
      report.duplicates.push(row.line);
      continue;
    }
    same.labels.add(row.label);
    same.lines.push(row.line);
    seen.set(pairKey, same);

    if (!promptIds.every((id, i) => id === jointIds[i])) report.seamMismatch.push(row.line);
    const completionIds = whole.slice(0, maxLength - promptIds.length);
    const hasEnd = (ids: number[]) => ids.some((id) => ends.has(id));
    if (completionIds.length < whole.length) {
      report.truncated.push(row.line);
      if (hasEnd(whole) && !hasEnd(completionIds)) report.endTokenCut.push(row.line);
    } else if (!hasEnd(whole)) report.noEndToken.push(row.line);
    report[row.label ? "desirable" : "undesirable"]++;
    kept.push({ index: row.index, line: row.line, promptKey, promptIds, completionIds, label: row.label });
  }
  report.contradictory = [...seen.values()].filter(({ labels }) => labels.size > 1).flatMap(({ lines }) => lines)
    .sort((a, b) => a - b);
  return { rows: kept, report };
}

/** Ids of the prompt, and of prompt and completion together, before anything is cut. */
export interface RowIds {
  promptIds: number[];
  jointIds: number[];
}

/** @throws InputError where the template refuses the row */
export function idsOfRow(row: FeedbackRow, tokenizer: RowTokenizer): RowIds {
  const { prompt, completion } = row;
  if (typeof prompt === "string" && typeof completion === "string") {
    const end = tokenizer.eosToken;
    const answer = completion.endsWith(end) ? completion : completion + end;
    // TRL calls the tokenizer itself here, which adds what the tokenizer adds (a beginning token, for Llama 3).
    return {
      promptIds: tokenizer.encode(prompt, { addSpecialTokens: true }),
      jointIds: tokenizer.encode(prompt + answer, { addSpecialTokens: true }),
    };
  }
  const before = asMessages(prompt, "user");
  const after = asMessages(completion, "assistant");
  const shared = {
    ...(row.tools ? { tools: row.tools } : {}),
    ...(row.templateArguments ? { templateArguments: row.templateArguments } : {}),
  };
  try {
    return {
      promptIds: tokenizer.encodeChat(before, { ...shared, addGenerationPrompt: true }),
      jointIds: tokenizer.encodeChat([...before, ...after], shared),
    };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`Row at line ${row.line}: ${error.message}`);
    throw error;
  }
}

function asMessages(text: string | Message[], role: string): Message[] {
  return typeof text === "string" ? [{ role, content: text }] : text;
}

function hashIds(ids: readonly number[]): string {
  return createHash("sha256").update(new Uint8Array(Int32Array.from(ids).buffer)).digest("hex");
}

/** What is said of each list of the report, in this order. */
const SENTENCES: [keyof TokenizeReport, (n: string, report: TokenizeReport) => string][] = [
  ["emptyCompletion", (n) => `${n} dropped: the completion is empty`],
  ["emptyPrompt", (n) => `${n} dropped: the prompt is empty, so the first token of the answer has no probability`],
  ["promptTooLong", (n, r) => `${n} dropped: the prompt alone fills ${r.limit}`],
  ["duplicates", (n) => `${n} dropped: same prompt, completion and label as an earlier row`],
  ["contradictory", (n) => `${n} with both labels on the same prompt and completion, which cancel each other`],
  ["truncated", (n, r) => `${n} cut at the end to ${r.limit}`],
  ["endTokenCut", (n) => `${n} lost the end token by that cut, so nothing there teaches the model to stop`],
  ["noEndToken", (n) => `${n} without an end token in the completion: the chat template does not write one`],
  [
    "seamMismatch",
    (n) => `${n} with another token where prompt and completion meet (a trailing space in the prompt?)`,
  ],
];

/**
 * The report in plain lines, one for each thing that happened to a row; none when nothing did.
 *
 * @param path The data file, to name rows as `path:line`.
 */
export function describeReport(report: TokenizeReport, path: string): string[] {
  return SENTENCES.flatMap(([key, sentence]) => {
    const lines = report[key];
    if (!Array.isArray(lines) || lines.length === 0) return [];
    return [`${sentence(counted(lines.length, "row"), report)} (${path}:${listLines(lines)}).`];
  });
}
