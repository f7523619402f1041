// Where Prospect keeps what can be computed or downloaded again. It does not know what is kept there.

import { join } from "node:path";

/** `$PROSPECT_CACHE`, else the user's cache folder. */
export function cacheFolder(): string {
  const chosen = Deno.env.get("PROSPECT_CACHE");
  if (chosen) return chosen;
  const base = Deno.env.get("XDG_CACHE_HOME") ??
    join(Deno.env.get("HOME") ?? Deno.env.get("USERPROFILE") ?? ".", ".cache");
  return join(base, "prospect");
}
