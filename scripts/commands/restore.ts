// The words of `deno task restore`, and what it needs leave for.

import { dirname } from "node:path";
import { command, PathOption } from "../command.ts";
import type { Needs } from "../permissions.ts";

export const needs: Needs = {};

export const program = command(
  "restore",
  `Puts what deno task backup has copied in the place of a data folder, whole or not at all. No gateway and no trainer may
be at work on that folder.`,
)
  .addOption(new PathOption("--from <folder>", "the copy; it stays as it is", "write"))
  .addOption(new PathOption("--data-dir <folder>", "the gateway's", "write", dirname).default("data"))
  .option("--replace", "delete what is in the data folder now")
  .addHelpText(
    "after",
    `
Examples:
  deno task restore --from backups/monday
  deno task restore --from backups/monday --replace
A database on PostgreSQL is put back by pg_restore, and its folder by copying it.`,
  );
