// A file of the hub arrives whole or not at all: cut connections are gone on with, changed and damaged files begin again,
// whatever a server makes of ranges, lengths and encodings.

import { assert, assertEquals, assertMatch, assertRejects, assertStrictEquals } from "@std/assert";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  arrived,
  assertSentence,
  changed,
  cutOff,
  data,
  files,
  find,
  ofWeights,
  partials,
  weights,
  withWeights,
} from "./hub_repository.ts";
import { brokenOff, tagOf, withRepository } from "./local_hub.ts";

Deno.test("a download that is cut off goes on by itself at the byte where it stopped", async () => {
  await withRepository(files, async (hub, place) => {
    hub.trouble = withWeights(
      () => brokenOff(weights, 40_000),
      (request) => brokenOffAt(request, 70_000),
    );
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
    assertEquals(ofWeights(hub), [{ file: data, range: "bytes=70000-", ifRange: tagOf(weights) }]);
    assertMatch(place.remarks[0]!, /^onnx\/model\.onnx_data: .+; trying again in 1 s\.$/);
    assertEquals(place.remarks.length, 2);
    const steps = place.progress.filter(({ file }) => file === data);
    assert(steps.every(({ loaded, total }, i) => total === 100_000 && loaded > (steps[i - 1]?.loaded ?? 0)));
    assertEquals(partials(place), []);
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
      assertEquals(partials(place).length, 1);
      assertEquals(
        readdirSync(join(place.folder, "onnx")).filter((name) => !name.endsWith(".partial")),
        [],
        "a half file has the name of a whole one",
      );
      await find(place);
      assertStrictEquals(arrived(place), tagOf(weights));
      // Without a hash only the server knows whether the file is still the same: one look first.
      const look = { file: data, range: null, ifRange: null };
      const rest = { file: data, range: "bytes=60000-", ifRange: listsHashes ? null : tagOf(weights) };
      assertEquals(ofWeights(hub), listsHashes ? [rest] : [look, rest]);
      assertEquals(partials(place), []);
      assertEquals(hub.asked.filter(({ file }) => file === "config.json").length, 0);
    });
  });

  Deno.test(`a file that has changed since begins again, from ${hub}`, async () => {
    await withRepository(files, async (hub, place) => {
      hub.listsHashes = listsHashes;
      await cutOff(hub, place, 60_000);
      writeFileSync(join(hub.folder, data), changed);
      await find(place);
      assertStrictEquals(arrived(place), tagOf(changed));
      assertEquals(ofWeights(hub), [{ file: data, range: null, ifRange: null }]);
      assertEquals(partials(place), [], "the part of the old file is still there");
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
    assertStrictEquals(arrived(place), tagOf(changed));
    assertMatch(place.remarks[1]!, /^onnx\/model\.onnx_data: it has changed on the hub, so it begins again; /);
  });
});

Deno.test("what a cut download left of an older commit is not mixed with files of a newer one", async () => {
  await withRepository(files, async (hub, place) => {
    await cutOff(hub, place, 60_000);
    // As long as before.
    writeFileSync(join(hub.folder, "config.json"), '{"model_type":"gemma"}');
    await find(place);
    assertMatch(Deno.readTextFileSync(join(place.folder, "config.json")), /gemma/);
    assertEquals(hub.asked.map(({ file }) => file), ["config.json", data, "onnx/model.onnx"]);
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
        assertStrictEquals(arrived(place), tagOf(weights), what);
        assertEquals(place.remarks.slice(4), [], `${what}: tried again`);
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
        assertEquals(request.headers.get("range"), null);
        return untagged(new Response(changed));
      },
    );
    await find(place);
    assertStrictEquals(arrived(place), tagOf(changed));
    assertEquals(partials(place), []);
  });
});

Deno.test("a body that is compressed against the request's wish is unpacked, and its length not taken for the file's", async () => {
  await withRepository(files, async (hub, place) => {
    for (const listsHashes of [true, false]) {
      hub.listsHashes = listsHashes;
      const packed = await new Response(new Response(weights).body!.pipeThrough(new CompressionStream("gzip"))).bytes();
      const headers = { "content-encoding": "gzip", "content-length": `${packed.length}`, etag: tagOf(weights) };
      hub.trouble = withWeights((request) => {
        assertEquals(request.headers.get("accept-encoding"), "identity");
        return new Response(packed, { headers });
      });
      await find(place);
      assertStrictEquals(arrived(place), tagOf(weights));
      assertEquals(place.remarks, []);
      await Deno.remove(place.folder, { recursive: true });
      hub.trouble = withWeights(() => new Response(packed, { headers: { ...headers, "content-encoding": "br" } }));
      assertSentence(await assertRejects(() => find(place)), /compresses files \(br\) although asked not to/);
      await Deno.remove(place.folder, { recursive: true });
    }
  });
});

Deno.test("an answer that ends early without a word, and a piece that is too long, do not become the file", async () => {
  await withRepository(files, async (hub, place) => {
    // Without a length of its own; the listing has one.
    hub.trouble = withWeights(() => new Response(new Blob([weights.slice(0, 50_000)]).stream()));
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
    assertMatch(place.remarks[0]!, /_data: it ended after 50000 of 100000 bytes; trying again/);
    await Deno.remove(place.folder, { recursive: true });
    await cutOff(hub, place, 60_000);
    const [piece] = partials(place);
    writeFileSync(join(place.folder, piece!), new Uint8Array(200_000));
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
  });
});

Deno.test("a file whose hash is not the hub's is fetched once more, and never gets its name", async () => {
  await withRepository(files, async (hub, place) => {
    const damaged = () => new Response(changed);
    hub.trouble = withWeights(damaged, damaged);
    assertSentence(
      await assertRejects(() => find(place)),
      /^onnx\/model\.onnx_data of the hub's owner\/name arrived damaged twice/,
    );
    assert(!existsSync(join(place.folder, data)));
    assertEquals(partials(place), []);
    hub.trouble = withWeights(damaged);
    await find(place);
    assertStrictEquals(arrived(place), tagOf(weights));
    assertMatch(place.remarks.at(-1)!, /its sha256 is not the one that the hub tells, so it begins again/);
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
    assertSentence(await assertRejects(() => find(place)), /arrived damaged twice/);
  });
});
