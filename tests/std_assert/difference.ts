// Two values as text, line by line, with the lines in which they differ marked. It does not judge whether they are equal.

/** A value as text that shows all of it, with sorted keys, one property a line. */
export function written(value: unknown): string {
  return Deno.inspect(value, {
    depth: Infinity,
    sorted: true,
    compact: false,
    trailingComma: true,
    getters: true,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
  });
}

/** Equal lines that are shown around a difference. */
const AROUND = 3;
/** Cells of the table of common lines; beyond, all lines between the common beginning and end count as different. */
const MOST_CELLS = 4_000_000;

/** What has to change for `actual` to be `expected`: `-` lines are of the first, `+` lines of the second. */
export function difference(actual: unknown, expected: unknown): string {
  const texts = typeof actual === "string" && typeof expected === "string";
  const [a, b] = [actual, expected].map((value) => (texts ? String(value) : written(value)).split("\n")) as [
    string[],
    string[],
  ];
  const marked = mark(a, b);
  const near = marked.map((_, at) => marked.slice(Math.max(0, at - AROUND), at + AROUND + 1).some(([s]) => s !== " "));
  const lines: string[] = [];
  for (const [at, [sign, line]] of marked.entries()) {
    if (near[at]) lines.push(`${sign}   ${line}`);
    else if (at === 0 || near[at - 1]) lines.push("    …");
  }
  return ["", "    [Diff] - actual, + expected", "", ...lines].join("\n");
}

type Marked = readonly [sign: " " | "-" | "+", line: string];

/** Both lists of lines as one, by their longest common subsequence. */
function mark(a: readonly string[], b: readonly string[]): Marked[] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let end = 0;
  while (end < Math.min(a.length, b.length) - start && a.at(-1 - end) === b.at(-1 - end)) end++;
  const kept = (lines: readonly string[]) => lines.map((line): Marked => [" ", line]);
  return [
    ...kept(a.slice(0, start)),
    ...markMiddle(a.slice(start, a.length - end), b.slice(start, b.length - end)),
    ...kept(a.slice(a.length - end)),
  ];
}

function markMiddle(a: readonly string[], b: readonly string[]): Marked[] {
  const gone = (lines: readonly string[]) => lines.map((line): Marked => ["-", line]);
  const come = (lines: readonly string[]) => lines.map((line): Marked => ["+", line]);
  const width = b.length + 1;
  if ((a.length + 1) * width > MOST_CELLS) return [...gone(a), ...come(b)];
  const common = new Uint32Array((a.length + 1) * width); // of a from i and b from j on
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      common[i * width + j] = a[i] === b[j]
        ? common[(i + 1) * width + j + 1]! + 1
        : Math.max(common[(i + 1) * width + j]!, common[i * width + j + 1]!);
    }
  }
  const marked: Marked[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    if (a[i] === b[j]) {
      marked.push([" ", a[i++]!]);
      j++;
    } else if (common[(i + 1) * width + j]! >= common[i * width + j + 1]!) {
      marked.push(["-", a[i++]!]);
    } else marked.push(["+", b[j++]!]);
  }
  return [...marked, ...gone(a.slice(i)), ...come(b.slice(j))];
}
