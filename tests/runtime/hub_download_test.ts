// A file of the hub arrives whole or not at all, whatever the net does: cut connections, changed and damaged files,
// servers without ranges, silence, refusals that pass, redirects, and two who fetch the same at once.

import assert from "node:assert/strict";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ModelFolder, resolveModelFolder } from "../../shared/runtime/model_folder.ts";
import { runTask, startTask, withFolder } from "../commands/run_task.ts";
import { SHARED, sharedTest } from "../feedback/shared_files.ts";
import { asSentence, small } from "./hub_sentences.ts";
import {
  brokenOff,
  fallenSilent,
  type LocalHub,
  type Place,
  serveBytes,
  tagOf,
  withEnvironment,
  withRepository,
  withServer,
} from "./local_hub.ts";

const weights = Uint8Array.from({ length: 100_000 }, (_, i) => Math.imul(i + 1, 2654435761) >>> 23);
const changed = weights.map((byte) => byte ^ 1);
const data = "onnx/model.onnx_data", files = { ...small, "onnx/model.onnx": "graph", [data]: weights };

const find = ({ options }: Place): Promise<ModelFolder> => resolveModelFolder("owner/name", options);
/** The tag of what has arrived: arrays of this length take long to be shown where they differ. */
const arrived = ({ folder }: Place) => tagOf(Deno.readFileSync(join(folder, data)));
const partials = ({ folder }: Place) =>
  readdirSync(folder, { recursive: true }).map(String).filter((name) => name.endsWith(".partial"));
const ofWeights = ({ asked }: LocalHub) => asked.filter(({ file }) => file === data);

/** Trouble with the weights alone; the nth request for them has the nth answer, later ones the usual. */
function withWeights(...answers: ((request: Request) => Response)[]): LocalHub["trouble"] {
  return (path, request) => path.endsWith(data) ? answers.shift()?.(request) : undefined;
}

/** A call that is cut off for good after `after` bytes of the weights. */
async function cutOff(hub: LocalHub, place: Place, after: number): Promise<void> {
  hub.trouble = (path) => path.endsWith(data) ? brokenOff(weights, after) : undefined;
  await assert.rejects(
    find(place),
    asSentence(/^Could not download owner\/name from http.*: check the network and run the same command again, which/),
  );
  hub.trouble = undefined;
  hub.asked.length = 0;
}

Deno.test("a download that is cut off goes on by itself at the byte where it stopped", async () => {
  await withRepository(files, async (hub, place) => {
    hub.trouble = withWeights(
      () => brokenOff(weights, 40_000),
      (request) => brokenOffAt(request, 70_000),
    );
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
    assert.deepEqual(ofWeights(hub), [{ file: data, range: "bytes=70000-", ifRange: tagOf(weights) }]);
    assert.match(place.remarks[0]!, /^onnx\/model\.onnx_data: .+; trying again in 1 s\.$/);
    assert.equal(place.remarks.length, 2);
    const steps = place.progress.filter(({ file }) => file === data);
    assert.ok(steps.every(({ loaded, total }, i) => total === 100_000 && loaded > (steps[i - 1]?.loaded ?? 0)));
    assert.deepEqual(partials(place), []);
  });
});

/** The rest that was asked for, cut at a byte of the file. */
function brokenOffAt(request: Request, at: number): Response {
  const from = Number(/\d+/.exec(request.headers.get("range") ?? "")?.[0]);
  const cut = brokenOff(weights.slice(from), at - from, { "content-range": `bytes ${from}-99999/100000` });
  return new Response(cut.body, { status: 206, headers: { ...Object.fromEntries(cut.headers), etag: tagOf(weights) } });
}

for (const listsHashes of [true, false]) {
  const hub = listsHashes ? "a hub that lists hashes" : "a mirror that lists names alone";
  Deno.test(`the next call goes on where one was cut off, from ${hub}`, async () => {
    await withRepository(files, async (hub, place) => {
      hub.listsHashes = listsHashes;
      await cutOff(hub, place, 60_000);
      assert.equal(partials(place).length, 1);
      assert.deepEqual(
        readdirSync(join(place.folder, "onnx")).filter((name) => !name.endsWith(".partial")),
        [],
        "a half file has the name of a whole one",
      );
      await find(place);
      assert.equal(arrived(place), tagOf(weights));
      // Without a hash only the server knows whether the file is still the same: one look first.
      const look = { file: data, range: null, ifRange: null };
      const rest = { file: data, range: "bytes=60000-", ifRange: listsHashes ? null : tagOf(weights) };
      assert.deepEqual(ofWeights(hub), listsHashes ? [rest] : [look, rest]);
      assert.deepEqual(partials(place), []);
      assert.equal(hub.asked.filter(({ file }) => file === "config.json").length, 0);
    });
  });

  Deno.test(`a file that has changed since begins again, from ${hub}`, async () => {
    await withRepository(files, async (hub, place) => {
      hub.listsHashes = listsHashes;
      await cutOff(hub, place, 60_000);
      writeFileSync(join(hub.folder, data), changed);
      await find(place);
      assert.equal(arrived(place), tagOf(changed));
      assert.deepEqual(ofWeights(hub), [{ file: data, range: null, ifRange: null }]);
      assert.deepEqual(partials(place), [], "the part of the old file is still there");
    });
  });
}

Deno.test("a file that changes between two tries of one call begins again", async () => {
  await withRepository(files, async (hub, place) => {
    hub.listsHashes = false;
    hub.trouble = withWeights(() => {
      writeFileSync(join(hub.folder, data), changed);
      return brokenOff(weights, 60_000);
    });
    await find(place);
    assert.equal(arrived(place), tagOf(changed));
    assert.match(place.remarks[1]!, /^onnx\/model\.onnx_data: it has changed on the hub, so it begins again; /);
  });
});

Deno.test("what a cut download left of an older commit is not mixed with files of a newer one", async () => {
  await withRepository(files, async (hub, place) => {
    await cutOff(hub, place, 60_000);
    // As long as before.
    writeFileSync(join(hub.folder, "config.json"), '{"model_type":"gemma"}');
    await find(place);
    assert.match(Deno.readTextFileSync(join(place.folder, "config.json")), /gemma/);
    assert.deepEqual(hub.asked.map(({ file }) => file), ["config.json", data, "onnx/model.onnx"]);
  });
});

Deno.test("a server without ranges, or one that answers another range, is asked for the whole", async () => {
  const whole = () => new Response(weights, { headers: { etag: tagOf(weights) } });
  const ranged = (range: string) => () =>
    new Response(weights.slice(10), { status: 206, headers: { "content-range": range, etag: tagOf(weights) } });
  const odd: Record<string, () => Response> = {
    "200 to a range": whole,
    "another beginning": ranged("bytes 10-99999/100000"),
    "another length": ranged("bytes 60000-99999/99999"),
    "a range without a name": () => new Response(weights.slice(60_000), { status: 206 }),
    "416": () => new Response(null, { status: 416 }),
  };
  for (const [what, answer] of Object.entries(odd)) {
    for (const listsHashes of [true, false]) {
      await withRepository(files, async (hub, place) => {
        hub.listsHashes = listsHashes;
        await cutOff(hub, place, 60_000);
        hub.trouble = (path, request) => {
          return path.endsWith(data) && request.headers.has("range") ? answer() : undefined;
        };
        await find(place);
        assert.equal(arrived(place), tagOf(weights), what);
        assert.deepEqual(place.remarks.slice(4), [], `${what}: tried again`);
      });
    }
  }
});

Deno.test("a file without an entity tag or a hash is never put together from two answers", async () => {
  await withRepository(files, async (hub, place) => {
    hub.listsHashes = false;
    const untagged = (response: Response) => {
      response.headers.delete("etag");
      return response;
    };
    hub.trouble = withWeights(
      () => untagged(brokenOff(weights, 60_000)),
      (request) => {
        assert.equal(request.headers.get("range"), null);
        return untagged(new Response(changed));
      },
    );
    await find(place);
    assert.equal(arrived(place), tagOf(changed));
    assert.deepEqual(partials(place), []);
  });
});

Deno.test("a body that is compressed against the request's wish is unpacked, and its length not taken for the file's", async () => {
  await withRepository(files, async (hub, place) => {
    for (const listsHashes of [true, false]) {
      hub.listsHashes = listsHashes;
      const packed = await new Response(new Response(weights).body!.pipeThrough(new CompressionStream("gzip"))).bytes();
      const headers = { "content-encoding": "gzip", "content-length": `${packed.length}`, etag: tagOf(weights) };
      hub.trouble = withWeights((request) => {
        assert.equal(request.headers.get("accept-encoding"), "identity");
        return new Response(packed, { headers });
      });
      await find(place);
      assert.equal(arrived(place), tagOf(weights));
      assert.deepEqual(place.remarks, []);
      await Deno.remove(place.folder, { recursive: true });
      hub.trouble = withWeights(() => new Response(packed, { headers: { ...headers, "content-encoding": "br" } }));
      await assert.rejects(find(place), asSentence(/compresses files \(br\) although asked not to/));
      await Deno.remove(place.folder, { recursive: true });
    }
  });
});

Deno.test("an answer that ends early without a word, and a piece that is too long, do not become the file", async () => {
  await withRepository(files, async (hub, place) => {
    // Without a length of its own; the listing has one.
    hub.trouble = withWeights(() => new Response(new Blob([weights.slice(0, 50_000)]).stream()));
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
    assert.match(place.remarks[0]!, /_data: it ended after 50000 of 100000 bytes; trying again/);
    await Deno.remove(place.folder, { recursive: true });
    await cutOff(hub, place, 60_000);
    const [piece] = partials(place);
    writeFileSync(join(place.folder, piece!), new Uint8Array(200_000));
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
  });
});

Deno.test("a file whose hash is not the hub's is fetched once more, and never gets its name", async () => {
  await withRepository(files, async (hub, place) => {
    const damaged = () => new Response(changed);
    hub.trouble = withWeights(damaged, damaged);
    await assert.rejects(
      find(place),
      asSentence(/^onnx\/model\.onnx_data of the hub's owner\/name arrived damaged twice/),
    );
    assert.ok(!existsSync(join(place.folder, data)));
    assert.deepEqual(partials(place), []);
    hub.trouble = withWeights(damaged);
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
    assert.match(place.remarks.at(-1)!, /its sha256 is not the one that the hub tells, so it begins again/);
  });
  // The hash may also come with the answer that redirects to the file.
  await withRepository(files, async (hub, place) => {
    const sha256 = new Uint8Array(await crypto.subtle.digest("SHA-256", weights)).toHex();
    hub.listsHashes = false;
    hub.trouble = (path) =>
      path.endsWith(data)
        ? new Response(null, { status: 302, headers: { location: "/elsewhere", "x-linked-etag": `"${sha256}"` } })
        : path === "/elsewhere"
        ? new Response(changed)
        : undefined;
    await assert.rejects(find(place), asSentence(/arrived damaged twice/));
  });
});

Deno.test("refusals that pass are waited for as long as the hub asks, and an hour is not waited", async () => {
  await withRepository(files, async (hub, place) => {
    let refusals = [503, 429, 500];
    hub.trouble = () => {
      const status = refusals.shift();
      return status ? new Response(null, { status, headers: status === 429 ? { "retry-after": "1" } : {} }) : undefined;
    };
    const began = Date.now();
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
    assert.ok(Date.now() - began >= 1000, "the pause that was asked for was cut short");
    assert.match(
      place.remarks[1]!,
      /: HTTP 429 from 127\.0\.0\.1:\d+, which asks for 1 s of rest; trying again in 1 s\.$/,
    );
    await Deno.remove(place.folder, { recursive: true });
    place.remarks.length = 0;
    refusals = [429];
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    hub.trouble = (path) =>
      path.endsWith(data) ? new Response(null, { status: 429, headers: { "retry-after": later } }) : undefined;
    await assert.rejects(
      find(place),
      asSentence(/\(HTTP 429 from .*, which asks for (1 h 00|59) min.* of rest\): run it again then, which goes on/),
    );
    assert.deepEqual(place.remarks, []);
  });
});

Deno.test("a connection on which nothing comes any more counts as cut", async () => {
  await withRepository(files, async (hub, place) => {
    place.options.patience = { pause: 1, silence: 100 };
    hub.trouble = withWeights(() => fallenSilent(weights, 30_000));
    await find(place);
    assert.equal(arrived(place), tagOf(weights));
    assert.match(place.remarks[0]!, /^onnx\/model\.onnx_data: nothing came for 0 s; /);
    assert.deepEqual(ofWeights(hub).map(({ range }) => range), ["bytes=30000-"]);
  });
});

Deno.test("the token is shown to the hub and to nobody that it redirects to", async () => {
  await withRepository(files, async (hub, place) => {
    const seen: string[] = [];
    const note = (who: string, { headers }: Request) => seen.push(`${who}: ${headers.get("authorization")}`);
    const store = (request: Request) => {
      note("store", request);
      const { pathname } = new URL(request.url);
      return pathname === "/back"
        ? Response.redirect(`${hub.address}/owner/name/resolve/main/${data}?again`)
        : serveBytes(weights, request);
    };
    await withServer(store, (elsewhere) =>
      withEnvironment({ HF_TOKEN: " hf_mine\n" }, async () => {
        let target = "/";
        hub.trouble = (path, request) => {
          note("hub", request);
          const isFirst = path.endsWith(data) && !request.url.endsWith("?again");
          return isFirst ? Response.redirect(elsewhere + target) : undefined;
        };
        await find(place);
        assert.equal(arrived(place), tagOf(weights));
        assert.deepEqual([...new Set(seen)].sort(), ["hub: Bearer hf_mine", "store: null"]);
        // Nor to the hub again, where somebody else says with what address.
        seen.length = 0;
        target = "/back";
        await Deno.remove(join(place.folder, "onnx"), { recursive: true });
        await find(place);
        assert.equal(arrived(place), tagOf(weights));
        assert.ok(seen.includes("hub: null") && seen.includes("store: null"));
        hub.trouble = () => Response.redirect(`${hub.address}/round`);
        await Deno.remove(place.folder, { recursive: true });
        await assert.rejects(find(place), asSentence(/redirects without end/));
        hub.trouble = () => new Response(null, { status: 302, headers: { location: "ftp://x/" } });
        await assert.rejects(find(place), asSentence(/redirects to ftp:\/\/x, which is not safe: check HF_ENDPOINT/));
      }));
  });
});

Deno.test("a signed address that has run out is asked for anew", async () => {
  await withRepository(files, async (hub, place) => {
    let refusals = 1;
    const store = (request: Request) =>
      refusals-- > 0 ? new Response("expired", { status: 403 }) : serveBytes(weights, request);
    await withServer(store, async (elsewhere) => {
      hub.trouble = (path) => path.endsWith(data) ? Response.redirect(`${elsewhere}/?signature`) : undefined;
      await find(place);
      assert.equal(arrived(place), tagOf(weights));
      assert.match(place.remarks[0]!, /: HTTP 403 from 127\.0\.0\.1:\d+; trying again/);
    });
  });
});

Deno.test("of two that fetch the same at once one fetches, the other waits, and both have the file", async () => {
  await withRepository(files, async (hub, place) => {
    for (const listsHashes of [true, false]) {
      hub.listsHashes = listsHashes;
      // Slow enough for both to meet at the weights.
      hub.trouble = withWeights((request) => slowly(serveBytes(weights, request)));
      const [one, other] = await Promise.all([find(place), find(place)]);
      assert.equal(one.path, other.path);
      assert.equal(arrived(place), tagOf(weights));
      assert.ok(place.remarks.some((line) => /model\.onnx_data is being downloaded by another process/.test(line)));
      assert.deepEqual(partials(place), []);
      if (listsHashes) assert.equal(ofWeights(hub).length, 0, "the weights came twice");
      await Deno.remove(place.folder, { recursive: true });
    }
  });
});

function slowly(response: Response): Response {
  const wait = new TransformStream<Uint8Array, Uint8Array>({
    async transform(chunk, controller) {
      controller.enqueue(chunk.subarray(0, 10));
      await new Promise((resolve) => setTimeout(resolve, 150));
      controller.enqueue(chunk.subarray(10));
    },
  });
  return new Response(response.body!.pipeThrough(wait), response);
}

Deno.test("pieces of a file are left alone while somebody has them, and removed when nobody goes on with them", async () => {
  await withRepository(files, async (hub, place) => {
    await Deno.mkdir(join(place.folder, "onnx"), { recursive: true });
    const piece = (name: string) => {
      const path = join(place.folder, "onnx", name);
      writeFileSync(path, "a part");
      return path;
    };
    const old = piece("model.onnx_data.0123456789abcdef.partial"), before = piece("model.onnx_data.4711.partial");
    const held = piece("model.onnx_data.fedcba9876543210.partial"), another = piece("model.onnx_data_1.00.partial");
    using file = await Deno.open(held, { read: true, write: true });
    await file.lock(true);
    await find(place);
    assert.deepEqual(hub.asked.length, 4);
    assert.deepEqual([old, before, held, another].map((path) => existsSync(path)), [false, false, true, true]);
  });
});

const fixture = `${SHARED}/fixtures/llama-genai`;

/** Permissions are counted from the environment of the program that starts the command: this one. */
const score = ["--model", "owner/name", "--dtype", "q4", "--data", `${fixture}/data.jsonl`, "--workers", 1];

sharedTest(
  "fixtures/llama-genai",
  "a command that is killed in a download goes on with it when it is run again",
  async (from) => {
    const names = ["config.json", "tokenizer.json", "tokenizer_config.json", "onnx/model_q4.onnx"];
    await withRepository(
      Object.fromEntries(names.map((name) => [name, { from }])),
      (hub) =>
        withFolder(async (cache) => {
          const bytes = await Deno.readFile(`${from}/onnx/model_q4.onnx`), half = bytes.length >> 1;
          hub.trouble = (path) => path.endsWith("q4.onnx") ? fallenSilent(bytes, half) : undefined;
          const first = startTask("score", [...score, "--out", `${cache}/scores.jsonl`], { cache });
          const onnx = `${cache}/hub/owner/name/onnx`;
          const size = () => {
            const [name] = existsSync(onnx) ? readdirSync(onnx) : [];
            return name ? Deno.statSync(join(onnx, name)).size : 0;
          };
          while (size() < half) await new Promise((resolve) => setTimeout(resolve, 20));
          first.process.kill("SIGKILL");
          await first.ended;
          assert.deepEqual(readdirSync(onnx).filter((name) => name.endsWith(".onnx")), []);
          hub.trouble = undefined;
          hub.asked.length = 0;
          const { code, stderr } = await runTask("score", [...score, "--out", `${cache}/scores.jsonl`], { cache });
          assert.equal(code, 0, stderr);
          assert.deepEqual(hub.asked, [{ file: "onnx/model_q4.onnx", range: `bytes=${half}-`, ifRange: null }]);
          assert.deepEqual(await Deno.readFile(`${onnx}/model_q4.onnx`), bytes);
          assert.deepEqual(readdirSync(onnx), ["model_q4.onnx"]);
        }),
    );
  },
);

Deno.test("deno task lets a command connect to HF_ENDPOINT's host and no further", async () => {
  await withRepository({ ...small, "onnx/model_q4.onnx": "graph" }, (hub) =>
    withFolder(async (cache) => {
      await withServer(() => new Response("never asked"), async (elsewhere) => {
        hub.trouble = (path) => path.endsWith("q4.onnx") ? Response.redirect(elsewhere) : undefined;
        const { code, stderr } = await new Deno.Command(Deno.execPath(), {
          args: ["task", "score", ...score.map(String), "--out", `${cache}/scores.jsonl`],
          env: { NO_COLOR: "1", PROSPECT_CACHE: cache },
          stdin: "null",
          stdout: "null",
        }).output();
        const said = new TextDecoder().decode(stderr);
        assert.equal(code, 2, said);
        assert.match(
          said,
          new RegExp(`^Deno may not connect to ${new URL(elsewhere).host}: .*--allow-net.*deno\\.json\\.$`, "m"),
        );
        assert.deepEqual(readdirSync(`${cache}/hub/owner/name`).sort(), ["config.json", "onnx", "tokenizer.json"]);
      });
    }));
});
