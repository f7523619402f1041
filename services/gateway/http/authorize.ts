// Who may do what: API keys and their scopes, the host name a request is addressed to, and the page that sent it. It does
// not know how keys are stored.

import type { MiddlewareHandler } from "hono";
import { type Database } from "../../../shared/store/database.ts";
import { type ApiKey, callerOf, findKey, type Scope, scopes, withoutKey } from "../../../shared/store/keys.ts";
import type { Gateway, GatewayEnv } from "../gateway.ts";
import { ApiError } from "./errors.ts";

const everyScope: ReadonlySet<Scope> = new Set(scopes);

/**
 * How long a key that was found is trusted before it is looked up again, in milliseconds of a clock that nobody sets: a
 * revoked key ends within it.
 */
const trust = 1000;

function keyLookup(database: Database): (secret: string) => Promise<ApiKey | "revoked" | undefined> {
  const known = new Map<string, { until: number; found: ApiKey | "revoked" }>();
  return async (secret) => {
    const remembered = known.get(secret);
    if (remembered && remembered.until > performance.now()) return remembered.found;
    const found = await findKey(database, secret);
    known.delete(secret);
    if (found) {
      if (known.size >= 10_000) known.clear();
      known.set(secret, { until: performance.now() + trust, found });
    }
    return found;
  };
}

/** The key that a request sends: as OpenAI's clients do, or else as Azure's. */
function sentKey(headers: Headers): string | undefined {
  const [, bearer] = /^Bearer +(\S{1,200})$/i.exec(headers.get("Authorization") ?? "") ?? [];
  return bearer ?? /^\S{1,200}$/.exec(headers.get("api-key") ?? "")?.[0];
}

/**
 * Finds the request's key and its scopes. Where keys are not required, a request without one may do everything; a
 * request with a key of this gateway may do what the key may, there too.
 */
export function identify({ database, options }: Gateway): MiddlewareHandler<GatewayEnv> {
  const find = keyLookup(database);
  return async (context, next) => {
    const secret = sentKey(context.req.raw.headers);
    const found = secret === undefined ? undefined : await find(secret);
    if (found === "revoked") throw new ApiError(401, "This API key was revoked.", null, "invalid_api_key");
    context.set("key", found);
    // OpenAI's clients insist on sending a key, so where none is needed an unknown one is as good as none.
    const open = options.keysRequired ? new Set<Scope>() : everyScope;
    context.set("scopes", found ? (found.scopes.includes("admin") ? everyScope : new Set(found.scopes)) : open);
    context.set("caller", found ? callerOf(found) : withoutKey);
    await next();
  };
}

/** Lets a request pass that has one of the scopes. */
export function requireScope(...wanted: readonly Scope[]): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    const granted = context.get("scopes");
    if (wanted.some((scope) => granted.has(scope))) return await next();
    if (context.get("key")) {
      const lacking = wanted.map((scope) => `"${scope}"`).join(" or ");
      throw new ApiError(403, `This API key lacks the scope ${lacking}.`, null, "insufficient_scope");
    }
    const message =
      "A valid API key is needed: send Authorization: Bearer KEY. Keys are made with deno task keys create.";
    throw new ApiError(401, message, null, "invalid_api_key");
  };
}

/**
 * Refuses requests addressed to another name than this gateway's. A web page can make a browser call a loopback address
 * under a name of its own (DNS rebinding); where no key is needed, the name is all that tells such a call apart.
 */
export function requireHost({ options: { hosts } }: Gateway): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    // The URL is what the Host header makes of it, and that can be anything.
    if (!URL.canParse(context.req.url)) throw new ApiError(400, "The Host header is no name of a host.");
    const name = new URL(context.req.url).hostname;
    if (hosts && !hosts.has(name)) {
      throw new ApiError(
        403,
        `This gateway does not answer to the name ${name}; call it by its address.`,
        null,
        "wrong_host",
      );
    }
    await next();
  };
}

/**
 * Refuses what pages of other sites send. A browser lets any page send a plain POST (a form, a text) to a loopback
 * address; it only keeps the page from reading the answer. Where keys are needed a page has none, so its name is not
 * asked for, and a proxy may change the host.
 */
export function requireOrigin({ options: { keysRequired, corsOrigins } }: Gateway): MiddlewareHandler<GatewayEnv> {
  return async (context, next) => {
    const origin = context.req.header("Origin");
    if (!keysRequired && origin !== undefined && !corsOrigins.includes(origin)) {
      const own = URL.canParse(origin) && new URL(origin).host === new URL(context.req.url).host;
      if (!own) {
        throw new ApiError(
          403,
          `Pages of ${origin} may not call this gateway; start it with --cors-origin ${origin} if they should.`,
          null,
          "wrong_origin",
        );
      }
    }
    await next();
  };
}
