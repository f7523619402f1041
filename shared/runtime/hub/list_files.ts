// What a repository of the hub holds: one request for names, sizes and hashes at a revision. It does not know which of
// the files are wanted.

import { z } from "zod";
import { ask } from "./ask.ts";
import type { HubModel } from "./hub_model.ts";
import { keepTrying, PassingTrouble, type Trials } from "./patience.ts";

/** A file as the hub lists it; mirrors may leave out all but the path. */
export interface ListedFile {
  path: string;
  /** In bytes. */
  size?: number;
  /** Of the content, for files in large file storage. */
  sha256?: string;
  /** Git's hash of the content, for the others. */
  blob?: string;
}

export interface Listing {
  /** The commit that the revision stands for, or the revision where the hub does not say. */
  commit: string;
  files: Map<string, ListedFile>;
}

const size = z.number().int().nonnegative().optional().catch(undefined);
const hash = (digits: number) => z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`)).optional().catch(undefined);

const listSchema = z.looseObject({
  sha: hash(40),
  siblings: z.array(z.looseObject({
    rfilename: z.string(),
    size,
    blobId: hash(40),
    lfs: z.looseObject({ sha256: hash(64), size }).nullish().catch(undefined),
  })),
});

/** @throws {InputError} where there is no such model or it may not be read; PassingTrouble for other failures */
export function listFiles(model: HubModel, trials: Omit<Trials, "what">): Promise<Listing> {
  const path = `/api/models/${model.id}/revision/${encodeURIComponent(model.revision)}?blobs=true`;
  return keepTrying(async () => {
    const parsed = listSchema.safeParse(await (await ask({ model, path, silence: trials.patience.silence })).json());
    if (!parsed.success) throw new PassingTrouble("its list of files is not as expected");
    const { sha, siblings } = parsed.data;
    const files = siblings.map(({ rfilename: path, size, blobId, lfs }): ListedFile => {
      const sha256 = lfs?.sha256, bytes = lfs?.size ?? size;
      return {
        path,
        ...(bytes === undefined ? {} : { size: bytes }),
        ...(sha256 ? { sha256 } : {}),
        // Of a file in large file storage it is the hash of the pointer to it.
        ...(blobId && !lfs ? { blob: blobId } : {}),
      };
    });
    return { commit: sha ?? model.revision, files: new Map(files.map((file) => [file.path, file])) };
  }, { ...trials, what: `The list of ${model.id}'s files` });
}
