// Where the gateway keeps things is the business of those who run it: sentences for others name no folder of this
// machine. It does not know who asks.

import { resolve } from "node:path";
import { ApiError } from "./errors.ts";

/** What a path is for those who may not know it. */
const instead = "a file of this server";

/** @param folders whose files are not named; a relative one is known by its full path too */
export function hidingFolders(folders: readonly string[]): (refusal: ApiError) => ApiError {
  const roots = [...new Set(folders.flatMap((folder) => [folder, resolve(folder)]))]
    // The longest first: a folder may lie in another. "/" and "." are in every sentence.
    .filter((folder) => /[^./\\]/.test(folder)).sort((a, b) => b.length - a.length);
  const paths = new RegExp(
    `(?<![\\w./-])(?:${roots.map(literally).join("|")})(?:[/\\\\][^\\s"',;:()]*|(?![\\w.-]))`,
    "g",
  );
  return (refusal) => {
    const message = refusal.message.replaceAll(paths, (path) => /[/\\]/.test(path) ? instead : path);
    return message === refusal.message
      ? refusal
      : new ApiError(refusal.status, message, refusal.param, refusal.code, refusal.headers);
  };
}

const literally = (text: string) => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
