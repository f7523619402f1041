// Entry of a Web Worker that stands in front of a service: its connections are a thread's own business, so that no client
// takes the service's time before it has asked something. It knows only what it is told to listen on.

import { expose } from "comlink";
import { threadFront } from "./front/front.ts";

expose(threadFront());
