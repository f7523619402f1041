// A process that takes a lock, says so on stdout and keeps it until it is killed. Arguments: the database, the lock.

import { openDatabase } from "../../shared/store/database.ts";

const [where, name] = Deno.args as [string, string];
const database = await openDatabase(where);
const lock = await database.lock(name);
console.log(lock ? "held" : "another's");
if (lock) setInterval(() => {}, 1000);
else await database.close();
