// GET / and /console/…: the console's files as they lie in services/gateway/console/, and the libraries it imports, out
// of the npm packages. It does not know what the console does.

import type { OpenAPIHono } from "@hono/zod-openapi";
import { etag } from "hono/etag";
import { extname } from "node:path";
import type { GatewayEnv } from "../gateway.ts";

const folder = new URL("../console/", import.meta.url);

/** Types by the ending of a name. */
const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** What the console imports, by the name after `/console/vendor/`. */
const vendor: Record<string, string> = {
  "htm.js": "htm/preact/standalone",
  "uplot.js": "uplot/dist/uPlot.esm.js",
  "uplot.css": "uplot/dist/uPlot.min.css",
};

/** All files under a folder that the console may ask for, by their path in it. */
function filesUnder(root: URL, prefix = ""): [path: string, file: URL][] {
  return [...Deno.readDirSync(root)].flatMap(({ name, isDirectory }): [string, URL][] => {
    if (isDirectory) return filesUnder(new URL(`${name}/`, root), `${prefix}${name}/`);
    return extname(name) in types ? [[prefix + name, new URL(name, root)]] : [];
  });
}

/** Adds the routes. They need no key: the pages hold nothing, and ask for a key where the API wants one. */
export function addConsole(app: OpenAPIHono<GatewayEnv>): void {
  const files = new Map(filesUnder(folder));
  for (const [name, specifier] of Object.entries(vendor)) {
    files.set(`vendor/${name}`, new URL(import.meta.resolve(specifier)));
  }
  // One route for all, so that the request log and the metrics know them as one.
  app.on("GET", ["/", "/console/:file{.+}"], etag(), async (context) => {
    const path = context.req.param("file") ?? "index.html", file = files.get(path);
    if (!file) return context.notFound();
    return context.body(await Deno.readFile(file), 200, {
      "Content-Type": types[extname(path)]!,
      "Cache-Control": "no-cache",
    });
  });
}
