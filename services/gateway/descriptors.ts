// How many files and connections the system lets this process have open.

import { openLibc } from "../../shared/libc.ts";

/** Assumed where the system does not say. */
const assumed = 1024;

/** The C library's number of RLIMIT_NOFILE, by system. */
const resources: Partial<Record<typeof Deno.build.os, number>> = { linux: 7, darwin: 8 };

/** The limit of open file descriptors; Deno has raised it to what the system allows. */
export function mostDescriptors(): number {
  const resource = resources[Deno.build.os];
  const libc = openLibc({ getrlimit: { parameters: ["i32", "buffer"], result: "i32" } });
  if (resource === undefined || libc === undefined) return assumed;
  const limits = new BigUint64Array(2);
  return libc.getrlimit(resource, limits) === 0 ? Number(limits[0]) : assumed;
}
