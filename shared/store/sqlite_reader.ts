// A thread that reads an SQLite file over a connection of its own, one question after another. Does not know what is
// asked, or who waits.

import { DatabaseSync } from "node:sqlite";
import type { Value } from "./queries.ts";
import { SqliteStatements } from "./sqlite_statements.ts";

/** The first message: which file is read. */
export interface ReaderStart {
  path: string;
}

/** A question, answered in the order of arrival. */
export interface ReaderQuestion {
  sql: string;
  values: readonly Value[];
}

/** The last message; answered once the connection is closed, without which the file's log would stay beside it. */
export interface ReaderEnd {
  end: true;
}

export type ReaderAnswer = { rows: Record<string, unknown>[] } | { error: string };

/** How long a question waits for a process that locks the file, in milliseconds. */
const patience = 5_000;

let path = "", connection: DatabaseSync | undefined, statements: SqliteStatements | undefined;

/** Opened when it is first needed, so that a file that cannot be opened is an answer and not the end of the thread. */
function open(): SqliteStatements {
  connection = new DatabaseSync(path, { timeout: patience });
  connection.exec("PRAGMA query_only = ON");
  return new SqliteStatements(connection);
}

self.onmessage = ({ data }: MessageEvent<ReaderStart | ReaderQuestion | ReaderEnd>) => {
  if ("path" in data) {
    ({ path } = data);
    return;
  }
  let answer: ReaderAnswer;
  try {
    if ("end" in data) {
      connection?.close();
      return self.postMessage({ rows: [] } satisfies ReaderAnswer);
    }
    statements ??= open();
    answer = { rows: statements.all(data.sql, data.values) };
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  self.postMessage(answer);
};
