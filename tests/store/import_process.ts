// A process that imports rows into a database and waits on stdin at the end of the stream, if it gets there. The tests kill
// it in the midst. Arguments: the database, how many rows.

import { openDatabase } from "../../shared/store/database.ts";
import { importFeedback } from "../../shared/store/import_feedback.ts";
import { numbered } from "./records.ts";

const [where, rows] = Deno.args as [string, string];
const database = await openDatabase(where);
await importFeedback(database, numbered(Number(rows)));
await database.close();
