// A hub of one repository on this machine, for tests: lists and serves a folder's files under the hub's addresses, and
// can refuse or break off as the hub and the net do.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

export interface LocalHub {
  host: string;
  /** Paths of files that were asked for since the last look. */
  asked: string[];
  /** What happens to a request, where it is not the usual; may be changed while the hub runs. */
  trouble?: ((path: string) => Response | undefined) | undefined;
}

const all = (folder: string, path = ""): string[] =>
  readdirSync(join(folder, path)).flatMap((name) => {
    const each = path === "" ? name : `${path}/${name}`;
    return statSync(join(folder, each)).isDirectory() ? all(folder, each) : [each];
  });

/** A body that ends with an error after its first bytes. */
export function brokenOff(bytes: Uint8Array<ArrayBuffer>): Response {
  const body = new ReadableStream({
    async pull(controller) {
      controller.enqueue(bytes.subarray(0, bytes.length / 2));
      await new Promise((resolve) => setTimeout(resolve, 20));
      controller.error(new Error("the cable was cut"));
    },
  });
  return new Response(body, { headers: { "content-length": `${bytes.length}` } });
}

/** Serves `folder` as the repository owner/name. */
export async function withHub(folder: string, run: (hub: LocalHub) => Promise<void>): Promise<void> {
  const hub: LocalHub = { host: "", asked: [] };
  const server = Deno.serve({
    port: 0,
    hostname: "127.0.0.1",
    onListen: () => {},
    onError: () => new Response(null, { status: 500 }),
  }, async (request) => {
    const { pathname } = new URL(request.url);
    const trouble = hub.trouble?.(pathname);
    if (trouble) return trouble;
    if (pathname === "/api/models/owner/name") {
      return Response.json({ id: "owner/name", siblings: all(folder).map((rfilename) => ({ rfilename })) });
    }
    if (!pathname.startsWith("/owner/name/resolve/main/")) {
      return new Response("Invalid username or password.", {
        status: 401,
        headers: { "x-error-code": "RepoNotFound" },
      });
    }
    const file = pathname.slice("/owner/name/resolve/main/".length), path = join(folder, file);
    hub.asked.push(file);
    if (!existsSync(path)) return new Response("Entry not found", { status: 404 });
    const bytes = await Deno.readFile(path), range = request.headers.get("range");
    const headers = { "content-length": `${bytes.length}` };
    if (!range) return new Response(bytes, { headers });
    return new Response(bytes.slice(0, 1), { status: 206, headers: { "content-range": `bytes 0-0/${bytes.length}` } });
  });
  hub.host = `http://127.0.0.1:${server.addr.port}`;
  try {
    await run(hub);
  } finally {
    await server.shutdown();
  }
}
