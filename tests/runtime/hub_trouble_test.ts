// Between here and the hub: refusals that pass, silence, redirects and who is shown the token, two who fetch the same at
// once, and commands that are killed or may not connect.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runTask, startTask, withFolder } from "../commands/run_task.ts";
import { SHARED, sharedTest } from "../feedback/shared_files.ts";
import {
  arrived,
  assertSentence,
  data,
  files,
  find,
  ofWeights,
  partials,
  small,
  weights,
  withWeights,
} from "./hub_repository.ts";
import { fallenSilent, serveBytes, tagOf, withEnvironment, withRepository, withServer } from "./local_hub.ts";

Deno.test("refusals that pass are waited for as long as the hub asks, and an hour is not waited", async () => {
  await withRepository(files, async (hub, place) => {
    let refusals = [503, 429, 500];
    hub.trouble = () => {
      const status = refusals.shift();
      return status ? new Response(null, { status, headers: status === 429 ? { "retry-after": "1" } : {} }) : undefined;
    };
    const began = Date.now();
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
    assert(Date.now() - began >= 1000, "the pause that was asked for was cut short");
    assertMatch(
      place.remarks[1]!,
      /: HTTP 429 from 127\.0\.0\.1:\d+, which asks for 1 s of rest; trying again in 1 s\.$/,
    );
    await Deno.remove(place.folder, { recursive: true });
    place.remarks.length = 0;
    refusals = [429];
    const later = new Date(Date.now() + 3_600_000).toUTCString();
    hub.trouble = (path) =>
      path.endsWith(data) ? new Response(null, { status: 429, headers: { "retry-after": later } }) : undefined;
    assertSentence(
      await assertRejects(() => find(place)),
      /\(HTTP 429 from .*, which asks for (1 h 00|59) min.* of rest\): run it again then, which goes on/,
    );
    assertEquals(place.remarks, []);
  });
});

Deno.test("a connection on which nothing comes any more counts as cut", async () => {
  await withRepository(files, async (hub, place) => {
    place.options.patience = { pause: 1, silence: 100 };
    hub.trouble = withWeights(() => fallenSilent(weights, 30_000));
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
    assertMatch(place.remarks[0]!, /^onnx\/model\.onnx_data: nothing came for 0 s; /);
    assertEquals(ofWeights(hub).map(({ range }) => range), ["bytes=30000-"]);
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
        assertStrictEquals(arrived(place), tagOf(weights));
        assertEquals([...new Set(seen)].sort(), ["hub: Bearer hf_mine", "store: null"]);
        // Nor to the hub again, where somebody else says with what address.
        seen.length = 0;
        target = "/back";
        await Deno.remove(join(place.folder, "onnx"), { recursive: true });
        await find(place);
        assertStrictEquals(arrived(place), tagOf(weights));
        assert(seen.includes("hub: null") && seen.includes("store: null"));
        hub.trouble = () => Response.redirect(`${hub.address}/round`);
        await Deno.remove(place.folder, { recursive: true });
        assertSentence(await assertRejects(() => find(place)), /redirects without end/);
        hub.trouble = () => new Response(null, { status: 302, headers: { location: "ftp://x/" } });
        assertSentence(
          await assertRejects(() => find(place)),
          /redirects to ftp:\/\/x, which is not safe: check HF_ENDPOINT/,
        );
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
      assertStrictEquals(arrived(place), tagOf(weights));
      assertMatch(place.remarks[0]!, /: HTTP 403 from 127\.0\.0\.1:\d+; trying again/);
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
      assertStrictEquals(one.path, other.path);
      assertStrictEquals(arrived(place), tagOf(weights));
      assert(place.remarks.some((line) => /model\.onnx_data is being downloaded by another process/.test(line)));
      assertEquals(partials(place), []);
      if (listsHashes) assertEquals(ofWeights(hub).length, 0, "the weights came twice");
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
    assertEquals(hub.asked.length, 4);
    assertEquals([old, before, held, another].map((path) => existsSync(path)), [false, false, true, true]);
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
          assertEquals(readdirSync(onnx).filter((name) => name.endsWith(".onnx")), []);
          hub.trouble = undefined;
          hub.asked.length = 0;
          const { code, stderr } = await runTask("score", [...score, "--out", `${cache}/scores.jsonl`], { cache });
          assertStrictEquals(code, 0, stderr);
          assertEquals(hub.asked, [{ file: "onnx/model_q4.onnx", range: `bytes=${half}-`, ifRange: null }]);
          assertEquals(await Deno.readFile(`${onnx}/model_q4.onnx`), bytes);
          assertEquals(readdirSync(onnx), ["model_q4.onnx"]);
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
        assertEquals(code, 2, said);
        assertMatch(
          said,
          new RegExp(`^Deno may not connect to ${new URL(elsewhere).host}: .*PROSPECT_HUB_HOSTS\\.$`, "m"),
        );
        assertEquals(readdirSync(`${cache}/hub/owner/name`).sort(), ["config.json", "onnx", "tokenizer.json"]);
      });
    }));
});

/** Spaces without end, or until nobody wants them any more. */
function endless(onCancel: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  const piece = new Uint8Array(2 ** 20).fill(32);
  return new ReadableStream({ pull: (controller) => controller.enqueue(piece), cancel: onCancel });
}

Deno.test("a list of files that unpacks to more than any list is given up, and so is a file that is longer than listed", async () => {
  await withRepository(files, async (hub, place) => {
    const ended = Promise.withResolvers<void>();
    const spaces = new Blob([new Uint8Array(33 * 2 ** 20).fill(32)]).stream();
    const bomb = await new Response(spaces.pipeThrough(new CompressionStream("gzip"))).bytes();
    hub.trouble = (path) =>
      path.startsWith("/api/") ? new Response(bomb, { headers: { "content-encoding": "gzip" } }) : undefined;
    assertSentence(await assertRejects(() => find(place)), /more than 32 MiB where a list of files was asked for/);
    hub.trouble = (path) => path.endsWith(data) ? new Response(endless(ended.resolve)) : undefined;
    assertSentence(await assertRejects(() => find(place)), /arrived damaged twice \(it has more than 100000 bytes\)/);
    await ended.promise;
    assertEquals(partials(place), []);
  });
});
