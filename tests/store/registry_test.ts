// The registry: adapters with their lineage.

import assert from "node:assert/strict";
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
    assert.deepEqual(await listAdapters(database), [young, old]);
    assert.deepEqual(await findAdapter(database, "young"), young);
    await assert.rejects(registerAdapter(database, adapter("old")));
    await deleteAdapter(database, "old");
    assert.deepEqual(await listAdapters(database), [young]);
    assert.deepEqual([...await registeredVersions(database)], [young.version]);
  },
);
