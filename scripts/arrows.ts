// The part of `deno task check` that looks at imports: arrows point down (scripts → services → workers → shared), nothing
// but tests imports tests, and no files import each other in a circle. It reads Deno's own module graph, imports of types
// included, and the URLs of modules that are started as workers. It does not know what any file does.

import { relative } from "node:path";
import { fileURLToPath } from "node:url";

/** What each file imports: paths from the project's root. */
export type ImportGraph = ReadonlyMap<string, readonly string[]>;

/** From top to bottom; a room may import itself and what is below it. Tests may import all. */
const rooms = ["tests", "scripts", "services", "workers", "shared"];

const roomOf = (path: string) => rooms.indexOf(path.split("/")[0]!);

/** Imports of a room that lies above, or of a file that lies in none of the rooms. A sentence each. */
export function arrowsUp(graph: ImportGraph): string[] {
  return [...graph].flatMap(([from, imports]) =>
    imports.filter((to) => roomOf(to) < roomOf(from)).map((to) =>
      `${from} imports ${to}: arrows point down, ${rooms.slice(1).join(" → ")}.`
    )
  );
}

/**
 * Files that import each other, each circle once, as sentences.
 *
 * Source: R. Tarjan, "Depth-first search and linear graph algorithms", SIAM J. Comput. 1 (1972): strongly connected
 * components of more than one file, or of one that imports itself.
 */
export function circles(graph: ImportGraph): string[] {
  const order = new Map<string, number>(), lowest = new Map<string, number>();
  const stack: string[] = [], found: string[] = [];
  const visit = (file: string) => {
    order.set(file, order.size);
    lowest.set(file, order.get(file)!);
    stack.push(file);
    for (const next of graph.get(file) ?? []) {
      if (!order.has(next)) visit(next);
      if (stack.includes(next)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(next)!));
    }
    if (lowest.get(file) !== order.get(file)) return;
    const circle = stack.splice(stack.indexOf(file));
    if (circle.length > 1 || graph.get(file)?.includes(file)) found.push(`A circle of imports: ${circle.join(", ")}.`);
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}

/** Modules that are started as workers: their URL is written as `new URL("…", import.meta.url)`. */
const startedModules = /new URL\(\s*"([^"]+\.[jt]s)",\s*import\.meta\.url,?\s*\)/g;

interface ModuleInfo {
  specifier: string;
  error?: string;
  dependencies?: { code?: { specifier?: string }; type?: { specifier?: string } }[];
}

/** The project's graph. @throws Error for an import that leads nowhere */
async function readGraph(root: URL): Promise<ImportGraph> {
  const files = await output("git", ["ls-files", "-co", "--exclude-standard", "-z", "*.ts"], root);
  const urls = files.split("\0").filter((path) => path !== "").map((path) => new URL(path, root).href);
  const all = `data:application/typescript,${encodeURIComponent(urls.map((url) => `import "${url}";`).join("\n"))}`;
  const { modules } = JSON.parse(await output("deno", ["info", "--quiet", "--json", all], root)) as {
    modules: ModuleInfo[];
  };
  const failed = modules.find(({ error }) => error !== undefined);
  if (failed) throw new Error(failed.error);
  const path = (url: string) => relative(fileURLToPath(root), fileURLToPath(url));
  const own = modules.filter(({ specifier }) =>
    specifier.startsWith(root.href) && !specifier.includes("/node_modules/")
  );
  return new Map(
    await Promise.all(own.map(async ({ specifier, dependencies = [] }) => {
      const text = await Deno.readTextFile(new URL(specifier));
      const imported = dependencies.flatMap(({ code, type }) => [code?.specifier, type?.specifier]);
      const started = [...text.matchAll(startedModules)].map(([, module]) => new URL(module!, specifier).href);
      const inside = [...imported, ...started].filter((url) => url?.startsWith(root.href)) as string[];
      return [path(specifier), [...new Set(inside.map(path))]] as const;
    })),
  );
}

async function output(program: string, args: string[], cwd: URL): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  if (code !== 0) throw new Error(`${program} ${args[0]}: ${new TextDecoder().decode(stderr).trim()}`);
  return new TextDecoder().decode(stdout);
}

if (import.meta.main) {
  const graph = await readGraph(new URL("../", import.meta.url));
  const findings = [...arrowsUp(graph), ...circles(graph)];
  for (const finding of findings) console.error(finding);
  if (findings.length > 0) Deno.exit(1);
  console.log(`Arrows of ${graph.size} files point down, without a circle.`);
}
