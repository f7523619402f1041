// The words of `deno task backup`, and what it needs leave for.

import { dirname } from "node:path";
import { command, PathOption } from "../command.ts";
import type { Needs } from "../permissions.ts";
import { dataFolder } from "../service_options.ts";

export const needs: Needs = {};

export const program = command(
  "backup",
  `Copies what a gateway keeps: its database as it stands at one moment, and every file that it names. Gateway and trainer
may be at work meanwhile. Where DATABASE_URL is set, the database is PostgreSQL's own tools' to copy, before this.`,
)
  .addOption(dataFolder("the gateway's"))
  .addOption(new PathOption("--out <folder>", "where the copy is made; it must not be there yet", "write", dirname))
  .addHelpText(
    "after",
    `
Examples:
  deno task backup --out backups/monday
  pg_dump "$DATABASE_URL" --format=custom --file=monday.dump && deno task backup --out backups/monday
deno task restore puts a copy back.`,
  );
