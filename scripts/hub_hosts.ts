// What a task's --allow-net has to allow for HF_ENDPOINT, on one line; deno.json's tasks put it behind Hugging Face's hosts.

import { hubHosts } from "../shared/runtime/hub/endpoint.ts";

console.log(hubHosts());
