// Small changes to a source text, each of which makes it mean something else: what a test of behaviour must notice. It reads
// text, with strings, comments and imports left alone; it does not know what is tested, or how.

/** One change to one place of a text. */
export interface Mutation {
  /** Where, counted from 1. */
  line: number;
  /** The line before and after, without the space around it. */
  before: string;
  after: string;
  /** The whole text, changed. */
  text: string;
}

/** What stands for what; each is tried wherever it matches. */
const rules: readonly [RegExp, string | ((match: string) => string)][] = [
  [/ < /g, " <= "],
  [/ <= /g, " < "],
  [/ > /g, " >= "],
  [/ >= /g, " > "],
  [/ === /g, " !== "],
  [/ !== /g, " === "],
  [/ && /g, " || "],
  [/ \|\| /g, " && "],
  [/ \?\? /g, " && "],
  [/(?<=[\w)\]]) \+ (?=[\w(])/g, " - "],
  [/(?<=[\w)\]]) - (?=[\w(])/g, " + "],
  [/(?<=[\w)\]]) \* (?=[\w(])/g, " / "],
  [/(?<=[\w)\]]) \/ (?=[\w(])/g, " * "],
  [/\bMath\.max\b/g, "Math.min"],
  [/\bMath\.min\b/g, "Math.max"],
  [/\btrue\b/g, "false"],
  [/\bfalse\b/g, "true"],
  [/(?<=[=(,[?:] )!(?=[\w(])/g, ""],
  [/(?<=\()!(?=[\w(])/g, ""],
  [/(?<![\w.$-])\d+(?:\.\d+)?(?![\w.])/g, (number) => number === "0" ? "1" : `${Number(number) * 2}`],
  // A statement of one line that does something, or stops something, does nothing.
  [/(?<=^[ \t]*)(?:await )?[a-z][\w.]*\([^\n]*\);$/gm, ";"],
  [/(?<=^[ \t]*)if \([^\n]*\) (?:throw|return|continue|break)[^\n]*;$/gm, ";"],
];

/** Words that begin a line whose meaning is for the type checker, or for other files. */
const untold = /^\s*(?:import|export \{|export type|export interface|type |interface |\*|\/\/|\/\*)/;

/** The text with what is said to people, and what is written in strings, blanked out: each place keeps its position. */
export function blanked(text: string): string {
  const blank = (match: string) => match.replace(/[^\n]/g, "\u0000");
  return text
    .replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"/g, blank)
    // Of templates only what is around their expressions.
    .replace(
      /`(?:[^`\\]|\\.)*`/g,
      (template) => template.replace(/\$\{[^}]*\}|[^$]|\$/g, (part) => part.startsWith("${") ? part : blank(part)),
    );
}

/** All mutations of a source text, in its order. */
export function mutationsOf(text: string): Mutation[] {
  const visible = blanked(text), found: (Mutation & { at: number })[] = [];
  for (const [pattern, replacement] of rules) {
    for (const match of visible.matchAll(pattern)) {
      const at = match.index, [matched] = match;
      const start = text.lastIndexOf("\n", at - 1) + 1, end = text.indexOf("\n", at);
      const before = text.slice(start, end < 0 ? undefined : end);
      if (untold.test(before)) continue;
      const by = typeof replacement === "string" ? replacement : replacement(matched);
      const changed = text.slice(0, at) + by + text.slice(at + matched.length);
      const changedEnd = changed.indexOf("\n", start);
      found.push({
        at,
        line: text.slice(0, at).split("\n").length,
        before: before.trim(),
        after: changed.slice(start, changedEnd < 0 ? undefined : changedEnd).trim(),
        text: changed,
      });
    }
  }
  return found.sort((a, b) => a.at - b.at).map(({ at: _, ...mutation }) => mutation);
}
