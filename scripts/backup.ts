// `deno task backup`: copies a data folder while a gateway and a trainer are at work.

import { backUpFolder } from "../shared/store/folder_backup.ts";
import { required, runCommand } from "./command.ts";
import { program } from "./commands/backup.ts";

program.action(async ({ dataDir, out }: { dataDir: string; out?: string }) => {
  const place = required(out, "--out"), onServer = Boolean(Deno.env.get("DATABASE_URL"));
  const files = await backUpFolder(dataDir, place, !onServer);
  const rest = onServer ? " The database is not among them: copy it with pg_dump, before the files." : "";
  console.log(`Copied ${files} files of ${dataDir} to ${place}.${rest}`);
});

await runCommand(program);
