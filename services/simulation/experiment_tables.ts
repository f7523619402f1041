// The tables of docs/STATISTICS.md about experiments: which crowds are drawn, and what became of their figures. It draws
// and prints nothing itself.

import { Random } from "../../shared/random.ts";
import { type Crowd, differenceCoverage, rateCoverage, toldApart, type Watched } from "./experiments.ts";

/** A table; cells as they are printed. */
export interface Table {
  title: string;
  head: string[];
  rows: string[][];
}

const percent = (share: number) => `${(100 * share).toFixed(1)}%`;

/** People and thumbs a person; a thumb each has no correlation to find. */
const crowds: Pick<Crowd, "people" | "thumbs">[] = [
  { people: 30, thumbs: 1 },
  { people: 300, thumbs: 1 },
  { people: 3000, thumbs: 1 },
  { people: 3, thumbs: 20 },
  { people: 5, thumbs: 20 },
  { people: 10, thumbs: 20 },
  { people: 20, thumbs: 20 },
  { people: 50, thumbs: 20 },
  { people: 150, thumbs: 20 },
  { people: 1000, thumbs: 3 },
  { people: 20, thumbs: "geometric" },
  { people: 100, thumbs: "geometric" },
  { people: 600, thumbs: "geometric" },
  { people: 20, thumbs: "Zipf" },
  { people: 100, thumbs: "Zipf" },
];
const rates = [0.02, 0.1, 0.5, 0.9];

const inWords = ({ people, thumbs }: Pick<Crowd, "people" | "thumbs">) =>
  `${people} × ${typeof thumbs === "number" ? thumbs : thumbs === "Zipf" ? "60, 30, 20 …" : "5 on average"}`;

/** Coverage of the rate's interval; in brackets that of Wilson's over thumbs. */
export function rateTable(correlation: number, draws: number, seed: number): Table {
  const random = new Random(seed);
  const these = crowds.filter(({ thumbs }) => (thumbs === 1) === (correlation === 0));
  return {
    title: `Rate, correlation ${correlation} of a person's thumbs, ${draws} draws`,
    head: ["people × thumbs", ...rates.map((rate) => `rate ${rate}`)],
    rows: these.map((crowd) => [
      inWords(crowd),
      ...rates.map((rate) => {
        const { covered, byThumbs } = rateCoverage({ ...crowd, rate, correlation }, draws, random);
        return `${percent(covered)} (${percent(byThumbs)})`;
      }),
    ]),
  };
}

/** Coverage of the interval of a difference, of arms that are alike. */
export function differenceTable(correlation: number, draws: number, seed: number): Table {
  const random = new Random(seed), few = rates.slice(0, 3);
  const head = (whose: string) => few.map((rate) => `${whose}, rate ${rate}`);
  return {
    title: `Difference of two arms that are alike, correlation ${correlation}, ${draws} draws`,
    head: ["people × thumbs of each", ...head("others"), ...head("the same people")],
    rows: crowds.filter(({ thumbs }) => thumbs !== 1).map((crowd) => [
      inWords(crowd),
      ...[false, true].flatMap((shared) =>
        few.map((rate) => percent(differenceCoverage({ ...crowd, rate, correlation }, shared, draws, random)))
      ),
    ]),
  };
}

/** Crowds that are watched: with one thumb each, some, and many. */
const watched: Pick<Watched, "people" | "thumbs" | "correlation">[] = [
  { people: 600, thumbs: 600, correlation: 0.2 },
  { people: 100, thumbs: 800, correlation: 0.2 },
  { people: 20, thumbs: 800, correlation: 0.2 },
  { people: 80, thumbs: 800, correlation: 0.6 },
];

/** How often an arm that is as good as the other is called better or worse at some look. */
export function falseVerdictTable(experiments: number, seed: number): Table {
  const random = new Random(seed);
  return {
    title: `Arms that are alike: called better at some look, called worse, and by the interval of one look, ` +
      `${experiments} experiments`,
    head: ["people of each, thumbs in all, correlation", "rate", "20 looks", "a look after each thumb"],
    rows: watched.flatMap((crowd) =>
      [0.02, 0.1, 0.5].map((rate) => [
        `${crowd.people}, ${crowd.thumbs}, ${crowd.correlation}`,
        `${rate}`,
        ...[20, crowd.thumbs].map((looks) => {
          const { better, worse, byOneLook } = toldApart({ ...crowd, rate, difference: 0, looks }, experiments, random);
          return `${percent(better)}, ${percent(worse)} (${percent(byOneLook)})`;
        }),
      ])
    ),
  };
}

/** How many thumbs it takes to see a difference that is there. */
export function powerTable(experiments: number, seed: number): Table {
  const random = new Random(seed);
  const differences = [[0.4, 0.2], [0.4, 0.1], [0.7, 0.05], [0.02, 0.04]] as const;
  const crowds = [{ people: 3000, correlation: 0 }, { people: 500, correlation: 0.2 }, {
    people: 75,
    correlation: 0.2,
  }];
  return {
    title: `Arms that differ: called better within 3,000 thumbs, and the median of thumbs till then, ` +
      `${experiments} experiments, a look every 50`,
    head: ["rates", ...crowds.map(({ people, correlation }) => `${people} people of each, correlation ${correlation}`)],
    rows: differences.map(([rate, difference]) => [
      `${rate} and ${Number((rate + difference).toFixed(2))}`,
      ...crowds.map((crowd) => {
        const { better, thumbs } = toldApart(
          { ...crowd, thumbs: 3000, rate, difference, looks: 60 },
          experiments,
          random,
        );
        return Number.isFinite(thumbs) ? `${percent(better)}, ${thumbs}` : percent(better);
      }),
    ]),
  };
}

/** All of them. @param effort 1 is what docs/STATISTICS.md has; less draws fewer */
export function experimentTables(effort: number, seed: number): Table[] {
  const draws = Math.ceil(2000 * effort), experiments = Math.ceil(1000 * effort);
  return [
    ...[0, 0.2, 0.6].map((correlation) => rateTable(correlation, draws, seed)),
    differenceTable(0.2, draws, seed),
    falseVerdictTable(experiments, seed),
    powerTable(Math.ceil(experiments / 4), seed),
  ];
}
