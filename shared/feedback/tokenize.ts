// Rows to token ids, exactly as TRL 1.13's KTOTrainer makes them, and a report of every row that was changed or dropped.
// Knows the tokenizer only as what encodes texts and conversations; nothing of batches, pairs or models.

import { createHash } from "node:crypto";
import { counted } from "../counted.ts";
import { type FeedbackRow, isEmptyCompletion, listLines } from "./row.ts";
import type { Finding } from "./findings.ts";
import { idsOfRow, type RowIds, type RowTokenizer } from "./row_ids.ts";

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

/** What may happen to a row beside what its own ids show. */
type Fate =
  /** Dropped: the completion has no tokens. */
  | "emptyCompletion"
  /** Dropped: no token stands before the completion, so its first token has no probability. */
  | "emptyPrompt"
  /** Dropped: the prompt alone fills maxLength. */
  | "promptTooLong"
  /** Dropped: same prompt, completion and label as an earlier row. Empty with `dropDuplicates: false`. */
  | "duplicates"
  /** Kept: the same prompt and completion carry both labels, which cancel (KTO Prop. 4.3 at equal weights). */
  | "contradictory"
  /** Kept, cut at the end to fit maxLength. */
  | "truncated"
  /** Of those, the ones whose end token was cut off. */
  | "endTokenCut"
  /** Kept, not cut, but without any end token: the model does not learn to stop there. */
  | "noEndToken";

/** Rows that share a fate, by line number in file order. */
export interface TokenizeReport extends Record<Fate | Finding, number[]> {
  /** Rows given. */
  given: number;
  /** Rows that are left, by class. */
  desirable: number;
  undesirable: number;
  /** By field: rows that have it, and whose chat template does not read it. */
  unread: Record<string, number[]>;
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
 * joint ids have beyond the prompt's; where those of a conversation do not begin so, `idsOfRow` says what it is.
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
    ...noLines(),
    unread: {},
    limit: contextLength < options.maxLength
      ? `the model's ${counted(contextLength, "token")}`
      : `--max-length ${maxLength}`,
  };
  const ends = new Set(tokenizer.eosTokenIds);
  const seen = new Map<string, { labels: Set<boolean>; lines: number[] }>();
  const kept: TokenizedRow[] = [];
  for (const row of rows) {
    const { promptIds, askedIds = promptIds, completionIds: whole, findings, unread }: RowIds = yield row;
    const note = (happened: readonly Finding[]) => {
      for (const finding of happened) report[finding].push(row.line);
      for (const field of unread) (report.unread[field] ??= []).push(row.line);
    };
    const lost = findings.filter((finding) => leavesNothing.has(finding));
    if (lost.length > 0) {
      note(lost);
      continue;
    }
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
    const promptKey = hashIds(askedIds);
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

    note(findings);
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

function hashIds(ids: readonly number[]): string {
  return createHash("sha256").update(new Uint8Array(Int32Array.from(ids).buffer)).digest("hex");
}

/** Findings of rows that cannot be trained on. */
const leavesNothing = new Set<Finding>(["seamLost", "answerLeftOut"]);

type Sentence = (rows: string, report: TokenizeReport) => string;

/** What is said of each list of the report, in this order, and whether it must not be missed. */
const SENTENCES: [Fate | Finding, "note" | "warning", Sentence][] = [
  ["emptyCompletion", "note", (n) => `${n} dropped: the completion is empty`],
  [
    "emptyPrompt",
    "note",
    (n) => `${n} dropped: the prompt is empty, so the first token of the answer has no probability`,
  ],
  ["promptTooLong", "note", (n, r) => `${n} dropped: the prompt alone fills ${r.limit}`],
  [
    "answerLeftOut",
    "warning",
    (n, r) =>
      `${n} dropped: the chat template leaves out all that was answered (${
        fieldsOf(r, r.answerLeftOut)
      }); take a model whose template has it`,
  ],
  [
    "seamLost",
    "warning",
    (n) =>
      `${n} dropped: the chat template renders the prompt otherwise once an answer of several messages follows, so ` +
      `it is not known where the answer begins`,
  ],
  ["duplicates", "note", (n) => `${n} dropped: same prompt, completion and label as an earlier row`],
  ["contradictory", "note", (n) => `${n} with both labels on the same prompt and completion, which cancel each other`],
  ["truncated", "note", (n, r) => `${n} cut at the end to ${r.limit}`],
  ["endTokenCut", "note", (n) => `${n} lost the end token by that cut, so nothing there teaches the model to stop`],
  ["noEndToken", "note", (n) => `${n} without an end token in the completion: the chat template does not write one`],
  ["endWordTaken", "note", (n) => `${n} whose answer ends in the end token's words, which count once`],
  [
    "seamMismatch",
    "warning",
    (n) =>
      `${n} whose answer loses or doubles a token where prompt and completion meet, as in TRL: let spaces begin the ` +
      `completion rather than end the prompt`,
  ],
  ["seamShared", "note", (n) => `${n} with a token that reaches from the chat template's opening into the answer`],
  [
    "seamParted",
    "warning",
    (n) =>
      `${n} whose chat template opens an answer otherwise than it asks for one (<think>, say): prompt and answer are cut ` +
      `where the two part, and when it is served the model reads more before its answer than here`,
  ],
  [
    "promptAsAsked",
    "note",
    (n) =>
      `${n} whose prompt the chat template renders otherwise once an answer follows: read as it is asked, and the ` +
      `answer as a model gives it`,
  ],
  [
    "answerAsGiven",
    "note",
    (n) => `${n} of whose answer the chat template leaves out a part (thoughts, say): read whole, as a model gives it`,
  ],
  [
    "answerOpened",
    "note",
    (n) =>
      `${n} whose answer the chat template begins with words of its own (an empty thought, say), which count as answered`,
  ],
  ["answerShortened", "warning", (n) => `${n} of whose answer the chat template leaves out a part`],
  ["systemLeftOut", "warning", (n) => `${n} whose system message the chat template leaves out`],
  ["systemMerged", "note", (n) => `${n} whose system message the chat template puts into the user's turn`],
  [
    "turnShortened",
    "note",
    (n) => `${n} with an earlier turn of which the chat template leaves out a part (thoughts, say)`,
  ],
];

const noLines = () =>
  Object.fromEntries(SENTENCES.map(([key]) => [key, [] as number[]])) as Record<Fate | Finding, number[]>;

/** Fields that say something: templates do not read others, and need not. */
const saying = /^(tools|tool_calls|function_call|reasoning|reasoning_content|thinking|chat_template_kwargs\..*)$/;

/** Fields that the template leaves out in any of these rows. */
function fieldsOf({ unread }: TokenizeReport, lines: readonly number[]): string {
  const wanted = new Set(lines);
  return Object.keys(unread).filter((field) => unread[field]!.some((line) => wanted.has(line))).join(", ");
}

/** Plain sentences, one for each thing that happened to rows. */
export interface Described {
  notes: string[];
  /** Those that must not be missed. */
  warnings: string[];
}

/**
 * The report in plain sentences; none when nothing happened.
 *
 * @param path The data file, to name rows as `path:line`.
 */
export function describeReport(report: TokenizeReport, path: string): Described {
  const described: Described = { notes: [], warnings: [] };
  const say = (level: "note" | "warning", lines: readonly number[], sentence: (rows: string) => string) => {
    if (lines.length === 0) return;
    described[`${level}s`].push(`${sentence(counted(lines.length, "row"))} (${path}:${listLines(lines)}).`);
  };
  for (const [key, level, sentence] of SENTENCES) say(level, report[key], (rows) => sentence(rows, report));
  for (const [field, lines] of Object.entries(report.unread)) {
    say(
      saying.test(field) ? "warning" : "note",
      lines,
      (rows) => `${rows} with ${field}, which the chat template does not read`,
    );
  }
  return described;
}

/** How many rows each thing happened to, under the names that run.json and events have; nothing that happened to none. */
export function countsOf(report: TokenizeReport): Record<string, number> {
  const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries([
    ...SENTENCES.map(([key]) => [snake(key), report[key].length] as const),
    ...Object.entries(report.unread).map(([field, lines]) => [`unread.${field}`, lines.length] as const),
  ].filter(([, count]) => count > 0));
}
