// Settings of a trainer of the embedded model, for tests that start the service within their own process.

import type { TrainerSettings } from "../../../services/trainer/service/settings.ts";
import { embeddedModelFolder } from "../../../shared/runtime/embedded_model.ts";

/** A trainer that trains when asked, with what the test changes. */
export const trainerSettings = (changes: Partial<TrainerSettings>): TrainerSettings => ({
  dataFolder: "nowhere",
  databaseUrl: undefined,
  model: embeddedModelFolder,
  dtype: "auto",
  device: "cpu",
  workers: 2,
  every: undefined,
  cron: undefined,
  promote: false,
  behaviourBounds: {},
  ...changes,
});
