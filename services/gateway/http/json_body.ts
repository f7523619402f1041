// Looks a JSON body over before it is parsed: how deep it nests, how many entries its lists and objects have. Parsing and
// validating take their time by the entry, and a body of megabytes can hold millions, so those that no route has use for
// are refused unread. It does not know what a body means.

import type { MiddlewareHandler } from "hono";
import type { GatewayEnv } from "../gateway.ts";
import { ApiError } from "./errors.ts";

/** What a body may have: levels, entries in one list or object, and in all of them together. */
export const jsonBounds = { depth: 32, entries: 4096, entriesInAll: 16_384 };

const [quote, backslash, comma, openList, closeList, openObject, closeObject] = [...'"\\,[]{}'].map((character) =>
  character.charCodeAt(0)
) as [number, number, number, number, number, number, number];

/** The index of the quote that ends the string that begins after `at`. */
function stringEnd(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === backslash) i++;
    else if (code === quote) return i;
  }
  return text.length;
}

/** What is too much about a text that should be JSON; undefined where nothing is. Whether it is JSON is not looked at. */
export function excessOf(text: string): string | undefined {
  /** Entries of the lists and objects that are open. */
  const open: number[] = [];
  let all = 0;
  const count = () => {
    const entries = open.length > 0 ? ++open[open.length - 1]! : 1;
    if (entries > jsonBounds.entries) return `a list or an object with more than ${jsonBounds.entries} entries`;
    if (++all > jsonBounds.entriesInAll) return `more than ${jsonBounds.entriesInAll} entries in its lists and objects`;
  };
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    let excess: string | undefined;
    if (code === quote) i = stringEnd(text, i);
    else if (code === comma) excess = count();
    else if (code === openList || code === openObject) {
      if (open.length === jsonBounds.depth) return `lists and objects more than ${jsonBounds.depth} deep`;
      open.push(0);
      excess = count();
    } else if (code === closeList || code === closeObject) open.pop();
    if (excess) return excess;
  }
  return undefined;
}

/** Methods whose bodies are read. */
const withBodies = new Set(["POST", "PUT", "PATCH"]);

/** Refuses bodies that are packed: what they unpack to has no bounds. */
export const refusePacked: MiddlewareHandler<GatewayEnv> = async (context, next) => {
  const encoding = context.req.header("Content-Encoding");
  const packed = encoding !== undefined && encoding.toLowerCase() !== "identity";
  if (packed && withBodies.has(context.req.method)) {
    const message = `Bodies are not unpacked here (${encoding}): send it as it is.`;
    throw new ApiError(415, message, null, "unsupported_encoding");
  }
  await next();
};

/** Refuses JSON with more in it than any route has use for. Whoever reads the body later gets the text that was read here. */
export const boundJson: MiddlewareHandler<GatewayEnv> = async (context, next) => {
  if (/^application\/(?:[\w.-]+\+)?json\b/i.test(context.req.header("Content-Type") ?? "")) {
    const excess = excessOf(await context.req.text());
    if (excess) throw new ApiError(400, `The body has ${excess}.`, null, "body_too_complex");
  }
  await next();
};
