// The files in a run's folder that hold people's words for as long as the run is under way. It does not know what is in
// them, or when a run is over.

import { join } from "node:path";

/** The rows of a job over the store's labels. */
export const rowsName = "data.jsonl";

/** What was held out, which the gate judges by. */
export const heldOutName = "held_out.jsonl";

/** Forgets the rows of a run that is over: people's words are kept in one place, where they can be deleted. */
export async function dropRows(folder: string): Promise<void> {
  const ignoreGone = (error: Error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  };
  try {
    for await (const { name } of Deno.readDir(folder)) {
      // Also what a process that was killed has half written.
      if (name !== rowsName && name !== heldOutName && !/^\..*\.tmp$/.test(name)) continue;
      await Deno.remove(join(folder, name)).catch(ignoreGone);
    }
  } catch (error) {
    ignoreGone(error as Error);
  }
}
