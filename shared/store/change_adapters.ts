// Adapters that people load and remove by hand. Nothing that an alias asks for or a job starts from is changed under
// them: both are seen within the write that would. Does not know where an adapter's files are.

import { aliasNaming, type Arm, servedAlias, setAlias } from "./aliases.ts";
import { openJobs } from "./jobs.ts";
import { listPromotions, standing } from "./promotions.ts";
import type { Queries } from "./queries.ts";
import {
  adapterOf,
  deleteAdapter,
  findAdapter,
  modelOf,
  registerAdapter,
  type RegisteredAdapter,
  RegistryConflictError,
} from "./registry.ts";

/** What is known of an adapter that somebody brought. */
export type BroughtAdapter = Pick<RegisteredAdapter, "name" | "base" | "folder" | "version">;

const elsewhere = "load these files under another name";

/**
 * Takes an adapter into the registry that no job made; within a write. It has passed no gate, so it is promoted only with
 * override. Bringing the same files once more changes nothing.
 *
 * @returns the adapter that had the name before, where it had other files
 * @throws RegistryConflictError where the name's files may not change: a job made them, an alias asks for them, or a job
 * that is not over starts from them
 */
export async function bringAdapter(queries: Queries, brought: BroughtAdapter): Promise<RegisteredAdapter | undefined> {
  const model = modelOf(brought.name), known = await findAdapter(queries, brought.name);
  if (known?.version === brought.version && known.base === brought.base) return undefined;
  if (known && known.jobId !== null) {
    throw new RegistryConflictError(`${model} was made by the job ${known.jobId}; ${elsewhere}.`, "name_taken");
  }
  const alias = await aliasNaming(queries, model);
  // A store that an older Prospect wrote may have the alias and not the adapter: then there is nothing to hold it against.
  const { current } = standing(await listPromotions(queries, servedAlias));
  const promoted = current.model === model ? current.version : null;
  if (alias !== undefined && (known?.version ?? promoted ?? brought.version) !== brought.version) {
    throw keepsFiles(alias, model);
  }
  await checkJobs(queries, model);
  if (known) await deleteAdapter(queries, known.name);
  await registerAdapter(queries, {
    ...brought,
    createdAt: Date.now(),
    parent: "base",
    jobId: null,
    data: { source: "loaded by hand" },
    metrics: {},
    gate: null,
    files: {},
  });
  return known;
}

/**
 * Takes an adapter out of the registry; within a write.
 *
 * @returns it; undefined where there is none of that name
 * @throws RegistryConflictError where an alias asks for it, or a job that is not over starts from it
 */
export async function removeAdapter(queries: Queries, name: string): Promise<RegisteredAdapter | undefined> {
  const model = modelOf(name), known = await findAdapter(queries, name);
  if (!known) return undefined;
  const alias = await aliasNaming(queries, model);
  if (alias !== undefined) throw inUse(alias, model);
  await checkJobs(queries, model);
  await deleteAdapter(queries, name);
  return known;
}

/** Points an alias to arms; within a write. @throws RegistryConflictError where an arm's adapter was removed meanwhile */
export async function spreadAlias(queries: Queries, name: string, arms: readonly Arm[]): Promise<void> {
  for (const { model } of arms) {
    const adapter = adapterOf(model);
    if (adapter == null || await findAdapter(queries, adapter)) continue;
    throw new RegistryConflictError(`${model} was removed from the registry meanwhile.`, "changed");
  }
  await setAlias(queries, name, arms);
}

/** The refusal to give a name that an alias asks for other files. */
export const keepsFiles = (alias: string, model: string): RegistryConflictError =>
  new RegistryConflictError(
    `The alias "${alias}" sends requests to ${model}, which has other files; ${elsewhere} and promote that, ` +
      `or change the alias first.`,
    "name_taken",
  );

/** The refusal to remove what an alias asks for. */
export const inUse = (alias: string, model: string): RegistryConflictError =>
  new RegistryConflictError(`The alias "${alias}" sends requests to ${model}; change it first.`, "in_use");

async function checkJobs(queries: Queries, model: string): Promise<void> {
  const job = (await openJobs(queries)).find(({ request }) => request.model === model);
  if (!job) return;
  throw new RegistryConflictError(`The job ${job.id} starts from ${model}; wait for its end, or cancel it.`, "in_use");
}
