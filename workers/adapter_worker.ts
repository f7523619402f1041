// Entry of a sandboxed worker that reads adapters: files of strangers, with regular expressions in them that may take for
// ever. It knows one folder, and of the model only what its layers are called and how large they are.

import { transfer } from "comlink";
import { type AdaptedModel, adapterFeeds, fitAdapter, type FittedAdapter } from "../shared/runtime/adapter_of_model.ts";
import { exposeBounded } from "./bounded.ts";
import type { AdapterFeeds } from "./protocol.ts";

const functions = {
  /** @throws InputError where the adapter is unusable, or of another model */
  read(model: AdaptedModel, folder: string): FittedAdapter {
    const adapter = fitAdapter(model, folder);
    return transfer(adapter, [...adapter.tensors.values()].map(({ data }) => data.buffer));
  },
  /** The same, as workers that answer are fed with it. */
  feeds(model: AdaptedModel, folder: string): AdapterFeeds {
    const feeds = adapterFeeds(fitAdapter(model, folder));
    return transfer(feeds, Object.values(feeds).map(({ data }) => data.buffer));
  },
};

export type AdapterWorker = typeof functions;

exposeBounded(functions);
