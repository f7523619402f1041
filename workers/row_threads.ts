// Tokenises rows in threads, in the order and with the result of doing it in one place, with a deadline for every row.
// It does not know what rows are for, nor what is made of their ids.

import { InputError } from "../shared/errors.ts";
import type { FeedbackRow } from "../shared/feedback/row.ts";
import type { RowIds } from "../shared/feedback/row_ids.ts";
import { type TokenizedRows, type TokenizeOptions, tokenizing } from "../shared/feedback/tokenize.ts";
import { type Reporter, silent, withProgress } from "../shared/progress.ts";
import type { OpenModel } from "../shared/runtime/open_model.ts";
import { lengthOf } from "../shared/runtime/read_prompt.ts";
import { readTokenizerFiles, type TokenizerFiles } from "../shared/runtime/tokenizer_files.ts";
import type { RowWorker } from "./row_worker.ts";
import { DeadlineError, SandboxedWorker } from "./sandboxed_worker.ts";

export interface RowThreadsOptions extends TokenizeOptions {
  /** Most threads; default: one per core. Few rows take fewer. */
  workers?: number | undefined;
  reporter: Reporter;
  /** Asked between shares of rows: throws to end the work. */
  checkpoint?: () => void;
  /** Milliseconds that a short row may take, on a machine at its limit. */
  patience?: number;
}

/** Characters of a row that are tokenised in one millisecond more, on a machine at its limit. */
const charactersPerMillisecond = 50;

/** How long opening a tokenizer may take, in milliseconds. */
const openingDeadline = 120_000;

/** A share of rows ends at either: so that threads wait for each other, and progress for them, some tenths of a second. */
const rowsPerShare = 64, charactersPerShare = 64_000;

/**
 * A thread costs some tenths of a second and a tokenizer's memory, which fewer characters are not worth. What is done in
 * a second or two shows no progress.
 */
const charactersPerThread = 1_000_000;

interface Share {
  rows: FeedbackRow[];
  characters: number;
}

/** Characters of what a row says. */
function charactersOf({ prompt, completion }: FeedbackRow): number {
  return [prompt, completion].reduce(
    (sum, part) =>
      sum +
      lengthOf(
        typeof part === "string" ? { source: "text", text: part } : { source: "chat", messages: part, options: {} },
      ),
    0,
  );
}

function sharesOf(rows: readonly FeedbackRow[]): Share[] {
  const shares: Share[] = [];
  for (const row of rows) {
    const characters = charactersOf(row), last = shares.at(-1);
    if (!last || last.rows.length === rowsPerShare || last.characters + characters > charactersPerShare) {
      shares.push({ rows: [row], characters });
    } else {
      last.rows.push(row);
      last.characters += characters;
    }
  }
  return shares;
}

/** Ids of a share's rows; where they miss the deadline together, each alone, to find the one that does. */
async function idsOfShare(
  worker: SandboxedWorker<RowWorker>,
  { rows, characters }: Share,
  files: TokenizerFiles,
  patience: number,
): Promise<RowIds[]> {
  const deadline = Math.round(patience + characters / charactersPerMillisecond);
  try {
    return await worker.call("ids", [rows], deadline);
  } catch (error) {
    if (!(error instanceof DeadlineError)) throw error;
    if (rows.length === 1) {
      throw new InputError(
        `Row at line ${rows[0]!.line}: the chat template and the tokenizer of ${files.name} take longer than ${
          deadline / 1000
        } s for it; shorten the row or leave it out.`,
      );
    }
    const each: RowIds[] = [];
    for (const row of rows) {
      const [ids] = await idsOfShare(worker, { rows: [row], characters: charactersOf(row) }, files, patience);
      each.push(ids!);
    }
    return each;
  }
}

/**
 * As tokenizeRows, in threads of their own that may do nothing else, with progress.
 *
 * @throws InputError of the first row that the template refuses, or that takes too long
 */
export async function tokenizeInThreads(
  rows: readonly FeedbackRow[],
  { folder, tokenizer }: Pick<OpenModel, "folder" | "tokenizer">,
  options: RowThreadsOptions,
): Promise<TokenizedRows> {
  return await tokenizeWithFiles(rows, readTokenizerFiles(folder), tokenizer, options);
}

/** As above, for a tokenizer's files. */
export async function tokenizeWithFiles(
  rows: readonly FeedbackRow[],
  files: TokenizerFiles,
  tokenizer: Pick<OpenModel["tokenizer"], "eosTokenIds">,
  { workers = navigator.hardwareConcurrency, reporter, checkpoint = () => {}, patience = 60_000, ...options }:
    RowThreadsOptions,
): Promise<TokenizedRows> {
  const assembly = tokenizing(rows, tokenizer, options);
  let row = assembly.next();
  const shares = sharesOf(rows), waiting = new Map<number, RowIds[]>();
  let next = 0, assembled = 0;
  const failures = new Map<number, unknown>();
  // In the file's order, whichever thread is first.
  const assemble = () => {
    for (let ids = waiting.get(assembled); ids; ids = waiting.get(assembled)) {
      waiting.delete(assembled++);
      for (const each of ids) row = assembly.next(each);
    }
  };
  const characters = shares.reduce((sum, share) => sum + share.characters, 0);
  const count = Math.max(1, Math.min(workers, shares.length, Math.ceil(characters / charactersPerThread)));
  const threads = Array.from(
    { length: count },
    (_, i) =>
      new SandboxedWorker<RowWorker>(new URL("./row_worker.ts", import.meta.url), `row thread ${i + 1}`, {
        setUp: (call) => call("open", [files], openingDeadline),
      }),
  );
  const work = (advance: (rows: number) => void) => async (thread: SandboxedWorker<RowWorker>) => {
    while (next < shares.length && failures.size === 0) {
      const taken = next++, share = shares[taken]!;
      try {
        waiting.set(taken, await idsOfShare(thread, share, files, patience));
        assemble();
        advance(share.rows.length);
        checkpoint();
      } catch (error) {
        failures.set(taken, error);
      }
    }
  };
  try {
    await withProgress(
      characters > charactersPerThread ? reporter : silent,
      { label: "tokenising", total: rows.length, unit: "rows" },
      async (advance) => void await Promise.all(threads.map(work(advance))),
    );
  } finally {
    for (const thread of threads) thread.end();
  }
  // Shares are taken in order, so of two rows that fail the first is among those that were looked at.
  if (failures.size > 0) throw failures.get(Math.min(...failures.keys()));
  if (!row.done) throw new Error(`${rows.length} rows were given, and not all of them came back.`);
  return row.value;
}
