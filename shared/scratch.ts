// A folder for what lives no longer than the process, such as a socket. It does not know what is put there.

import { join } from "node:path";

/** The variable by which a launched process learns which folder it may make. */
const variable = "PROSPECT_SCRATCH";

/** What the gateway's socket is called there. */
export const socketName = "gateway";

/** A place that is free, in the system's temporary folder, which is told to the program that this process becomes. */
export function chooseScratchFolder(): string {
  const place = join(Deno.env.get("TMPDIR") || "/tmp", `prospect-${crypto.randomUUID().slice(0, 13)}`);
  Deno.env.set(variable, place);
  return place;
}

/** Makes the folder, its owner's alone: the one that was chosen at the launch, or any where there was no launch. */
export async function makeScratchFolder(): Promise<string> {
  const chosen = Deno.env.get(variable);
  if (!chosen) return await Deno.makeTempDir({ prefix: "prospect-" });
  await Deno.mkdir(chosen, { mode: 0o700 });
  return chosen;
}
