// The system's C library, for the few functions of it that Deno does not have. It does not know what is called.

const files: Partial<Record<typeof Deno.build.os, string>> = { linux: "libc.so.6", darwin: "libSystem.dylib" };

/** Opens functions of the library; undefined where the system is another, or the library has not all of them. */
export function openLibc<Symbols extends Deno.ForeignLibraryInterface>(
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols>["symbols"] | undefined {
  const file = files[Deno.build.os];
  try {
    return file === undefined ? undefined : Deno.dlopen(file, symbols).symbols;
  } catch {
    return undefined;
  }
}
