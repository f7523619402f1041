// /v1/trainer over the app: whether one is at work, by the gateway's clock.

import { assert, assertEquals, assertMatch } from "@std/assert";
import { addJob } from "../../shared/store/jobs.ts";
import { noteTrainer } from "../../shared/store/presence.ts";
import { withGateway } from "./open_gateway.ts";
import { jobRequest } from "./registered.ts";

Deno.test("a trainer is at work while it is seen, and dead once it is silent, also where the clock was set back", async () => {
  await withGateway({}, async ({ gateway: { database }, call }) => {
    const trainer = async () => (await call("GET", "/v1/trainer")).json;
    assertEquals(await trainer(), { object: "trainer", at_work: false, last_seen: null, silent_seconds: null });
    await noteTrainer(database);
    const seen = await trainer();
    assertEquals([seen.at_work, seen.silent_seconds], [true, 0]);
    const { id } = await addJob(database, jobRequest, 0);
    const noticeOf = async () => (await call("GET", `/v1/fine_tuning/jobs/${id}`)).json.notice;
    assertEquals(await noticeOf(), null);
    const move = (milliseconds: number) => database.run("UPDATE presence SET seen_at = seen_at + $1", [milliseconds]);
    await move(-100_000);
    const silent = await trainer();
    assertEquals([silent.at_work, silent.last_seen], [false, seen.last_seen - 100_000]);
    assert(silent.silent_seconds >= 100);
    assertMatch(await noticeOf(), /No trainer has been seen for 1\d\d s/);
    await move(100_000 + 3_600_000);
    assertEquals((await trainer()).at_work, false, "seen an hour ahead of now, it would be alive until then");
    assertMatch(await noticeOf(), /since the clock was set back/);
  });
});
