// Numbers of things in words. It knows English plurals that end in s.

/** `1 row`, `2 rows`, `0 rows`. @param unit one of them, for example "row" */
export function counted(count: number, unit: string): string {
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
