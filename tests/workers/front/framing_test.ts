// Where requests end: what can be read in two ways is refused, and chunks are followed however they are cut.

import { assert, assertEquals, assertNotStrictEquals, assertStrictEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { addressKey, TrustedProxies } from "../../../workers/front/addresses.ts";
import { parseRequestHead, passingBody, RefusedMessage } from "../../../workers/front/framing.ts";

function assertRefused(fn: () => unknown, kind: string, msg?: string): void {
  assertEquals(assertThrows(fn, RefusedMessage, undefined, msg).kind, kind, msg);
}
const head = (...fields: string[]) => ["POST /v1/feedback HTTP/1.1", "Host: x", ...fields].join("\r\n");

Deno.test("a request whose end could be read in two ways is refused", () => {
  const ambiguous = [
    head("Content-Length: 3", "Content-Length: 3"),
    head("Content-Length: 3", "Transfer-Encoding: chunked"),
    head("Content-Length: +3"),
    head("Content-Length: 3, 3"),
    head("Content-Length: 0x3"),
    head("Content-Length :3"),
    head("Transfer-Encoding: gzip, chunked"),
    head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    head("A: b\n\nContent-Length: 3"),
    head("A: b\rContent-Length: 3"),
    head("A: b", " folded: c"),
    head("A: \0"),
    head("Host: y"),
    "POST /v1/feedback HTTP/1.1",
    "POST  /v1/feedback HTTP/1.1\r\nHost: x",
    "POST /v1/feed back HTTP/1.1\r\nHost: x",
    "POST / HTTP/1.1\r\nHost: x/y z",
    "POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
  ];
  for (const text of ambiguous) assertRefused(() => parseRequestHead(text), "malformed", JSON.stringify(text));
  assertRefused(() => parseRequestHead("PRI * HTTP/2.0\r\n"), "version");
});

Deno.test("a request's head says how long its body is", () => {
  assertStrictEquals(parseRequestHead(head()).body, 0);
  assertEquals(parseRequestHead(head("content-length:  12 ")).body, 12);
  assertEquals(parseRequestHead(head("Transfer-Encoding: Chunked")).body, "chunked");
});

Deno.test("a chunked body is followed to its end, wherever it is cut", () => {
  const body = '3;name="a"\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n', next = "GET / HTTP/1.1";
  const bytes = new TextEncoder().encode(body + next);
  fc.assert(fc.property(fc.array(fc.integer({ min: 1, max: bytes.length - 1 })), (cuts) => {
    const passing = passingBody("chunked"), places = [0, ...cuts.sort((a, b) => a - b), bytes.length];
    let taken = 0;
    for (let i = 1; i < places.length; i++) taken += passing.take(bytes, places[i - 1]!, places[i]!);
    assert(passing.done);
    assertEquals(taken, body.length);
  }));
});

Deno.test("chunks that another reader could cut otherwise are refused", () => {
  for (
    const body of ["3\nabc\n", "-3\r\n", "\r\n", "0x3\r\nabc", "3\r\nabcd\r\n", "3\rabc", "123456789\r\n", "3;\x01\r\n"]
  ) {
    const bytes = new TextEncoder().encode(body);
    assertRefused(() => passingBody("chunked").take(bytes, 0, bytes.length), "malformed", JSON.stringify(body));
  }
});

Deno.test("a trusted proxy says who the client is, and the client cannot say it in its place", () => {
  const proxies = new TrustedProxies(["10.0.0.0/8", "::1"]);
  const clientOf = (...fields: string[]) => proxies.clientOf("10.0.0.1", parseRequestHead(head(...fields)));
  assertEquals(clientOf("X-Forwarded-For: 6.6.6.6, 1.2.3.4"), "1.2.3.4");
  assertEquals(clientOf("X-Forwarded-For: 6.6.6.6", "X-Forwarded-For: 1.2.3.4:5, 10.9.9.9"), "1.2.3.4");
  assertEquals(clientOf('Forwarded: for=6.6.6.6, For="[2001:db8::1]:80";proto=https'), "2001:db8::1");
  assertEquals(clientOf(), "10.0.0.1");
  assert(proxies.has("::ffff:10.1.2.3") && !proxies.has("11.0.0.1") && !proxies.has("nobody"));
  assertThrows(() => new TrustedProxies(["proxy.example"]));
});

Deno.test("an IPv6 client counts as its whole network, or it would have as many addresses as it likes", () => {
  assertStrictEquals(addressKey("2001:db8:1:2:3:4:5:6"), addressKey("2001:0db8:0001:0002::9"));
  assertNotStrictEquals(addressKey("2001:db8:1:2::1"), addressKey("2001:db8:1:3::1"));
  assertEquals(addressKey("::ffff:1.2.3.4"), "1.2.3.4");
  assertEquals(addressKey("unknown"), undefined);
});
