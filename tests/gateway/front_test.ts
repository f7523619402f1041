// The front as clients meet it: deadlines, places and refusals, over real connections before a service that is told what to do.

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { addressOf, frontLimits } from "../../services/gateway/front.ts";
import { InputError } from "../../shared/errors.ts";
import { get, RawClient, withFront } from "./raw_client.ts";

const hello = () => new Response("hello");
const answered = (text: string) => text.endsWith("hello");

Deno.test("heads that do not come and connections that say nothing are ended, each in its time", async () => {
  await withFront({ limits: { headTime: 200, idleTime: 400 }, answer: hello }, async ({ front, port }) => {
    const halves = await Promise.all(
      Array.from({ length: 100 }, (_, i) => RawClient.open(port, get("/v1/models").slice(0, 1 + i % 30))),
    );
    using silent = await RawClient.open(port);
    using kept = await RawClient.open(port, get("/"));
    assertMatch(await kept.hear(answered), /^HTTP\/1.1 200/);
    for (const half of halves) {
      const said = await half.hear();
      assertMatch(said, /^HTTP\/1.1 408 /);
      assertEquals(JSON.parse(said.split("\r\n\r\n")[1]!).error.code, "request_timeout");
      half[Symbol.dispose]();
    }
    assertEquals(await silent.hear(), "");
    assertEquals(await kept.hear(), "");
    assertEquals((await front.counts()).timedOut, 102);
  });
});

Deno.test("a head that comes byte by byte has no longer than any other", async () => {
  await withFront({ limits: { headTime: 300 }, answer: hello }, async ({ port }) => {
    using client = await RawClient.open(port);
    const dripping = (async () => {
      for (const byte of get("/", "X: " + "a".repeat(1000))) {
        await client.say(byte);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    assertMatch(await client.hear(), /^HTTP\/1.1 408 /);
    await dripping.catch(() => {});
  });
});

Deno.test("a head of more than 32 KiB is refused, however it comes", async () => {
  await withFront({ answer: hello }, async ({ port }) => {
    for (const length of [40_000, 200_000]) {
      using client = await RawClient.open(port);
      client.say(get("/", `X: ${"a".repeat(length)}\r\n`)).catch(() => {});
      assertMatch(await client.hear(), /^HTTP\/1.1 431 /);
    }
    using client = await RawClient.open(port, get("/", `X: ${"a".repeat(30_000)}\r\n`));
    assertMatch(await client.hear(answered), /^HTTP\/1.1 200 /);
  });
});

Deno.test("a body that stands still or drips is ended, and one that moves is not", async () => {
  const answer = async (request: Request) => {
    const text = await request.text().catch(() => "broke off");
    return new Response(`${text.length} hello`);
  };
  await withFront({ limits: { bodyPause: 300, bodyRate: 1000 }, answer }, async ({ port }) => {
    const post = (length: number) => `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${length}\r\n\r\n`;
    using still = await RawClient.open(port, post(10) + "abc");
    using dripping = await RawClient.open(port, post(100_000));
    using moving = await RawClient.open(port, post(100_000));
    const send = async (client: RawClient, bytes: number) => {
      for (let sent = 0; sent < 100_000; sent += bytes) {
        await client.say("a".repeat(bytes));
        await new Promise((resolve) => setTimeout(resolve, 25));
      }
    };
    const drips = send(dripping, 1).catch(() => {}), moves = send(moving, 2500);
    assertMatch(await still.hear(), /^HTTP\/1.1 408 /);
    assertMatch(await dripping.hear(), /^HTTP\/1.1 408 /);
    await moves;
    assertMatch(await moving.hear(answered), /100000 hello$/);
    dripping[Symbol.dispose]();
    await drips;
  });
});

Deno.test("an answer may take its time where the client waits for it", async () => {
  const answer = async () => {
    await new Promise((resolve) => setTimeout(resolve, 800));
    return hello();
  };
  const limits = { headTime: 200, idleTime: 200, bodyPause: 200, standingTime: 200 };
  await withFront({ limits, answer }, async ({ port }) => {
    using client = await RawClient.open(port, get("/"));
    assertMatch(await client.hear(answered), /^HTTP\/1.1 200 /);
  });
});

Deno.test("whoever has no place is told so with 503 and when to come again, and probes are answered all the same", async () => {
  await withFront({ limits: { connections: 8, overflow: 4 }, answer: hello }, async ({ front, port }) => {
    const held = await Promise.all(Array.from({ length: 8 }, () => RawClient.open(port, "GET / HT")));
    const others = await Promise.all(Array.from({ length: 40 }, () => RawClient.open(port, "GET / HT")));
    using probe = await RawClient.open(port, get("/healthz"));
    assertMatch(await probe.hear(), /^HTTP\/1.1 200 /);
    using whole = await RawClient.open(port, get("/v1/models"));
    const said = await whole.hear();
    assertMatch(said, /^HTTP\/1.1 503 .*\r\nRetry-After: \d/s);
    assertEquals(JSON.parse(said.split("\r\n\r\n")[1]!).error.type, "server_error");
    for (const other of others) {
      assertMatch(await other.hear(), /^HTTP\/1.1 503 /);
      other[Symbol.dispose]();
    }
    assert((await front.counts()).connections <= 8 + 4);
    for (const each of held) each[Symbol.dispose]();
    // Places that became free are given again.
    let answer = "";
    while (!answer.startsWith("HTTP/1.1 200")) {
      using next = await RawClient.open(port, get("/", "Connection: close\r\n"));
      answer = await next.hear();
    }
  });
});

Deno.test("one address does not take all places", async () => {
  await withFront({ limits: { connections: 8, connectionsPerAddress: 2 }, answer: hello }, async ({ port }) => {
    using _one = await RawClient.open(port, "GET");
    using _two = await RawClient.open(port, "GET");
    using three = await RawClient.open(port, get("/"));
    assertMatch(await three.hear(), /^HTTP\/1.1 503 .*from this address/s);
  });
});

Deno.test("behind a trusted proxy, requests under way are counted for the client that it names", async () => {
  const under = Promise.withResolvers<void>();
  const answer = async (request: Request) => {
    if (request.url.endsWith("/slow")) await under.promise;
    return new Response(`${addressOf(request)} hello`);
  };
  const options = { limits: { connectionsPerAddress: 2 }, trustedProxies: ["127.0.0.1"], answer };
  await withFront(options, async ({ port }) => {
    const ask = (path: string, who: string) =>
      RawClient.open(port, get(path, `X-Forwarded-For: 9.9.9.9, ${who}\r\nX-Prospect-Address: 8.8.8.8\r\n`));
    using one = await ask("/slow", "1.2.3.4");
    using two = await ask("/slow", "1.2.3.4");
    let third = "";
    // The first two may still be on their way.
    while (!third.includes("503")) {
      using client = await ask("/", "1.2.3.4");
      third = await client.hear((text) => /hello$|503/.test(text));
    }
    using other = await ask("/", "5.6.7.8");
    assertMatch(await other.hear(answered), /5\.6\.7\.8 hello$/);
    under.resolve();
    for (const client of [one, two]) assertMatch(await client.hear(answered), /1\.2\.3\.4 hello$/);
  });
});

Deno.test("a client cannot say in the front's place where it comes from", async () => {
  const answer = (request: Request) => new Response(`${addressOf(request)} hello`);
  await withFront({ answer }, async ({ port }) => {
    using client = await RawClient.open(port, get("/", "X-Prospect-Address: 8.8.8.8\r\nX-Forwarded-For: 7.7.7.7\r\n"));
    assertMatch(await client.hear(answered), /127\.0\.0\.1 hello$/);
  });
});

Deno.test("requests on one connection are answered one after another, also where they come at once", async () => {
  const answer = async (request: Request) => new Response(`${new URL(request.url).pathname} ${await request.text()};`);
  await withFront({ answer }, async ({ port }) => {
    const post = (path: string, fields: string, body: string) =>
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n\r\n${body}`;
    using client = await RawClient.open(
      port,
      post("/a", "Content-Length: 2", "AA") + get("/b") +
        post("/c", "Transfer-Encoding: chunked", "3\r\nCCC\r\n0\r\n\r\n") +
        "\r\n" + post("/d", "Content-Length: 1", "D"),
    );
    const heard = await client.hear((text) => text.includes("/d D;"));
    assertEquals(heard.match(/\/\w \w*;/g), ["/a AA;", "/b ;", "/c CCC;", "/d D;"]);
  });
});

Deno.test("a body of megabytes arrives whole, and so does an answer of megabytes", async () => {
  const answer = (request: Request) => new Response(request.body);
  await withFront({ answer }, async ({ port }) => {
    const sent = crypto.getRandomValues(new Uint8Array(65536)), large = new Uint8Array(64 * sent.length);
    for (let i = 0; i < 64; i++) large.set(sent, i * sent.length);
    for (const body of [large, ReadableStream.from([large, large])]) {
      const response = await fetch(`http://127.0.0.1:${port}`, { method: "POST", body });
      const received = await response.bytes(), times = body === large ? 1 : 2;
      assertEquals(received.length, times * large.length);
      assert(received.subarray(-large.length).every((byte, i) => byte === large[i]));
    }
  });
});

Deno.test("a client that hangs up ends its request", async () => {
  const begun = Promise.withResolvers<void>(), ended = Promise.withResolvers<void>();
  const answer = (request: Request) => {
    request.signal.addEventListener("abort", () => ended.resolve());
    begun.resolve();
    return new Promise<Response>(() => {});
  };
  await withFront({ answer }, async ({ port }) => {
    const client = await RawClient.open(port, get("/"));
    await begun.promise;
    client[Symbol.dispose]();
    await ended.promise;
  });
});

Deno.test("an early answer reaches a client that is still sending", async () => {
  const answer = () => Response.json({ refused: true }, { status: 413 });
  await withFront({ answer }, async ({ port }) => {
    const response = await fetch(`http://127.0.0.1:${port}`, { method: "POST", body: new Uint8Array(2 ** 21) });
    assertEquals(response.status, 413);
    assertEquals(await response.json(), { refused: true });
  });
});

Deno.test("an early answer also reaches a client that looks for it only once it has sent all", async () => {
  const answer = () => Response.json({ refused: true }, { status: 413 });
  await withFront({ answer }, async ({ port }) => {
    const body = new Uint8Array(2 ** 24),
      head = `POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n`;
    using client = await RawClient.open(port, head);
    await client.say(body);
    assertMatch(await client.hear(), /^HTTP\/1.1 413 .*"refused":true/s);
  });
});

Deno.test("dozens of clients that never read take little of the server and are ended, and others are answered", async () => {
  let made = 0, ended = 0;
  const piece = new Uint8Array(65536).fill(97);
  const answer = (request: Request) => {
    if (!request.url.endsWith("/stream")) return hello();
    return new Response(
      new ReadableStream({
        pull(controller) {
          made += piece.length;
          controller.enqueue(piece);
        },
        cancel() {
          ended++;
        },
      }),
    );
  };
  await withFront({ limits: { standingTime: 1500 }, answer }, async ({ front, port }) => {
    const clients = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(port, get("/stream"))));
    let before = -1;
    while (before !== made) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    // The systems' buffers of both ends, and nothing that grows with the answer.
    assert(made / clients.length < 16 * 2 ** 20, `${made / clients.length} bytes were made for each`);
    using other = await RawClient.open(port, get("/"));
    assertMatch(await other.hear(answered), /^HTTP\/1.1 200/);
    while (ended < clients.length) await new Promise((resolve) => setTimeout(resolve, 50));
    assert((await front.counts()).connections <= 1);
    for (const client of clients) client[Symbol.dispose]();
  });
});

Deno.test("the most connections are as many as the process may have files, and asking for more says so", () => {
  const limits = (descriptors: number, maxConnections?: number) =>
    frontLimits({ maxConnections, maxConnectionsPerAddress: undefined }, descriptors);
  for (const descriptors of [1024, 4096, 65536]) {
    const { connections, overflow } = limits(descriptors);
    assert(3 * (connections + overflow) < descriptors - 100, `${connections} of ${descriptors}`);
    assert(connections > 100);
  }
  assertThrows(() => limits(1024, 1000), InputError);
  assertEquals(limits(1024, 100).connections, 100);
});
