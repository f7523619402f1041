// `deno task gateway` and `deno task keys` as commands: what they refuse, in one sentence and with exit code 2.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals } from "@std/assert";
import { existsSync } from "node:fs";
import { freePort, launchGateway, untilReady } from "../gateway/gateway_process.ts";
import { runTask, succeed, withFolder } from "./run_task.ts";

const gateway = (folder: string, ...args: (string | number)[]) =>
  runTask("gateway", ["--port", 0, "--data-dir", `${folder}/data`, "--workers", 1, ...args], {
    cache: `${folder}/cache`,
  });

const keys = (folder: string, ...args: string[]) =>
  runTask("keys", [...args, "--data-dir", `${folder}/data`], { cache: `${folder}/cache` });

/** Lines that are not the log's. */
const sentences = (stderr: string) => stderr.split("\n").filter((line) => line.trim() !== "" && !line.startsWith("{"));

Deno.test("what the gateway cannot start with is refused with 2 and a sentence that names it", async () => {
  await withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/empty`);
    const refusals: Record<string, [args: (string | number)[], says: RegExp]> = {
      "an alias without arms": [["--alias", "prospect"], /--alias prospect: write NAME=MODEL:WEIGHT/],
      "an alias to no model": [["--alias", "prospect=gpt-9:1"], /"gpt-9:1" is no model/],
      "an alias without weight": [["--alias", "prospect=base:0"], /add up to nothing/],
      "an alias twice": [["--alias", "a=base", "--alias", "a=base"], /set twice/],
      "an alias to an adapter that is not loaded": [
        ["--alias", "prospect=base:new:10"],
        /no such adapter; load it with --adapter new=FOLDER/,
      ],
      "an adapter without a folder": [["--adapter", "new"], /write NAME=FOLDER/],
      "an adapter that is not there": [["--adapter", `new=${folder}/none`], /none/],
      "a folder that is no adapter": [["--adapter", `new=${folder}/empty`], /empty.*adapter_config\.json/],
      "a model that is not there": [["--model", `${folder}/none`], /none/],
      "a folder that is no model": [["--model", `${folder}/empty`], /empty/],
      "an origin that is none": [
        ["--cors-origin", "app.example.com"],
        /--cors-origin app\.example\.com: write an origin/,
      ],
      "a device that is none": [["--device", "abacus"], /abacus/],
      "a port that is none": [["--port", 70000], /port.*65535/],
      "no workers": [["--workers", 0], /workers/],
      "a negative rate": [["--rate-limit", -1], /rate-limit/],
      "more connections than open files": [
        ["--max-connections", 10_000_000],
        /--max-connections 10000000: .*files open/,
      ],
      "a proxy that is no address": [["--trusted-proxy", "proxy.example"], /--trusted-proxy proxy\.example: write an/],
      "an unknown option": [["--colour", "red"], /unknown option '--colour'/],
      "an address of another machine": [["--host", "192.0.2.1", "--require-keys"], /192\.0\.2\.1/],
    };
    const left = Object.entries(refusals);
    const serve = async () => {
      for (let next = left.shift(); next; next = left.shift()) {
        const [what, [args, says]] = next;
        const { code, stderr, stdout } = await gateway(folder, ...args);
        const said = `${what}: exit ${code}\n${stderr}`;
        assertEquals(code, 2, said);
        assertMatch(stderr, says, said);
        assert(sentences(stderr).length <= 2, said);
        assertNotMatch(stderr, /^\s+at /m, said);
        assertEquals(stdout, "", "it did not say that it listens");
      }
    };
    await Promise.all([serve(), serve()]);
    const { address, running } = launchGateway(folder);
    await untilReady(address, running);
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0, "what was refused is not kept");
  });
});

Deno.test("a port in use is refused with 2 and says which", async () => {
  await withFolder(async (folder) => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    const { code, stderr } = await gateway(folder, "--port", port);
    assertEquals(code, 2, stderr);
    assertEquals(sentences(stderr), [`Port ${port} on 127.0.0.1 is in use; choose another with --port.`]);
  });
});

Deno.test("keys that are asked for on loopback are refused with 2 and the command that makes one, before the first start", async () => {
  await withFolder(async (folder) => {
    const refused = await gateway(folder, "--require-keys");
    assertEquals(refused.code, 2, refused.stderr);
    const command = `deno task keys create --scope admin --data-dir ${folder}/data`;
    assertEquals(sentences(refused.stderr), [
      `API keys are needed with --require-keys and none was made yet: make one with ${command}, then start again.`,
    ]);
    await Deno.remove(`${folder}/data`, { recursive: true });
    const [, , , ...args] = command.split(" ");
    await succeed("keys", args, { cache: `${folder}/cache` });
    const { address, running } = launchGateway(folder, { args: ["--require-keys"] });
    await untilReady(address, running);
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0);
  });
});

Deno.test("an open address without keys is refused with 2 and the command that makes one; that command opens it", async () => {
  await withFolder(async (folder) => {
    const refused = await gateway(folder, "--host", "0.0.0.0");
    assertEquals(refused.code, 2, refused.stderr);
    const [, command] = /(deno task keys create .*?),/.exec(refused.stderr) ?? [];
    assertStrictEquals(command, `deno task keys create --scope admin --data-dir ${folder}/data`);
    const [, , , ...args] = command.split(" ");
    const { stdout } = await succeed("keys", args, { cache: `${folder}/cache` });
    const port = freePort();
    const { address, running } = launchGateway(folder, { port, args: ["--host", "0.0.0.0"] });
    await untilReady(address, running);
    const status = async (headers: Record<string, string>) => {
      const response = await fetch(`${address}/v1/models`, { headers });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await status({}), 401);
    assertEquals(await status({ Authorization: `Bearer ${stdout.trim()}` }), 200);
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0);
  });
});

Deno.test("keys are printed once, listed without their secrets, and revoked; a gateway that runs hears of it", async () => {
  await withFolder(async (folder) => {
    const made = await keys(folder, "create", "--scope", "inference,feedback", "--name", "the app");
    assertEquals(made.code, 0, made.stderr);
    const secret = made.stdout.trim();
    assertMatch(secret, /^pk-[\w-]{43}$/);
    const [, id] = /(key-[0-9a-f]{36})/.exec(made.stderr)!;
    const listed = await keys(folder, "list");
    assertMatch(listed.stdout, new RegExp(`^${id} inference,feedback \\S+ the app\n$`));
    for await (const { name } of Deno.readDir(`${folder}/data`)) {
      const bytes = new TextDecoder("latin1").decode(await Deno.readFile(`${folder}/data/${name}`));
      assert(!bytes.includes(secret), `${name} holds the secret`);
    }

    const { address, running } = launchGateway(folder, { args: ["--require-keys"] });
    await untilReady(address, running);
    const ask = async () => {
      const response = await fetch(`${address}/v1/models`, { headers: { Authorization: `Bearer ${secret}` } });
      await response.body?.cancel();
      return response.status;
    };
    assertEquals(await ask(), 200);
    const revoked = await keys(folder, "revoke", id!);
    assertEquals(revoked.stdout, `Revoked ${id}.\n`);
    const patience = Date.now() + 5000;
    while (await ask() !== 401) assert(Date.now() < patience, "the revoked key still opens");
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0);

    assertMatch((await keys(folder, "list")).stdout, / revoked \S+ the app\n$/);
    const again = await keys(folder, "revoke", id!);
    assertEquals([again.code, sentences(again.stderr).length], [2, 1]);
    const reopened = await gateway(folder, "--require-keys");
    assertEquals(reopened.code, 2, "a revoked key is no key");
  });
});

Deno.test("keys with no scope or an unknown one are refused with 2, and nothing is made", async () => {
  await withFolder(async (folder) => {
    for (const args of [[], ["--scope", ""], ["--scope", "everything"], ["--scope", "inference,root"]]) {
      const { code, stdout, stderr } = await keys(folder, "create", ...args);
      assertEquals(code, 2, stderr);
      assertMatch(stderr, /inference, feedback, reviewer, admin/);
      assertEquals(stdout, "");
    }
    assert(!existsSync(`${folder}/data`));
  });
});

Deno.test("the data folder is its owner's alone, and a folder that cannot be one is refused with 2", async () => {
  await withFolder(async (folder) => {
    assertEquals((await keys(folder, "list")).code, 0);
    assertEquals(Deno.statSync(`${folder}/data`).mode! & 0o777, 0o700);
    await Deno.writeTextFile(`${folder}/file`, "");
    for (const task of ["keys", "gateway"]) {
      const args = task === "keys" ? ["list"] : ["--port", 0];
      const { code, stderr } = await runTask(task, [...args, "--data-dir", `${folder}/file`], { cache: folder });
      assertEquals(code, 2, stderr);
      assertMatch(stderr, /file/);
    }
    const unreachable = { cache: folder, env: { DATABASE_URL: "postgres://me:secret@127.0.0.1:1/none" } };
    const { code, stderr } = await runTask("gateway", ["--port", 0, "--data-dir", `${folder}/data`], unreachable);
    assertEquals(code, 2, stderr);
    assertMatch(stderr, /PostgreSQL at 127\.0\.0\.1:1\/none cannot be reached/);
    assertNotMatch(stderr, /secret/);
  });
});

Deno.test("uploads that a killed gateway left behind are removed after a day", async () => {
  await withFolder(async (folder) => {
    const data = `${folder}/data`, yesterday = new Date(Date.now() - 25 * 60 * 60 * 1000);
    await Deno.mkdir(data);
    for (const name of ["scratch-old", "scratch-new", "notes"]) await Deno.writeTextFile(`${data}/${name}`, "words");
    for (const name of ["scratch-old", "notes"]) await Deno.utime(`${data}/${name}`, yesterday, yesterday);
    const { address, running } = launchGateway(folder);
    await untilReady(address, running);
    running.process.kill("SIGTERM");
    assertEquals((await running.ended).code, 0);
    assertEquals(["scratch-old", "scratch-new", "notes"].map((name) => existsSync(`${data}/${name}`)), [
      false,
      true,
      true,
    ]);
  });
});
