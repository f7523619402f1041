// What gateway and trainer let each other know, through whichever database they share.

import { assertEquals, assertMatch } from "@std/assert";
import { noteServedBase, noteTrainer, servedBase, trainerNotice } from "../../shared/store/presence.ts";
import { databaseTest } from "./databases.ts";

databaseTest("the base that is served is what was said last, and a trainer says nothing of it", async (database) => {
  assertEquals(await servedBase(database), undefined);
  await noteTrainer(database);
  assertEquals(await servedBase(database), undefined);
  await noteServedBase(database, "one@0123");
  await noteServedBase(database, "two@4567");
  await noteTrainer(database);
  assertEquals(await servedBase(database), "two@4567");
});

databaseTest("a trainer that falls silent is missed after a while, by how long it is silent", async (database) => {
  const now = Date.now;
  const noticeAfter = async (seconds: number) => {
    Date.now = () => now() + 1000 * seconds;
    try {
      return await trainerNotice(database);
    } finally {
      Date.now = now;
    }
  };
  assertMatch((await noticeAfter(0))!, /^No trainer has been seen yet: the job waits until one is at work/);
  await noteServedBase(database, "one@0123");
  assertMatch((await noticeAfter(0))!, /seen yet/);
  await noteTrainer(database);
  assertEquals(await noticeAfter(0), null);
  assertEquals(await noticeAfter(10), null);
  assertMatch((await noticeAfter(3600))!, /^No trainer has been seen for 360\d s: the job waits/);
  assertMatch((await noticeAfter(-3600))!, /^No trainer has been seen since the clock was set back: the job waits/);
});
