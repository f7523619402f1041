// Entry of a sandboxed worker that tokenises rows: a stranger's template and tokenizer meet strangers' texts here. It knows
// the files that it is given, and opens none.

import type { FeedbackRow } from "../shared/feedback/row.ts";
import { idsOfRow, type RowIds } from "../shared/feedback/row_ids.ts";
import { type ChatTokenizer, createChatTokenizer } from "../shared/runtime/chat_tokenizer.ts";
import type { TokenizerFiles } from "../shared/runtime/tokenizer_files.ts";
import { exposeBounded } from "./bounded.ts";

let tokenizer: ChatTokenizer | undefined;

/** The face of the worker. */
const functions = {
  /** Comes before all else. */
  open(files: TokenizerFiles): void {
    tokenizer = createChatTokenizer(files);
  },
  /** @throws InputError for a row that the template refuses */
  ids(rows: readonly FeedbackRow[]): RowIds[] {
    return rows.map((row) => idsOfRow(row, tokenizer!));
  },
};

export type RowWorker = typeof functions;

exposeBounded(functions);
