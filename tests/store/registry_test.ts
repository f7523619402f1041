// The registry: adapters with their lineage.

import { assertEquals, assertRejects } from "@std/assert";
import {
  deleteAdapter,
  findAdapter,
  listAdapters,
  registerAdapter,
  registeredVersions,
} from "../../shared/store/registry.ts";
import { databaseTest } from "./databases.ts";
import { adapter } from "./promotable.ts";

databaseTest(
  "an adapter comes back as it was registered, the last one first whatever its clock said, and its name is taken until it is deleted",
  async (database) => {
    const old = adapter("old"),
      young = adapter("young", { createdAt: old.createdAt - 1, gate: null, jobId: "ftjob-1" });
    await registerAdapter(database, old);
    await registerAdapter(database, young);
    assertEquals(await listAdapters(database), [young, old]);
    assertEquals(await findAdapter(database, "young"), young);
    await assertRejects(() => registerAdapter(database, adapter("old")));
    await deleteAdapter(database, "old");
    assertEquals(await listAdapters(database), [young]);
    assertEquals([...await registeredVersions(database)], [young.version]);
  },
);
