// A process that judges an answer, says so on stdout in the midst of that write, and goes on when a line comes on stdin.
// The tests freeze it there. Arguments: the database, the completion, who judges.

import { openDatabase } from "../../shared/store/database.ts";
import { putLabelIn } from "../../shared/store/labels.ts";
import { thumb } from "./records.ts";

const [where, completionId, endUser] = Deno.args as [string, string, string];
const database = await openDatabase(where);
const stdin = Deno.stdin.readable.getReader();
const line = stdin.read();
await database.write(async (queries) => {
  await putLabelIn(queries, thumb(completionId, { endUser }));
  await Deno.stdout.write(new TextEncoder().encode("inside\n"));
  await line;
}, "snapshot");
await database.close();
Deno.exit(0);
