// What a task's --allow-net has to allow for the hub, on one line, for tasks that are not launched.

import { hubHosts } from "../shared/runtime/hub/endpoint.ts";

console.log(hubHosts().join(","));
