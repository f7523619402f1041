// The tables, as steps from one version of the database to the next. Each is run once, in a transaction of its own; a
// step that was released is never changed, a new one is added. Does not know which questions the tables answer.

import type { Database, Queries } from "./queries.ts";

/** The statements of a step. `sequence` is the type of a key that counts upwards and never returns to a number. */
type Step = (sequence: string) => string[];

/** JSON is text, times are integers of milliseconds since 1970, booleans are 0 and 1. */
const steps: Step[] = [
  (sequence) => [
    `CREATE TABLE completions (
      id TEXT PRIMARY KEY,
      created_at BIGINT NOT NULL,
      source TEXT NOT NULL,
      model TEXT NOT NULL,
      base TEXT,
      adapter TEXT,
      adapter_version TEXT,
      alias TEXT,
      prompt TEXT NOT NULL,
      parameters TEXT NOT NULL,
      end_user TEXT,
      prompt_tokens INTEGER NOT NULL
    )`,
    `CREATE INDEX completions_by_time ON completions (created_at, id)`,
    `CREATE INDEX completions_by_end_user ON completions (end_user)`,
    `CREATE INDEX completions_by_alias ON completions (alias)`,
    `CREATE TABLE choices (
      completion_id TEXT NOT NULL REFERENCES completions (id),
      choice INTEGER NOT NULL,
      content TEXT NOT NULL,
      messages TEXT,
      finish_reason TEXT NOT NULL,
      tokens INTEGER NOT NULL,
      log_prob DOUBLE PRECISION,
      PRIMARY KEY (completion_id, choice)
    )`,
    // What was ever said of an answer, in the order of the commits. A label is the newest event of its kind.
    `CREATE TABLE label_events (
      sequence ${sequence},
      label_id TEXT NOT NULL,
      kind TEXT NOT NULL,
      at BIGINT NOT NULL,
      version INTEGER NOT NULL,
      completion_id TEXT NOT NULL,
      choice INTEGER NOT NULL,
      end_user TEXT NOT NULL,
      label INTEGER NOT NULL,
      reason TEXT,
      tags TEXT NOT NULL,
      correction TEXT,
      FOREIGN KEY (completion_id, choice) REFERENCES choices (completion_id, choice)
    )`,
    `CREATE UNIQUE INDEX label_events_by_label ON label_events (label_id, sequence)`,
    `CREATE INDEX label_events_by_completion ON label_events (completion_id, choice)`,
    `CREATE INDEX label_events_by_end_user ON label_events (end_user)`,
    `CREATE TABLE label_tags (
      tag TEXT NOT NULL,
      sequence BIGINT NOT NULL REFERENCES label_events (sequence) ON DELETE CASCADE,
      PRIMARY KEY (tag, sequence)
    )`,
    `CREATE INDEX label_tags_by_event ON label_tags (sequence)`,
    `CREATE TABLE labels (
      id TEXT PRIMARY KEY,
      completion_id TEXT NOT NULL,
      choice INTEGER NOT NULL,
      end_user TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      sequence BIGINT NOT NULL UNIQUE REFERENCES label_events (sequence),
      UNIQUE (completion_id, choice, end_user)
    )`,
    `CREATE INDEX labels_by_end_user ON labels (end_user)`,
    `CREATE TABLE idempotent_answers (
      scope TEXT NOT NULL,
      key TEXT NOT NULL,
      body_hash TEXT NOT NULL,
      answer TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      end_user TEXT,
      completion_id TEXT,
      PRIMARY KEY (scope, key)
    )`,
    `CREATE INDEX idempotent_answers_by_end_user ON idempotent_answers (end_user)`,
    `CREATE INDEX idempotent_answers_by_completion ON idempotent_answers (completion_id)`,
    // Rows of an import that is not yet whole.
    `CREATE TABLE staged_rows (
      import_id TEXT NOT NULL,
      position INTEGER NOT NULL,
      staged_at BIGINT NOT NULL,
      completion_id TEXT NOT NULL,
      label_id TEXT NOT NULL,
      prompt TEXT NOT NULL,
      parameters TEXT NOT NULL,
      content TEXT NOT NULL,
      messages TEXT,
      end_user TEXT NOT NULL,
      label INTEGER NOT NULL,
      reason TEXT,
      tags TEXT NOT NULL,
      PRIMARY KEY (import_id, position)
    )`,
    `CREATE INDEX staged_rows_by_end_user ON staged_rows (end_user)`,
    `CREATE TABLE api_keys (
      id TEXT PRIMARY KEY,
      hash TEXT NOT NULL UNIQUE,
      scopes TEXT NOT NULL,
      name TEXT,
      created_at BIGINT NOT NULL,
      revoked_at BIGINT
    )`,
  ],
  (sequence) => [
    `CREATE TABLE files (
      id TEXT PRIMARY KEY,
      created_at BIGINT NOT NULL,
      filename TEXT NOT NULL,
      purpose TEXT NOT NULL,
      bytes BIGINT NOT NULL,
      path TEXT NOT NULL
    )`,
    `CREATE TABLE jobs (
      id TEXT PRIMARY KEY,
      created_at BIGINT NOT NULL,
      started_at BIGINT,
      finished_at BIGINT,
      status TEXT NOT NULL,
      request TEXT NOT NULL,
      watermark BIGINT,
      cancelling INTEGER NOT NULL,
      attempts INTEGER NOT NULL,
      progress TEXT,
      data TEXT,
      outcome TEXT,
      error TEXT
    )`,
    `CREATE INDEX jobs_by_status ON jobs (status, id)`,
    // A resumed run goes through steps again, with the same numbers: a step's metrics are kept once.
    `CREATE TABLE job_events (
      sequence ${sequence},
      job_id TEXT NOT NULL REFERENCES jobs (id),
      at BIGINT NOT NULL,
      level TEXT NOT NULL,
      type TEXT NOT NULL,
      step INTEGER,
      message TEXT NOT NULL,
      data TEXT,
      UNIQUE (job_id, step)
    )`,
    `CREATE INDEX job_events_by_job ON job_events (job_id, sequence)`,
    `CREATE TABLE adapters (
      name TEXT PRIMARY KEY,
      created_at BIGINT NOT NULL,
      base TEXT NOT NULL,
      folder TEXT NOT NULL,
      version TEXT NOT NULL,
      parent TEXT NOT NULL,
      job_id TEXT,
      data TEXT NOT NULL,
      metrics TEXT NOT NULL,
      gate TEXT,
      files TEXT NOT NULL
    )`,
    `CREATE TABLE aliases (
      name TEXT PRIMARY KEY,
      arms TEXT NOT NULL,
      updated_at BIGINT NOT NULL
    )`,
    `CREATE TABLE promotions (
      sequence ${sequence},
      at BIGINT NOT NULL,
      alias TEXT NOT NULL,
      kind TEXT NOT NULL,
      from_model TEXT NOT NULL,
      to_model TEXT NOT NULL,
      reason TEXT,
      overridden INTEGER NOT NULL,
      key_id TEXT
    )`,
  ],
  () => [
    `CREATE TABLE presence (
      service TEXT PRIMARY KEY,
      seen_at BIGINT NOT NULL,
      base TEXT
    )`,
    // Whether the job's report may still quote somebody whose data was deleted.
    `ALTER TABLE jobs ADD COLUMN forgets INTEGER NOT NULL DEFAULT 0`,
    `CREATE INDEX idempotent_answers_by_time ON idempotent_answers (created_at)`,
  ],
  (sequence) => [
    `ALTER TABLE api_keys ADD COLUMN owner TEXT`,
    `ALTER TABLE api_keys ADD COLUMN requests_per_day BIGINT`,
    `ALTER TABLE api_keys ADD COLUMN bytes_per_day BIGINT`,
    // The key of each event, and whose the label is. What was written before has neither: it is for admin keys alone.
    `ALTER TABLE label_events ADD COLUMN key_id TEXT`,
    `ALTER TABLE label_events ADD COLUMN writer TEXT`,
    `ALTER TABLE labels ADD COLUMN writer TEXT`,
    `CREATE INDEX labels_by_writer ON labels (writer, id)`,
    `ALTER TABLE completions ADD COLUMN writer TEXT`,
    `ALTER TABLE idempotent_answers ADD COLUMN writer TEXT`,
    // People whose deletion may have come while something of theirs was under way, by the hash of their name.
    `CREATE TABLE forgotten (
      sequence ${sequence},
      person TEXT NOT NULL,
      writer TEXT,
      at BIGINT NOT NULL
    )`,
    `CREATE INDEX forgotten_by_person ON forgotten (person, sequence)`,
    // What a key has used on a day, counted in days since 1970.
    `CREATE TABLE key_usage (
      key_id TEXT NOT NULL REFERENCES api_keys (id),
      day INTEGER NOT NULL,
      requests BIGINT NOT NULL,
      bytes BIGINT NOT NULL,
      PRIMARY KEY (key_id, day)
    )`,
  ],
  () => [
    // A row of an export keeps its ids, and says more than other rows do.
    ...[
      "line INTEGER",
      "own INTEGER",
      "choice INTEGER",
      "is_correction INTEGER",
      "correction TEXT",
      "at BIGINT",
      "source TEXT",
      "model TEXT",
      "base TEXT",
      "adapter TEXT",
      "adapter_version TEXT",
      "asked_by TEXT",
      "log_prob DOUBLE PRECISION",
      "tokens INTEGER",
    ].map((column) => `ALTER TABLE staged_rows ADD COLUMN ${column}`),
    `CREATE INDEX staged_rows_by_completion ON staged_rows (import_id, completion_id)`,
  ],
  () => [
    // Set while an answer is streamed: its choices say nothing yet.
    `ALTER TABLE completions ADD COLUMN under_way INTEGER NOT NULL DEFAULT 0`,
    `CREATE INDEX completions_under_way ON completions (created_at) WHERE under_way = 1`,
    `ALTER TABLE completions ADD COLUMN safety_identifier TEXT`,
    `CREATE INDEX completions_by_safety_identifier ON completions (safety_identifier, created_at, id)
     WHERE safety_identifier IS NOT NULL`,
    `ALTER TABLE completions ADD COLUMN metadata TEXT`,
    // The same pairs to be found by, newest first.
    `CREATE TABLE completion_metadata (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      created_at BIGINT NOT NULL,
      completion_id TEXT NOT NULL REFERENCES completions (id) ON DELETE CASCADE,
      PRIMARY KEY (name, value, created_at, completion_id)
    )`,
    `CREATE INDEX completion_metadata_by_completion ON completion_metadata (completion_id, name, value)`,
  ],
  // What came after what is told by numbers, since clocks are set back; and which files were promoted, since names change.
  () => [
    `ALTER TABLE aliases ADD COLUMN revision BIGINT NOT NULL DEFAULT 1`,
    `ALTER TABLE promotions ADD COLUMN version TEXT`,
    `ALTER TABLE adapters ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0`,
    `UPDATE adapters SET sequence = (SELECT COUNT(*) FROM adapters other WHERE other.created_at < adapters.created_at OR
       other.created_at = adapters.created_at AND other.name <= adapters.name)`,
    `ALTER TABLE jobs ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0`,
    `UPDATE jobs SET sequence = (SELECT COUNT(*) FROM jobs other WHERE other.id <= jobs.id)`,
    `CREATE UNIQUE INDEX jobs_by_sequence ON jobs (sequence)`,
  ],
  () => [
    // What lists and statistics ask of a label stands beside it, as it stands: a list then keeps to one index.
    ...["label INTEGER", "updated_at BIGINT", "source TEXT", "model TEXT", "base TEXT", "adapter TEXT", "alias TEXT"]
      .map((column) => `ALTER TABLE labels ADD COLUMN ${column}`),
    `UPDATE labels SET label = e.label, updated_at = e.at, source = c.source, model = c.model, base = c.base,
       adapter = c.adapter, alias = c.alias
     FROM label_events e, completions c WHERE e.sequence = labels.sequence AND c.id = labels.completion_id`,
    `DROP INDEX labels_by_end_user`,
    `CREATE INDEX labels_by_end_user ON labels (end_user, id)`,
    `DROP INDEX completions_by_alias`,
    `CREATE INDEX completions_by_arm ON completions (alias, base, adapter)`,
    `CREATE INDEX completions_by_model ON completions (model, created_at, id)`,
    `CREATE INDEX choices_beyond_first ON choices (completion_id) WHERE choice > 0`,
    // Completions without a label, the queue of those who judge; and some that got one since upkeep looked.
    `CREATE TABLE unjudged (
      completion_id TEXT PRIMARY KEY REFERENCES completions (id) ON DELETE CASCADE,
      created_at BIGINT NOT NULL,
      model TEXT NOT NULL
    )`,
    `INSERT INTO unjudged (completion_id, created_at, model) SELECT c.id, c.created_at, c.model FROM completions c
     WHERE NOT EXISTS (SELECT 1 FROM labels l WHERE l.completion_id = c.id)`,
    `CREATE INDEX unjudged_by_time ON unjudged (created_at, completion_id)`,
    `CREATE INDEX unjudged_by_model ON unjudged (model, created_at, completion_id)`,
    // Labels whose history is too long.
    `CREATE INDEX label_events_beyond_history ON label_events (label_id, version) WHERE version > 10`,
    // Rows of an import are not seen before it is published, as of an event's number.
    `CREATE TABLE imports (
      id TEXT PRIMARY KEY,
      published BIGINT,
      moved BIGINT NOT NULL
    )`,
    ...["completions", "choices", "label_events", "labels"]
      .map((table) => `ALTER TABLE ${table} ADD COLUMN import_id TEXT`),
    // One index for all filters: an index for each would cost a third of the thumbs that are taken in a second.
    `DROP INDEX labels_by_writer`,
    `CREATE INDEX labels_for_lists ON labels
       (id, label, source, model, adapter, updated_at, sequence, writer, end_user, import_id)`,
    // Arms are counted in it alone.
    `CREATE INDEX labels_by_arm ON labels (alias, base, adapter, label) WHERE alias IS NOT NULL`,
  ],
  // Arms are counted by version and by person, each in one index.
  () => [
    `DROP INDEX completions_by_arm`,
    `CREATE INDEX completions_by_arm ON completions (alias, base, adapter, adapter_version, end_user)`,
    `DROP INDEX labels_by_arm`,
    `ALTER TABLE labels ADD COLUMN adapter_version TEXT`,
    // Whose thumb it is, or of which answer where nobody is named; see label_clusters.ts. Of an alias's answers alone.
    `ALTER TABLE labels ADD COLUMN cluster TEXT`,
    `UPDATE labels SET adapter_version = c.adapter_version, cluster = CASE
       WHEN labels.end_user <> '' THEN 'person:' || labels.end_user
       WHEN c.end_user IS NOT NULL THEN 'person:' || c.end_user
       ELSE 'answer:' || c.id END
     FROM completions c WHERE labels.alias IS NOT NULL AND c.id = labels.completion_id`,
    `CREATE INDEX labels_by_arm ON labels (alias, base, adapter, adapter_version, cluster, label, import_id)
     WHERE alias IS NOT NULL`,
  ],
];

/** The version that this Prospect writes and reads. */
export const newestVersion = steps.length;

const sequenceType = {
  sqlite: "INTEGER PRIMARY KEY AUTOINCREMENT",
  postgres: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
};

/** The version that a database has, 0 where it is new. */
export async function versionOf(database: Queries, kind: Database["kind"]): Promise<number> {
  const there = kind === "sqlite"
    ? "SELECT name FROM sqlite_schema WHERE name = 'migrations'"
    : "SELECT 1 AS name WHERE to_regclass('migrations') IS NOT NULL";
  if (!await database.get(there)) return 0;
  const row = await database.get<{ version: number }>("SELECT COALESCE(MAX(version), 0) AS version FROM migrations");
  return row?.version ?? 0;
}

/**
 * Brings a database to a version, step by step. One process at a time does so.
 *
 * @param wanted The newest, but for tests of what comes after an older one.
 */
export async function migrate(database: Database, wanted = newestVersion): Promise<void> {
  await database.run("CREATE TABLE IF NOT EXISTS migrations (version INTEGER PRIMARY KEY, at BIGINT NOT NULL)");
  for (let version = await versionOf(database, database.kind); version < wanted; version++) {
    await database.write(async (queries) => {
      for (const statement of steps[version]!(sequenceType[database.kind])) await queries.run(statement);
      await queries.run("INSERT INTO migrations (version, at) VALUES ($1, $2)", [version + 1, Date.now()]);
    });
  }
}
