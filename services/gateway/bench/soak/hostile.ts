// What hostile and careless clients do to a server, without a key: each way is one attempt that ends by itself or with the
// signal, as bytes on a socket. It expects nothing and measures nothing; honest clients do that meanwhile.

import { connect, type Socket } from "node:net";
import { setTimeout as wait } from "node:timers/promises";

/** Where attempts go. */
export interface Target {
  hostname: string;
  port: number;
}

/** On Linux all of 127.0.0.0/8 is this machine: so the gateway can tell hostile clients from honest ones, as elsewhere. */
const localAddress = Deno.build.os === "linux" ? "127.0.0.9" : "127.0.0.1";

/** A way to be a nuisance; resolves when the attempt is over, however it ended. */
type Way = (target: Target, signal: AbortSignal) => Promise<void>;

/** Longest life of an attempt, in milliseconds. */
const longest = 40_000;

/** Opens a connection, uses it, and waits until the server ends it, the time is over or the signal comes. */
async function withSocket({ hostname, port }: Target, signal: AbortSignal, use: (socket: Socket) => void) {
  const socket = connect({ host: hostname, port, localAddress });
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.once("connect", () => use(socket));
  const over = wait(longest, undefined, { signal }).catch(() => {});
  await Promise.race([closed, over]);
  socket.destroy();
  await closed;
}

const head = (method: string, path: string, ...more: string[]) =>
  [`${method} ${path} HTTP/1.1`, "Host: 127.0.0.1", "Content-Type: application/json", ...more].join("\r\n");

function send(target: Target, signal: AbortSignal, path: string, body: string, read = true): Promise<void> {
  return withSocket(target, signal, (socket) => {
    if (read) socket.resume();
    socket.write(`${head("POST", path, `Content-Length: ${body.length}`, "Connection: close")}\r\n\r\n${body}`);
  });
}

const chat = (content: unknown, more: Record<string, unknown> = {}) =>
  JSON.stringify({ model: "base", messages: [{ role: "user", content }], ...more });

/** Writes a text a byte at a time, ever a second apart. */
function trickle(socket: Socket, text: string, signal: AbortSignal): void {
  let at = 0;
  const timer = setInterval(() => {
    if (socket.destroyed || signal.aborted || at >= text.length) return clearInterval(timer);
    socket.write(text[at++]!);
  }, 1000);
}

/** Ways, by name. */
export const ways: Record<string, Way> = {
  "says nothing": (target, signal) => withSocket(target, signal, (socket) => socket.resume()),
  "half a head": (target, signal) =>
    withSocket(target, signal, (socket) => socket.resume().write(head("POST", "/v1/feedback").slice(0, 40))),
  "a head by the second": (target, signal) =>
    withSocket(target, signal, (socket) => trickle(socket.resume(), head("POST", "/v1/feedback"), signal)),
  "a body by the second": (target, signal) =>
    withSocket(target, signal, (socket) => {
      socket.resume().write(`${head("POST", "/v1/feedback", "Content-Length: 5000")}\r\n\r\n{`);
      trickle(socket, " ".repeat(5000), signal);
    }),
  "never reads a stream": (target, signal) =>
    send(target, signal, "/v1/chat/completions", chat("Tell me all.", { stream: true, temperature: 2 }), false),
  "asks and hangs up": (target, signal) =>
    withSocket(target, signal, (socket) => {
      const body = chat("Tell me all.", { stream: true });
      socket.write(`${head("POST", "/v1/chat/completions", `Content-Length: ${body.length}`)}\r\n\r\n${body}`);
      socket.once("data", () => socket.destroy());
    }),
  "a body of empty parts": (target, signal) =>
    send(
      target,
      signal,
      "/v1/chat/completions",
      `{"model":"base","messages":[{"role":"user","content":[${"{},".repeat(2_700_000)}{}]}]}`,
    ),
  "a body of brackets": (target, signal) => send(target, signal, "/v1/feedback", "[".repeat(4_000_000)),
  "a body of keys": (target, signal) =>
    send(
      target,
      signal,
      "/v1/chat/completions",
      chat("hi", { logit_bias: Object.fromEntries(Array.from({ length: 300_000 }, (_, id) => [id, 1])) }),
    ),
  "a mebibyte of spaces": (target, signal) => send(target, signal, "/v1/chat/completions", chat(" ".repeat(2 ** 20))),
  "a mebibyte of one letter": (target, signal) =>
    send(target, signal, "/v1/completions", JSON.stringify({ model: "base", prompt: "a".repeat(2 ** 20) })),
  "no HTTP": (target, signal) =>
    withSocket(
      target,
      signal,
      (socket) => socket.resume().write("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(100)),
    ),
  "no JSON": (target, signal) => send(target, signal, "/v1/feedback", "{".repeat(10)),
};
