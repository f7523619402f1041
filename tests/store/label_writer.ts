// A process that sets labels, 16 at a time, and writes the id of each to stdout once it is acknowledged. The tests start
// several at once and kill them. Arguments: the database, how many labels.

import { storeCompletion } from "../../shared/store/completions.ts";
import { openDatabase } from "../../shared/store/database.ts";
import { timeOrderedId } from "../../shared/store/ids.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { completion, thumb } from "./records.ts";

const [where, labels] = Deno.args as [string, string];
const database = await openDatabase(where);
const id = timeOrderedId("completion-");
await storeCompletion(database, completion(id));
let started = 0;
await Promise.all(Array.from({ length: 16 }, async () => {
  while (started < Number(labels)) {
    const label = await putLabel(database, thumb(id, { endUser: `person ${started++}` }));
    Deno.stdout.writeSync(new TextEncoder().encode(`${label.id}\n`));
  }
}));
await database.close();
