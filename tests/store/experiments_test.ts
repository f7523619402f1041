// Desirable rates per arm, and their intervals.

import assert from "node:assert/strict";
import { storeCompletion } from "../../shared/store/completions.ts";
import { desirableRates, wilsonInterval } from "../../shared/store/experiments.ts";
import { putLabel } from "../../shared/store/labels.ts";
import { databaseTest } from "./databases.ts";
import { completion, thumb } from "./records.ts";

databaseTest("each arm of an alias counts its answers and the current labels on them", async (database) => {
  const arm = (alias: string | null, adapter: string | null) => ({ alias, adapter });
  await storeCompletion(database, completion("b1", arm("prospect", null), ["one", "two"]));
  await storeCompletion(database, completion("b2", arm("prospect", null)));
  await storeCompletion(database, completion("n1", arm("prospect", "new")));
  await storeCompletion(database, completion("o1", arm("other", "new")));
  await storeCompletion(database, completion("direct", arm(null, "new")));
  await putLabel(database, thumb("b1", { label: false }));
  await putLabel(database, thumb("b1"));
  await putLabel(database, thumb("b1", { choice: 1, label: false }));
  await putLabel(database, thumb("b1", { choice: 1, endUser: "ann", label: false }));
  await putLabel(database, thumb("direct"));
  await putLabel(database, thumb("o1"));
  const base = {
    alias: "prospect",
    base: "tiny",
    adapter: null,
    answers: 3,
    judged: 3,
    desirable: 1,
    rate: 1 / 3,
    interval: wilsonInterval(1, 3),
  };
  const none = { judged: 0, desirable: 0, rate: null, interval: null };
  const candidate = { alias: "prospect", base: "tiny", adapter: "new", answers: 1, ...none };
  assert.deepEqual(await desirableRates(database, "prospect"), [base, candidate]);
  assert.deepEqual((await desirableRates(database)).map(({ alias, adapter, judged }) => [alias, adapter, judged]), [
    ["other", "new", 1],
    ["prospect", null, 3],
    ["prospect", "new", 0],
  ]);
  assert.deepEqual(await desirableRates(database, "nobody's"), []);
});

Deno.test("an interval's ends are the rates that the score test only just accepts", () => {
  const z = 1.959963984540054;
  for (const [k, n] of [[1, 3], [81, 263], [15, 148], [999, 1000]] as const) {
    const { low, high } = wilsonInterval(k, n);
    for (const p of [low, high]) {
      // Wilson's definition, not the solved formula.
      assert(Math.abs(Math.abs(k / n - p) / Math.sqrt(p * (1 - p) / n) - z) < 1e-9, `${k} of ${n}: ${p}`);
    }
    assert(low < k / n && k / n < high);
  }
});

Deno.test("an interval of none or all stays within 0 and 1 and still says something", () => {
  const z2 = 1.959963984540054 ** 2;
  for (const n of [1, 10]) {
    const none = wilsonInterval(0, n), all = wilsonInterval(n, n);
    assert.equal(none.low, 0);
    assert.equal(all.high, 1);
    assert(Math.abs(none.high - z2 / (n + z2)) < 1e-12 && Math.abs(all.low - n / (n + z2)) < 1e-12);
  }
});
