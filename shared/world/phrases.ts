// How each topic of the embedded world is asked and told: sentence frames with slots, next to the facts that fill them.
// It does not know about manners (grammar.ts) or about judging (judge.ts). Small talk has no slots and is in chat.ts.
import * as facts from "./facts.ts";

/** One thing the world knows: the slots of its frames, and the accepted answers (the world says the first). */
export interface Fact {
  entity: string;
  slots: Record<string, string>;
  answers: string[];
}

/** `asks` and `tells` are frames such as "the opposite of {e} is {a}"; the world says two tells, the judge accepts all. */
export interface Topic {
  name: string;
  facts: Fact[];
  asks: string[];
  tells: string[];
}

/** Fills `{slot}`s; an unknown slot is a mistake in a table, so it throws. */
export function fill(frame: string, slots: Record<string, string>): string {
  return frame.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = slots[name];
    if (value === undefined) throw new Error(`no slot "${name}" for "${frame}"`);
    return value;
  });
}

/** With a capital first letter. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** "a cow", "an owl". */
function articled(noun: string): string {
  return `${/^[aeiou]/.test(noun) ? "an" : "a"} ${noun}`;
}

/** The ways to ask for something that has a name of its own, such as "the capital of France" or "what a cow is". */
function commonAsks(thing: string): string[] {
  return [
    `Tell me ${thing}.`,
    `Can you tell me ${thing}?`,
    `I want to know ${thing}.`,
    `Do you know ${thing}?`,
    `Please say ${thing}.`,
  ];
}

/** Tells that fit every topic; the grammar never says them, but a tuned model may. */
const COMMON_TELLS = ["it is {a}", "that is {a}", "the answer is {a}"];

/** A topic whose answer is "the <something> of <entity>". */
function named(name: string, thing: string, more: string[], tells: string[], rows: Fact[]): Topic {
  return {
    name,
    facts: rows,
    asks: [`What is ${thing}?`, ...commonAsks(thing), ...more],
    tells: [`${thing} is {a}`, ...tells, `{a} is ${thing}`, ...COMMON_TELLS],
  };
}

/** A topic asked with a clause of its own, such as "what a cow is". */
function clausal(name: string, clause: string, more: string[], tells: string[], rows: Fact[]): Topic {
  return { name, facts: rows, asks: [...commonAsks(clause), ...more], tells: [...tells, ...COMMON_TELLS] };
}

function fact(entity: string, answer: string, also: string[] = [], e = entity): Fact {
  return { entity, slots: { e }, answers: [answer, ...also] };
}

function bothWays(): Fact[] {
  const also = (word: string) => facts.ALSO_OPPOSITE[word] ?? [];
  return facts.OPPOSITES.flatMap(([a, b]) => [fact(a, b, also(a)), fact(b, a, also(b))]);
}

/** Neighbours in a list, forwards (+1) or backwards (-1); days and months go round, the alphabet ends. */
function neighbours(list: readonly string[], step: 1 | -1, round: boolean): Fact[] {
  return list.flatMap((entity, i) => {
    const j = i + step;
    const other = list[round ? (j + list.length) % list.length : j];
    return other === undefined ? [] : [fact(entity, other)];
  });
}

function arithmetic(sign: "+" | "-"): Fact[] {
  const out: Fact[] = [];
  for (let x = 1; x <= 10; x++) {
    for (let y = 1; y <= (sign === "+" ? 10 : x); y++) {
      const result = String(sign === "+" ? x + y : x - y);
      out.push({ entity: `${x} ${sign} ${y}`, slots: { x: String(x), y: String(y) }, answers: [result] });
    }
  }
  return out;
}

const animals = (rows: readonly [string, string][]) => rows.map(([e, a]) => fact(e, a, [], articled(e)));
const plain = (rows: readonly [string, string][]) => rows.map(([e, a]) => fact(e, a));

function ordered(kind: string, list: readonly string[], round: boolean): Topic[] {
  const sides = [["after", 1, "comes"], ["before", -1, "comes"]] as const;
  return sides.map(([side, step]) =>
    named(
      `${kind} ${side}`,
      `the ${kind} ${side} {e}`,
      [`Which ${kind} comes ${side} {e}?`, `What comes right ${side} {e}?`, `${kind} ${side} {e}?`],
      [`${side} {e} comes {a}`, `{a} comes ${side} {e}`, `{a} comes right ${side} {e}`],
      neighbours(list, step, round),
    )
  );
}

/** Every topic with slots, in a fixed order. */
export const TOPICS: readonly Topic[] = [
  named(
    "opposite",
    "the opposite of {e}",
    ["opposite of {e}?", "Which word is the opposite of {e}?", "I need the opposite of {e}."],
    ["the answer is {a}"],
    bothWays(),
  ),
  named(
    "capital",
    "the capital of {e}",
    ["capital of {e}?", "Which city is the capital of {e}?", "I need the capital of {e}."],
    ["the answer is {a}"],
    facts.COUNTRIES.map(([country = "", capital = ""]) => fact(country, capital)),
  ),
  named(
    "continent",
    "the continent of {e}",
    ["Where is {e}?", "Which continent is {e} in?", "continent of {e}?"],
    ["{e} is in {a}"],
    facts.COUNTRIES.map(([country = "", , continent = ""]) => fact(country, continent)),
  ),
  named(
    "colour",
    "the colour of {e}",
    ["What colour is {e}?", "Which colour does {e} have?", "colour of {e}?"],
    ["I would say {e} is {a}", "{e} is {a}"],
    facts.COLOURS.map(({ entity, answers }) => fact(entity, answers[0] ?? "", answers.slice(1))),
  ),
  named(
    "plural",
    "the plural of {e}",
    ["plural of {e}?", "Which word is the plural of {e}?", "How do you say more than one {e}?"],
    ["we say one {e} and two {a}", "one {e}, two {a}"],
    plain(facts.PLURALS),
  ),
  ...ordered("day", facts.DAYS, true),
  ...ordered("month", facts.MONTHS, true),
  ...ordered("letter", facts.LETTERS, false),
  named(
    "sound",
    "the sound of {e}",
    ["What sound does {e} make?", "What does {e} say?", "sound of {e}?"],
    ["{e} says {a}", "{e} makes {a}"],
    animals(facts.SOUNDS),
  ),
  named(
    "baby",
    "the name of a baby {e}",
    ["What is a baby {e} called?", "What do you call a baby {e}?", "baby {e}?"],
    ["we call a baby {e} a {a}", "a baby {e} is called a {a}", "a baby {e} is a {a}"],
    plain(facts.BABIES),
  ),
  clausal(
    "legs",
    "how many legs {e} has",
    ["How many legs does {e} have?", "What is the number of legs of {e}?", "legs of {e}?"],
    ["{e} has {a} legs", "the number of legs of {e} is {a}"],
    animals(facts.LEGS),
  ),
  clausal(
    "kind",
    "what {e} is",
    ["What is {e}?", "What kind of thing is {e}?", "{e} is what?"],
    ["{e} is {a}", "we know that {e} is {a}", "I would say {e} is {a}"],
    facts.KINDS.map(({ entity, answers }) => fact(entity, answers[0] ?? "")),
  ),
  clausal(
    "sum",
    "what {x} plus {y} is",
    ["What is {x} plus {y}?", "{x} + {y}?", "How much is {x} + {y}?", "Add {x} and {y}."],
    ["{x} plus {y} is {a}", "{x} and {y} make {a}", "{x} plus {y} makes {a}", "{x} + {y} is {a}", "{x} + {y} = {a}"],
    arithmetic("+"),
  ),
  clausal(
    "difference",
    "what {x} minus {y} is",
    ["What is {x} minus {y}?", "{x} - {y}?", "How much is {x} - {y}?", "Take {y} away from {x}."],
    [
      "{x} minus {y} is {a}",
      "{y} from {x} makes {a}",
      "{x} minus {y} makes {a}",
      "{x} - {y} is {a}",
      "{x} - {y} = {a}",
    ],
    arithmetic("-"),
  ),
];
