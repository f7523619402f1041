// Labels as training rows, in TRL's unpaired form, from a snapshot that labels arriving meanwhile do not change. Knows
// nothing of files or HTTP: it gives rows, a page at a time in memory.

import type { Message } from "../feedback/row.ts";
import { publishedBy } from "./imports.ts";
import { labelConditions, type LabelFilters, passOnlySome } from "./label_filters.ts";
import { currentWatermark } from "./labels.ts";
import type { Database, Value } from "./queries.ts";

/** A training row: what TRL and shared/feedback read, then where it comes from. */
export interface ExportedRow {
  /** Messages of a conversation, or text. */
  prompt: string | Message[];
  completion: string | Message[];
  label: boolean;
  /** Template arguments, where the request or the imported row had them. */
  tools?: unknown[];
  chat_template_kwargs?: Record<string, unknown>;
  /** The label's. A corrected answer's two rows have the same. */
  id: string;
  completion_id: string;
  choice: number;
  end_user: string;
  reason: string | null;
  tags: string[];
  /** The completion is what a person wrote instead of the answer. */
  is_correction: boolean;
  /** The model as it was asked for; null where unknown (imported). */
  model: string | null;
  base: string | null;
  adapter: string | null;
  adapter_version: string | null;
  source: string;
  /** Pairs that the client keeps with the answer, and its name for whoever asked, where it has told them. */
  metadata?: Record<string, string>;
  safety_identifier?: string;
  /** Sum of the answering policy's log-probs; null where unknown. */
  log_prob: number | null;
  /** Tokens of that sum. */
  completion_tokens: number;
  /** Who asked for the answer, where that was said. */
  asked_by: string | null;
  /** When the answer was judged; milliseconds since 1970. */
  created_at: number;
  /** Number of the event that made the label what it is. */
  sequence: number;
}

/** Which moment is exported. */
export interface ExportOptions {
  /** Labels as they stood after the event of that number (see `currentWatermark`); default: as they stand now. */
  watermark?: number;
}

const rowsPerPage = 500;

/**
 * The labels of a snapshot, oldest first (by when they were first set). The same watermark gives the same rows in the
 * same order whatever is set, replaced or taken back later; only what `deleteEndUser` deletes is gone from it.
 */
export async function* exportFeedback(
  database: Database,
  filters: LabelFilters = {},
  options: ExportOptions = {},
): AsyncGenerator<ExportedRow> {
  const watermark = options.watermark ?? await currentWatermark(database);
  // A correction is a desirable row of an undesirable label, so the label is looked at once there are rows.
  const { label: wanted, ...others } = filters;
  let after = "";
  for (;;) {
    const page = await readPage(database, others, watermark, after);
    for (const event of page) {
      for (const row of rowsOf(event)) if (wanted === undefined || row.label === wanted) yield row;
    }
    const last = page.at(-1);
    if (!last || page.length < rowsPerPage) return;
    after = last.labelId;
  }
}

interface EventRow {
  labelId: string;
  completionId: string;
  choice: number;
  endUser: string;
  label: number;
  reason: string | null;
  tags: string;
  correction: string | null;
  at: number;
  sequence: number;
  source: string;
  model: string;
  base: string | null;
  adapter: string | null;
  adapterVersion: string | null;
  askedBy: string | null;
  prompt: string;
  parameters: string;
  content: string;
  messages: string | null;
  metadata: string | null;
  safetyIdentifier: string | null;
  logProb: number | null;
  tokens: number;
}

async function readPage(
  database: Database,
  filters: LabelFilters,
  watermark: number,
  after: string,
): Promise<EventRow[]> {
  const values: Value[] = [watermark, after, rowsPerPage];
  const conditions = await labelConditions(database, filters, values, "events");
  return await (passOnlySome(filters) ? database.scan : database.all)<EventRow>(
    `SELECT e.label_id AS "labelId", e.completion_id AS "completionId", e.choice, e.end_user AS "endUser", e.label,
       e.reason, e.tags, e.correction, e.at, e.sequence, c.source, c.model, c.base, c.adapter,
       c.adapter_version AS "adapterVersion", c.end_user AS "askedBy", c.prompt, c.parameters, a.content, a.messages,
       c.metadata, c.safety_identifier AS "safetyIdentifier", a.log_prob AS "logProb", a.tokens
     FROM label_events e
     JOIN completions c ON c.id = e.completion_id
     JOIN choices a ON a.completion_id = e.completion_id AND a.choice = e.choice
     WHERE e.sequence <= $1 AND e.label_id > $2 AND e.kind <> 'deleted'
       AND c.under_way = 0 AND ${publishedBy("e", "$1")} AND NOT EXISTS (
         SELECT 1 FROM label_events n WHERE n.label_id = e.label_id AND n.sequence > e.sequence AND n.sequence <= $1
       )
       AND ${conditions.join(" AND ")}
     ORDER BY e.label_id LIMIT $3`,
    values,
  );
}

function rowsOf(event: EventRow): ExportedRow[] {
  const prompt = JSON.parse(event.prompt) as string | Message[];
  const content = JSON.parse(event.content) as string;
  const asCompletion = (text: string): string | Message[] =>
    typeof prompt === "string" ? text : [{ role: "assistant", content: text }];
  const { tools, chat_template_kwargs } = JSON.parse(event.parameters) as Pick<
    ExportedRow,
    "tools" | "chat_template_kwargs"
  >;
  const row: ExportedRow = {
    prompt,
    completion: event.messages === null ? asCompletion(content) : JSON.parse(event.messages),
    label: event.label === 1,
    ...(tools ? { tools } : {}),
    ...(chat_template_kwargs ? { chat_template_kwargs } : {}),
    id: event.labelId,
    completion_id: event.completionId,
    choice: event.choice,
    end_user: event.endUser,
    reason: event.reason === null ? null : JSON.parse(event.reason),
    tags: JSON.parse(event.tags),
    is_correction: false,
    model: event.model === "" ? null : event.model,
    base: event.base,
    adapter: event.adapter,
    adapter_version: event.adapterVersion,
    source: event.source,
    ...(event.metadata === null ? {} : { metadata: JSON.parse(event.metadata) }),
    ...(event.safetyIdentifier === null ? {} : { safety_identifier: event.safetyIdentifier }),
    log_prob: event.logProb,
    completion_tokens: event.tokens,
    asked_by: event.askedBy,
    created_at: event.at,
    sequence: event.sequence,
  };
  if (event.correction === null) return [row];
  // Nobody has measured how probable a person's words are.
  const correction = { completion: asCompletion(JSON.parse(event.correction)), label: true, is_correction: true };
  return [row, { ...row, ...correction, log_prob: null }];
}
