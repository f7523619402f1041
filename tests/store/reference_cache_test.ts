// The reference cache: what goes in comes out, under keys that say what was scored, for several processes at once; and
// a file that cannot be used is refused by name.

import { assert, assertEquals, assertMatch, assertNotMatch, assertStrictEquals, assertThrows } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import { InputError } from "../../shared/errors.ts";
import { ReferenceCache, sequenceKey } from "../../shared/store/reference_cache.ts";
import { withFolder } from "../commands/run_task.ts";

const row = { promptIds: [1, 2, 3], completionIds: [4, 5] };

/** Opens a cache, and closes it after. */
function using<Result>(path: string, use: (cache: ReferenceCache) => Result): Result {
  const cache = ReferenceCache.open(path);
  try {
    return use(cache);
  } finally {
    cache.close();
  }
}

function refusal(path: string, use: (cache: ReferenceCache) => void = () => {}): string {
  let message = "";
  const error = assertThrows(() => using(path, use), InputError);
  message = error.message;
  assert(message.startsWith(`${path}: `), `the file is not named: ${message}`);
  assertNotMatch(message, /\n/);
  return message;
}

Deno.test("log-probs come back bit for bit, also after closing and for a part of a larger buffer", async () => {
  await withFolder((folder) => {
    const path = `${folder}/new/deep/reference.sqlite`, key = sequenceKey("model", row);
    const values = Float32Array.of(-1e-30, -0.1, -1234.5678, -0, -Infinity);
    const bits = (array: Float32Array) => new Uint32Array(array.slice().buffer); // 0 equals -0, its bits do not
    using(path, (cache) => {
      assertEquals(cache.find(key, 5), undefined);
      cache.store([]);
      cache.store([{ key, logProbs: values }, { key: sequenceKey("other", row), logProbs: values.subarray(1, 3) }]);
      assertEquals(bits(cache.find(key, 5)!), bits(values));
    });
    using(path, (cache) => {
      assertEquals(bits(cache.find(key, 5)!), bits(values));
      assertEquals(cache.find(sequenceKey("other", row), 2), values.slice(1, 3));
      assertEquals(cache.find(key, 4), undefined, "another number of tokens is another sequence");
      cache.store([{ key, logProbs: Float32Array.of(-2) }]);
      assertEquals(cache.find(key, 1), Float32Array.of(-2));
    });
    return Promise.resolve();
  });
});

Deno.test("a key tells the model, every id and the place where the completion starts apart, and nothing else", () => {
  const name = (model: string, promptIds: number[], completionIds: number[]) =>
    sequenceKey(model, { promptIds, completionIds }).toHex();
  const others = [
    name("other", [1, 2, 3], [4, 5]),
    name("model", [1, 2], [3, 4, 5]),
    name("model", [1, 2, 3, 4], [5]),
    name("model", [1, 2, 3], [4, 6]),
    name("model", [1, 2, 3], [5, 4]),
    name("model", [0, 2, 3], [4, 5]),
    name("model", [1, 2, 3], [4, 5, 0]),
    name("model", [1, 2, 3], [4 + 256, 5]),
    name("model", [1, 2, 3], [4 + 65536, 5]),
  ];
  assertEquals(new Set([...others, name("model", [1, 2, 3], [4, 5])]).size, others.length + 1);
  const labelled = { ...row, label: true, index: 7, line: 8 };
  assertEquals(sequenceKey("model", labelled), sequenceKey("model", row));
});

Deno.test("a store that fails half-way stores nothing, and the cache goes on", async () => {
  await withFolder((folder) => {
    using(`${folder}/reference.sqlite`, (cache) => {
      const key = sequenceKey("model", row), good = { key, logProbs: Float32Array.of(1) };
      const bad = { key: undefined as unknown as Uint8Array, logProbs: Float32Array.of(1) };
      assertThrows(() => cache.store([good, bad]));
      assertEquals(cache.find(key, 1), undefined);
      cache.store([good]);
      assertEquals(cache.find(key, 1), Float32Array.of(1));
    });
    return Promise.resolve();
  });
});

Deno.test("processes that create, write and read one cache at once lose nothing", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/reference.sqlite`, writers = 4, count = 60;
    const module = new URL("../../shared/store/reference_cache.ts", import.meta.url).href;
    const script = `${folder}/writer.ts`;
    await Deno.writeTextFile(
      script,
      `import { ReferenceCache, sequenceKey } from ${JSON.stringify(module)};
      const mine = Number(Deno.args[0]), cache = ReferenceCache.open(${JSON.stringify(path)});
      for (let i = 0; i < ${count}; i++) {
        const key = (writer) => sequenceKey("model", { promptIds: [writer], completionIds: [i] });
        cache.store([mine, 99].map((writer) => ({ key: key(writer), logProbs: Float32Array.of(writer, i) })));
        if (cache.find(key(mine), 2)?.[1] !== i) throw new Error("what was stored is not there");
      }
      cache.close();`,
    );
    const args = ["run", "--no-check", "--no-lock", "--allow-read", "--allow-write", script];
    const cwd = new URL("../../", import.meta.url);
    const ended = await Promise.all(
      Array.from(
        { length: writers },
        (_, writer) =>
          new Deno.Command(Deno.execPath(), { args: [...args, `${writer}`], cwd, stdout: "null", stderr: "piped" })
            .output(),
      ),
    );
    for (const { code, stderr } of ended) assertStrictEquals(code, 0, new TextDecoder().decode(stderr));
    using(path, (cache) => {
      for (const writer of [...Array(writers).keys(), 99]) {
        for (let i = 0; i < count; i++) {
          const found = cache.find(sequenceKey("model", { promptIds: [writer], completionIds: [i] }), 2);
          assertEquals(found, Float32Array.of(writer, i), `writer ${writer}, entry ${i}`);
        }
      }
    });
  });
});

Deno.test("a file that is no database, a damaged one, one of another version and an impossible place are refused by name", async () => {
  await withFolder(async (folder) => {
    const path = `${folder}/reference.sqlite`, key = sequenceKey("model", row);
    await Deno.writeTextFile(path, "this is no database, whatever its name says, ".repeat(40));
    assertMatch(refusal(path), /delete the file .* or set PROSPECT_CACHE/);

    await Deno.remove(path);
    using(path, (cache) => {
      const entries = Array.from({ length: 400 }, (_, i) => ({
        key: sequenceKey("model", { promptIds: [i], completionIds: [i] }),
        logProbs: new Float32Array(20),
      }));
      cache.store(entries);
    });
    const whole = await Deno.readFile(path);
    assert(whole.length > 4 * 4096);
    await Deno.writeFile(path, Uint8Array.from(whole, (byte, i) => i < 4096 ? byte : 0x5a));
    assertMatch(refusal(path, (cache) => cache.find(key, 1)), /delete the file/);
    assertMatch(refusal(path, (cache) => cache.store([{ key, logProbs: Float32Array.of(1) }])), /delete the file/);

    await Deno.writeFile(path, whole);
    const database = new DatabaseSync(path);
    database.exec("PRAGMA user_version = 1234");
    database.close();
    assertMatch(refusal(path), /another version of Prospect \(1234\); delete it or set PROSPECT_CACHE/);

    await Deno.writeTextFile(`${folder}/file`, "");
    refusal(`${folder}/file/reference.sqlite`);
    await Deno.mkdir(`${folder}/folder.sqlite`);
    refusal(`${folder}/folder.sqlite`);
  });
});

Deno.test("a cache in memory makes no file", () => {
  using(":memory:", () => {});
  assertThrows(() => Deno.statSync(":memory:"), Deno.errors.NotFound);
});
