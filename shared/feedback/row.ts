// The row: one prompt, one answer to it, one thumb. Every reader makes rows and everything after reads only rows.
// Knows nothing of files, tokens or models.

/** One turn of a conversation, as chat templates read it. Further keys (name, tool_calls …) reach the template as is. */
export interface Message {
  role: string;
  content: string;
  [key: string]: unknown;
}

/** One labelled answer. `prompt` and `completion` are both strings (plain text) or both messages (a conversation). */
export interface FeedbackRow {
  /** 0-based position among all rows of the file, counted before any row is dropped. */
  index: number;
  /** 1-based line of a JSON Lines file, or 1-based element of a JSON array. */
  line: number;
  prompt: string | Message[];
  completion: string | Message[];
  /** true = desirable (thumb up), false = undesirable. */
  label: boolean;
  /** Tool definitions (JSON schema) the chat template may show the model. */
  tools?: unknown[];
  /** Further variables for the chat template, e.g. `enable_thinking` (TRL's `chat_template_kwargs` column). */
  templateArguments?: Record<string, unknown>;
  /** `end_user`, `tags` and the like as the record has them, unread: training does without, an import keeps them. */
  remarks?: Record<string, unknown>;
}

/** True when nothing was said: a template would still wrap it in tokens, but there is no answer to judge. */
export function isEmptyCompletion(completion: string | Message[]): boolean {
  if (typeof completion === "string") return completion.trim() === "";
  return completion.every(({ content, tool_calls }) => content.trim() === "" && isNothing(tool_calls));
}

/** Whether a field says nothing: a column that other rows of a table need. */
export const isNothing = (value: unknown): boolean =>
  value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);

/** Whether an export wrote it: with the ids of its label and of its answer. */
export const isExported = ({ remarks }: Pick<FeedbackRow, "remarks">): boolean =>
  typeof remarks?.id === "string" && typeof remarks.completion_id === "string";

/** The first few line numbers: `3, 7, 12 … 40 more`. */
export function listLines(lines: readonly number[]): string {
  const distinct = [...new Set(lines)];
  const shown = distinct.slice(0, 5).join(", ");
  return distinct.length > 5 ? `${shown} and ${distinct.length - 5} more` : shown;
}
