// Trees of rows: every row can be read back from its tree, sees itself and nothing else, and costs what is new in it.

import { assert, assertEquals, assertStrictEquals } from "@std/assert";
import { packRows, packTree, type Sequence, sequenceLength, treeGroups } from "../../shared/feedback/micro_batch.ts";
import { Random } from "../../shared/random.ts";

/** Rows over few tokens, so that beginnings are often shared. */
function randomRows(random: Random, count: number): Sequence[] {
  const ids = (length: number) => Array.from({ length }, () => random.int(3));
  return Array.from(
    { length: count },
    () => ({ promptIds: ids(1 + random.int(6)), completionIds: ids(1 + random.int(5)) }),
  );
}

Deno.test("in a tree, the places that a scored token's place sees spell exactly its row up to there", () => {
  const random = new Random(4);
  for (let round = 0; round < 100; round++) {
    const rows = randomRows(random, 1 + random.int(8)), multiple = 1 + random.int(4);
    const batch = packTree(rows, multiple);
    assertStrictEquals(batch.scored.length % multiple, 0);
    let token = 0;
    rows.forEach(({ promptIds, completionIds }, row) => {
      const ids = [...promptIds, ...completionIds];
      completionIds.forEach((id, i) => {
        const place = Number(batch.scored[token]), seen: number[] = [];
        for (let j = 0; j <= place; j++) if (place < Number(batch.subtreeEnds[j])) seen.push(j);
        assertEquals(seen.map((j) => Number(batch.inputIds[j])), ids.slice(0, promptIds.length + i));
        assertEquals(seen.map((j) => Number(batch.positions[j])), seen.map((_, position) => position));
        assertStrictEquals(batch.targets[token], BigInt(id));
        assertStrictEquals(batch.rowOfToken[token++], BigInt(row));
      });
    });
  }
});

Deno.test("a tree holds every distinct beginning once", () => {
  const random = new Random(5);
  for (let round = 0; round < 50; round++) {
    const rows = randomRows(random, 1 + random.int(12));
    const beginnings = rows.flatMap(({ promptIds, completionIds }) => {
      const ids = [...promptIds, ...completionIds];
      return ids.map((_, i) => ids.slice(0, i + 1).join());
    });
    assertEquals(packTree(rows, 1).sequence, new Set(beginnings).size);
  }
});

Deno.test("rows side by side are a tree without branches: positions count up and nothing ends early", () => {
  const batch = packRows([{ promptIds: [7, 8], completionIds: [9] }, { promptIds: [7], completionIds: [1, 2, 3] }], 2);
  assertEquals([...batch.positions].map(Number), Array.from({ length: batch.sequence }, (_, i) => i));
  assert(batch.subtreeEnds.every((end) => end === BigInt(batch.sequence)));
});

Deno.test("groups hold each row once, keep to the budget, and leave no worker without work", () => {
  const random = new Random(6);
  for (let round = 0; round < 100; round++) {
    const rows = randomRows(random, 4 + random.int(40)), budget = 12 + random.int(40), workers = 1 + random.int(3);
    const groups = treeGroups(rows, budget, workers);
    assertEquals(groups.flat().sort((a, b) => a - b), rows.map((_, i) => i));
    assertEquals(treeGroups(rows, budget, workers), groups);
    for (const group of groups) {
      const tokens = packTree(group.map((i) => rows[i]!), 1).sequence;
      assert(tokens <= budget || group.length === 1, `${tokens} tokens in a budget of ${budget}`);
    }
    const distinct = new Set(rows.map(({ promptIds, completionIds }) => [...promptIds, ...completionIds].join())).size;
    if (distinct >= 4 * workers) assert(groups.length >= workers, `${groups.length} groups for ${workers} workers`);
    assert(groups.every((group) => group.every((i) => sequenceLength(rows[i]!) > 0)));
  }
});
