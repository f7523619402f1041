// `deno task keys`: makes, lists and revokes the gateway's API keys.

import { InputError } from "../shared/errors.ts";
import type { Database } from "../shared/store/database.ts";
import { openStore } from "../shared/store/open_store.ts";
import { createKey, listKeys, revokeKey, type Scope, scopes } from "../shared/store/keys.ts";
import { runCommand } from "./command.ts";
import { create, program, revoke, show } from "./commands/keys.ts";

interface KeyOptions {
  dataDir: string;
  scope?: string[];
  name?: string;
  owner?: string;
  requestsPerDay?: number;
  bytesPerDay?: number;
}

function readScopes(given: string[] | undefined): Scope[] {
  if (given === undefined || given.length === 0) {
    throw new InputError(`--scope is needed: ${scopes.join(", ")}, or several with commas.`);
  }
  const unknown = given.find((scope) => !scopes.includes(scope as Scope));
  if (unknown !== undefined) throw new InputError(`--scope ${unknown}: there are ${scopes.join(", ")}.`);
  return [...new Set(given as Scope[])];
}

/** Opens the store that the gateway uses under the same options. */
async function withStore({ dataDir }: KeyOptions, use: (database: Database) => Promise<void>): Promise<void> {
  const database = await openStore(dataDir, Deno.env.get("DATABASE_URL") || undefined);
  try {
    await use(database);
  } finally {
    await database.close();
  }
}

create.action(async (options: KeyOptions) => {
  const granted = readScopes(options.scope);
  await withStore(options, async (database) => {
    const { name, owner, requestsPerDay, bytesPerDay } = options;
    const { secret, id } = await createKey(database, { scopes: granted, name, owner, requestsPerDay, bytesPerDay });
    console.log(secret);
    const whose = owner === undefined ? "" : ` of ${owner}`;
    console.error(`Key ${id}${whose} with ${granted.join(", ")}. It is not shown again.`);
  });
});

show.action((options: KeyOptions) =>
  withStore(options, async (database) => {
    for (const key of await listKeys(database)) {
      const { id, name, owner, scopes, requestsPerDay, bytesPerDay, createdAt, revokedAt } = key;
      const words = [
        id,
        scopes.join(","),
        new Date(createdAt).toISOString(),
        ...(revokedAt === null ? [] : [`revoked ${new Date(revokedAt).toISOString()}`]),
        ...(owner === null ? [] : [`owner=${owner}`]),
        ...(requestsPerDay === null ? [] : [`requests-per-day=${requestsPerDay}`]),
        ...(bytesPerDay === null ? [] : [`bytes-per-day=${bytesPerDay}`]),
        ...(name === null ? [] : [name]),
      ];
      console.log(words.join(" "));
    }
  })
);

revoke.action((id: string, options: KeyOptions) =>
  withStore(options, async (database) => {
    if (!await revokeKey(database, id)) {
      throw new InputError(`There is no key ${id} in use; see deno task keys list.`);
    }
    console.log(`Revoked ${id}.`);
  })
);

await runCommand(program);
