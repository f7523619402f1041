// `deno task restore`: puts a copy of a data folder back.

import { restoreFolder } from "../shared/store/folder_backup.ts";
import { command, required, runCommand } from "./command.ts";

const program = command(
  "restore",
  `Puts what deno task backup has copied in the place of a data folder, whole or not at all. No gateway and no trainer may
be at work on that folder.`,
)
  .option("--from <folder>", "the copy; it stays as it is")
  .option("--data-dir <folder>", "the gateway's", "data")
  .option("--replace", "delete what is in the data folder now")
  .addHelpText(
    "after",
    `
Examples:
  deno task restore --from backups/monday
  deno task restore --from backups/monday --replace
A database on PostgreSQL is put back by pg_restore, and its folder by copying it.`,
  )
  .action(async ({ from, dataDir, replace }: { from?: string; dataDir: string; replace?: boolean }) => {
    const files = await restoreFolder(required(from, "--from"), dataDir, replace === true);
    console.log(`Put ${files} files back into ${dataDir}.`);
  });

await runCommand(program);
