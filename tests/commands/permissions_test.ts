// What the commands are let do: by the flags that the launcher computes, and by the processes that come of it.

import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { type Command, PathOption } from "../../scripts/command.ts";
import { type Needs, permissionFlags } from "../../scripts/permissions.ts";
import { InputError } from "../../shared/errors.ts";
import { taskArguments } from "../../shared/tasks.ts";
import { startGatewayProcess } from "../gateway/gateway_process.ts";
import { runTask, startTask, withFolder } from "./run_task.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { tasks } = JSON.parse(await Deno.readTextFile(`${root}deno.json`)) as {
  tasks: Record<string, { command: string }>;
};
const launched = Object.keys(tasks).filter((task) => tasks[task]!.command.includes("scripts/launch.ts"));

interface Words {
  program: Command;
  needs: Needs;
}

const scratch = "/tmp/prospect-scratch";

/** The flags of a command that was given `args`. */
async function flagsOf(task: string, args: string[]): Promise<string[]> {
  // Each time anew: commander keeps what it parsed.
  const { program, needs } = await import(`../../scripts/commands/${task}.ts?${crypto.randomUUID()}`) as Words;
  let flags: string[] = [];
  for (const command of program.commands.length > 0 ? program.commands : [program]) {
    command.exitOverride().action(() => void (flags = permissionFlags(command, needs, scratch)));
  }
  await program.parseAsync(args, { from: "user" });
  return flags;
}

/** The list of a flag. */
const listOf = (flags: string[], name: string) =>
  flags.find((each) => each.startsWith(`--allow-${name}=`))?.slice(name.length + 9).split(",") ?? [];

const subcommands: Record<string, string[]> = { keys: ["list"] };

Deno.test("every task that reads what strangers wrote is launched, and no launched one may do all of anything", async () => {
  const own = ["bench", "models", "mutants", "check", "test"];
  assertEquals(Object.keys(tasks).filter((task) => !launched.includes(task)).sort(), own.sort());
  for (const task of launched) {
    assertMatch(tasks[task]!.command, /^deno run --allow-read --allow-env --allow-ffi scripts\/launch\.ts [a-z]+$/);
    const flags = await flagsOf(task, subcommands[task] ?? []);
    for (const flag of flags) {
      assertMatch(flag, /^--(no-prompt|ignore-env|allow-ffi|allow-(read|write|net|env|sys|run)=[^,]+(,[^,]+)*)$/);
    }
    assertStrictEquals(flags.some((flag) => flag.startsWith("--allow-run")), ["serve", "demo"].includes(task), task);
  }
});

Deno.test("whatever paths are given, only they, the project's own and the cache's are read, and fewer written", async () => {
  const pathOptions = new Map<string, PathOption[]>();
  for (const task of launched) {
    const { program } = await import(`../../scripts/commands/${task}.ts`) as Words;
    const [command = program] = program.commands;
    pathOptions.set(task, command.options.filter((option) => option instanceof PathOption));
  }
  const cache = listOf(await flagsOf("train", []), "write").filter((each) => !each.includes("runs"));
  const path = fc.array(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9 ._=@-]{0,11}$/), { minLength: 1, maxLength: 3 })
    .map((parts) => `/tmp/given/${parts.join("/")}`);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...launched),
      fc.array(path, { minLength: 8, maxLength: 8 }),
      async (task, paths) => {
        const options = pathOptions.get(task)!;
        const args = options.flatMap((
          option,
          i,
        ) => [option.long!, option.flags.includes("name=") ? `n=${paths[i]}` : paths[i]!]);
        const flags = await flagsOf(task, [...subcommands[task] ?? [], ...args]);
        assert(flags.every((flag) => !/^(-A|--allow-all|--allow-(?!ffi)\w+)$/.test(flag)), flags.join(" "));
        for (const place of listOf(flags, "read")) {
          assert(place.startsWith("/tmp/given/") || !["/", "/tmp", "/etc", root.slice(0, -1)].includes(place), place);
        }
        const written = options.map((option, i) => option.access === "write" ? resolve(option.pathOf(paths[i]!)) : "");
        for (const place of listOf(flags, "write")) assert([...written, ...cache, scratch].includes(place), place);
      },
    ),
    { numRuns: 40 },
  );
});

Deno.test("a path with a comma is refused, and one with spaces is not", async () => {
  await assertRejects(
    () => flagsOf("gateway", ["--data-dir", "a,b"]),
    InputError,
    "a,b: Deno's permissions cannot name",
  );
  assert((await flagsOf("gateway", ["--data-dir", "/a b"])).some((flag) => listOf([flag], "write").includes("/a b")));
});

Deno.test("links are followed: a folder by a link, and files that are links as in the hub's own cache", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/model/onnx`, { recursive: true });
    await Deno.mkdir(`${folder}/blobs`);
    await Deno.writeTextFile(`${folder}/blobs/abc`, "");
    await Deno.symlink("../../blobs/abc", `${folder}/model/onnx/model.onnx`);
    await Deno.symlink("model", `${folder}/link`);
    const read = listOf(await flagsOf("gateway", ["--model", `${folder}/link`]), "read");
    for (const place of ["link", "model", "blobs/abc"]) assert(read.includes(`${folder}/${place}`), place);
    assert(!read.includes(folder));
  });
});

Deno.test("a database's place is all of the net that keys may reach", async () => {
  const before = Deno.env.get("DATABASE_URL");
  const places: [url: string, net: string[]][] = [
    ["postgres://me:secret@db.example.com/name", ["db.example.com:5432"]],
    ["postgresql://[::1]:6000/name", ["[::1]:6000"]],
    ["postgres:///name?host=/run/pg", ["unix:/run/pg/.s.PGSQL.5432"]],
    ["postgres://%2Frun%2Fpg/name", ["unix:/run/pg/.s.PGSQL.5432"]],
    ["", []],
  ];
  try {
    for (const [url, net] of places) {
      Deno.env.set("DATABASE_URL", url);
      assertEquals(listOf(await flagsOf("keys", ["list"]), "net"), net, url);
    }
  } finally {
    if (before === undefined) Deno.env.delete("DATABASE_URL");
    else Deno.env.set("DATABASE_URL", before);
  }
});

Deno.test("under a gateway's flags nothing else is read, written, reached, run or known", async () => {
  await withFolder(async (folder) => {
    const flags = await flagsOf("gateway", ["--data-dir", `${folder}/data`, "--port", "8123"]);
    const asked: Deno.PermissionDescriptor[] = [
      { name: "read" },
      { name: "read", path: "/etc/passwd" },
      { name: "read", path: folder },
      { name: "read", path: root },
      { name: "write" },
      { name: "write", path: `${root}scripts/gateway.ts` },
      { name: "write", path: `${folder}/beside` },
      { name: "net" },
      { name: "net", host: "127.0.0.1:22" },
      { name: "net", host: "example.com" },
      { name: "run" },
      { name: "run", command: Deno.execPath() },
      { name: "env" },
      { name: "env", variable: "SSH_AUTH_SOCK" },
      { name: "sys" },
      { name: "sys", kind: "uid" },
    ];
    const given: Deno.PermissionDescriptor[] = [
      { name: "read", path: `${folder}/data/x` },
      { name: "write", path: `${folder}/data/x` },
      { name: "net", host: "127.0.0.1:8123" },
    ];
    const script = `${folder}/ask.ts`;
    await Deno.writeTextFile(
      script,
      `console.log(JSON.stringify(JSON.parse(Deno.args[0]).map((each) => Deno.permissions.querySync(each).state)))`,
    );
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", ...flags, script, JSON.stringify([...asked, ...given])],
    }).output();
    const states: string[] = JSON.parse(new TextDecoder().decode(stdout));
    asked.forEach((each, i) => assertNotEquals(states[i], "granted", JSON.stringify(each)));
    given.forEach((each, i) => assertEquals(states[asked.length + i], "granted", JSON.stringify(each)));
  });
});

Deno.test("a running gateway refuses an adapter elsewhere in one sentence, and takes it from --adapter-dir", async () => {
  await withFolder(async (folder) => {
    const gateway = await startGatewayProcess(folder, { args: ["--adapter-dir", join(folder, "adapters")] });
    try {
      const put = async (path: string) => {
        const response = await fetch(`${gateway.address}/v1/adapters/new`, {
          method: "PUT",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ path }),
        });
        return { status: response.status, message: (await response.json()).error?.message as string };
      };
      const outside = await put("/etc");
      assertEquals(outside.status, 400);
      assertMatch(outside.message, /^\/etc: the adapter is outside of the folders .* --adapter-dir \//);
      assertMatch((await put(join(folder, "adapters/none"))).message, /no such file; an adapter folder holds/);
    } finally {
      await gateway.stop();
    }
  });
});

Deno.test("a task is one process: its signals, its exit code and its stdin are those of the one that was started", async () => {
  await withFolder(async (folder) => {
    const options = { cache: join(folder, "cache") };
    const { code, stderr } = await runTask(
      "keys",
      ["create", "--scope", "nobody", "--data-dir", `${folder}/d`],
      options,
    );
    assertEquals([code, stderr.trim().split("\n").length], [2, 1], stderr);
    assertEquals((await runTask("gateway", ["--port", "none"], options)).code, 2);
    assertEquals((await runTask("gateway", ["--help"], options)).code, 0);
    const child = new Deno.Command(Deno.execPath(), {
      args: [...taskArguments("trainer"), "--data-dir", `${folder}/data`, "--follow-parent"],
      cwd: root,
      env: { PROSPECT_CACHE: options.cache },
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const said = new Response(child.stderr).text();
    await child.stdin.close();
    assertEquals((await child.status).code, 0, await said);
    await said;
    const killed = startTask("trainer", ["--data-dir", `${folder}/new`], options);
    while (!existsSync(`${folder}/new/prospect.sqlite`)) await new Promise((resolve) => setTimeout(resolve, 50));
    killed.process.kill("SIGKILL");
    await killed.ended;
    // The folder is free at once: nothing of the killed one is left. Its stdin is empty, so that the next ends by itself.
    const next = await runTask("trainer", ["--data-dir", `${folder}/new`, "--follow-parent"], options);
    assertEquals(next.code, 0, next.stderr);
  });
});
