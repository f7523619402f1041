// How many files and connections the system lets this process have open.

/** Assumed where the system does not say. */
const assumed = 1024;

/** The C library's file and its number of RLIMIT_NOFILE, by system. */
const libraries: Partial<Record<typeof Deno.build.os, [file: string, resource: number]>> = {
  linux: ["libc.so.6", 7],
  darwin: ["libSystem.dylib", 8],
};

/** The limit of open file descriptors; Deno has raised it to what the system allows. */
export function mostDescriptors(): number {
  const [file, resource] = libraries[Deno.build.os] ?? [];
  if (file === undefined || resource === undefined) return assumed;
  try {
    const { symbols } = Deno.dlopen(file, { getrlimit: { parameters: ["i32", "buffer"], result: "i32" } });
    const limits = new BigUint64Array(2);
    return symbols.getrlimit(resource, limits) === 0 ? Number(limits[0]) : assumed;
  } catch {
    // Another C library.
    return assumed;
  }
}
