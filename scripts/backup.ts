// `deno task backup`: copies a data folder while a gateway and a trainer are at work.

import { backUpFolder } from "../shared/store/folder_backup.ts";
import { command, required, runCommand } from "./command.ts";

const program = command(
  "backup",
  `Copies what a gateway keeps: its database as it stands at one moment, and every file that it names. Gateway and trainer
may be at work meanwhile. Where DATABASE_URL is set, the database is PostgreSQL's own tools' to copy, before this.`,
)
  .option("--data-dir <folder>", "the gateway's", "data")
  .option("--out <folder>", "where the copy is made; it must not be there yet")
  .addHelpText(
    "after",
    `
Examples:
  deno task backup --out backups/monday
  pg_dump "$DATABASE_URL" --format=custom --file=monday.dump && deno task backup --out backups/monday
deno task restore puts a copy back.`,
  )
  .action(async ({ dataDir, out }: { dataDir: string; out?: string }) => {
    const place = required(out, "--out"), onServer = Boolean(Deno.env.get("DATABASE_URL"));
    const files = await backUpFolder(dataDir, place, !onServer);
    const rest = onServer ? " The database is not among them: copy it with pg_dump, before the files." : "";
    console.log(`Copied ${files} files of ${dataDir} to ${place}.${rest}`);
  });

await runCommand(program);
