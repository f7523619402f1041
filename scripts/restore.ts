// `deno task restore`: puts a copy of a data folder back.

import { restoreFolder } from "../shared/store/folder_backup.ts";
import { required, runCommand } from "./command.ts";
import { program } from "./commands/restore.ts";

program.action(async ({ from, dataDir, replace }: { from?: string; dataDir: string; replace?: boolean }) => {
  const files = await restoreFolder(required(from, "--from"), dataDir, replace === true);
  console.log(`Put ${files} files back into ${dataDir}.`);
});

await runCommand(program);
