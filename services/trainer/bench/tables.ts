// Lays a benchmark's numbers out for people. It does not measure.

/** Lines of a table: the first column to the left, the others to the right, widths as needed. */
export function table(head: string[], rows: string[][]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) =>
    row.map((cell, column) => column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)).join("   ")
      .trimEnd()
  );
}

/** Three figures, more where the whole number has more. */
export function figures(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString("en") : String(Number(value.toPrecision(3)));
}

/** Bytes for people, in powers of 1,000. */
export function bytes(value: number): string {
  return value >= 1e9 ? `${(value / 1e9).toFixed(2)} GB` : `${Math.round(value / 1e6)} MB`;
}

/** How many times: "6.2×". */
export function times(value: number): string {
  return `${figures(value)}×`;
}

export function percent(share: number): string {
  return `${Math.round(100 * share)}%`;
}
